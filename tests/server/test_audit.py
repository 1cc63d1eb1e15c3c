"""Does the audit say who did what, for everything that may change something and everything refused, and no secret?"""

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from server.stand import EWMS_NEW, NEW, STRANGER, TMS, USER, Stand, open_stand

pytestmark = pytest.mark.anyio

Lines = list[MutableMapping[str, Any]]
KEPT = ("name", "action", "object", "outcome", "status")


@pytest.fixture
async def stand(sqlite_url: str) -> AsyncIterator[Stand]:
    async with open_stand(sqlite_url) as stand:
        yield stand


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as lines:
        yield lines


def audited(lines: Lines) -> list[tuple[Any, ...]]:
    return [tuple(one[name] for name in KEPT) for one in lines if one.get("stream") == "audit"]


async def test_what_is_made_is_named(stand: Stand, lines: Lines) -> None:
    ours = (await stand.post("/muster/v1/workflows", NEW))["workflow_id"]
    again = {"idempotency-key": "k1"}
    theirs = [(await stand.post("/v1/workflows", EWMS_NEW, headers=again))["workflow"]["workflow_id"] for _ in range(2)]

    assert audited(lines) == [
        (USER, "POST /muster/v1/workflows", ours, "done", 201),
        (USER, "POST /v1/workflows", theirs[0], "done", 200),
        (USER, "POST /v1/workflows", theirs[0], "done", 200),
    ]


async def test_a_line_tells_who_and_when_and_which_request(stand: Stand, lines: Lines) -> None:
    await stand.post("/muster/v1/workflows", NEW, headers={"x-request-id": "r-1"})

    [line] = [one for one in lines if one.get("stream") == "audit"]
    assert (line["request_id"], line["issuer"], line["reason"], line["log_level"]) == ("r-1", "", None, "info")
    assert line["at"] > 1.7e9


async def test_what_is_looked_at_is_not_audited_unless_it_is_refused(stand: Stand, lines: Lines) -> None:
    workflow = (await stand.post("/muster/v1/workflows", NEW))["workflow_id"]
    lines.clear()

    await stand.get(f"/muster/v1/workflows/{workflow}", by=STRANGER)
    await stand.get(f"/muster/v1/workflows/{workflow}/events", by=STRANGER)
    refused = await stand.ask("GET", f"/muster/v1/workflows/{workflow}/events?bodies=true", by=STRANGER)

    assert refused.status_code == 403
    action = "GET /muster/v1/workflows/{workflow_id}/events"
    assert audited(lines) == [(STRANGER, action, workflow, "refused", 403)]
    [line] = [one for one in lines if one.get("stream") == "audit"]
    assert line["reason"] == f"workflow {workflow} belongs to ada; only the owner and operators may do this"


@pytest.mark.parametrize(
    ("path", "action", "by", "reason"),
    [
        ("/muster/v1/site/claims", "POST /muster/v1/site/claims", USER, "this needs one of the roles: system-tms"),
        ("/v1/workflows", "POST /v1/workflows", TMS, "this needs one of the roles: user"),
        ("/v1/tms/statuses/taskforces", "POST /v1/tms/statuses/taskforces", USER, "this needs one of the roles"),
    ],
)
async def test_a_role_that_is_missing_is_audited(
    stand: Stand, lines: Lines, path: str, action: str, by: str, reason: str
) -> None:
    await stand.ask("POST", path, {"secret": "s3cret"}, by=by)

    assert audited(lines) == [(by, action, "", "refused", 403)]
    assert [one["reason"].startswith(reason) for one in lines if one.get("stream") == "audit"] == [True]
    assert "s3cret" not in str(lines)


async def test_ownership_that_is_missing_is_audited_at_both_doors(stand: Stand, lines: Lines) -> None:
    workflow = (await stand.post("/muster/v1/workflows", NEW))["workflow_id"]
    lines.clear()

    for path in (
        f"/muster/v1/workflows/{workflow}/actions/finish",
        f"/muster/v1/workflows/{workflow}/queues/in/events",
        f"/muster/v1/workflows/{workflow}/dead-letters/actions/replay",
        f"/v1/workflows/{workflow}/actions/abort",
    ):
        body = {"events": [{"body": "s3cret"}]} if path.endswith("/events") else {}
        await stand.ask("POST", path, body, by=STRANGER)

    assert [(one[0], one[2], one[3]) for one in audited(lines)] == [
        (STRANGER, workflow, "refused"),
        (STRANGER, f"{workflow}/in", "refused"),
        (STRANGER, workflow, "refused"),
        (STRANGER, workflow, "refused"),
    ]
    assert "s3cret" not in str(lines)


async def test_what_was_wrong_or_failed_is_audited_as_such(
    stand: Stand, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("s3cret")

    await stand.ask("POST", "/muster/v1/workflows", {"tasks": "s3cret"})
    await stand.ask("POST", "/muster/v1/workflows/WF-0/actions/abort")
    monkeypatch.setattr("muster.server.doors.muster.workflows.routes.submit_workflow", fail)
    await stand.ask("POST", "/muster/v1/workflows", NEW)

    assert [(one[3], one[4]) for one in audited(lines)] == [("rejected", 422), ("rejected", 404), ("failed", 500)]
    assert "s3cret" not in str([one for one in lines if one.get("stream") == "audit"])


async def test_nobody_known_and_no_route_leave_no_line(stand: Stand, lines: Lines) -> None:
    await stand.ask("POST", "/muster/v1/workflows", NEW, by=None)
    await stand.ask("POST", "/muster/v1/workflows", NEW, by="s3same")
    await stand.ask("POST", "/no/such/route", NEW)

    assert audited(lines) == []


async def test_what_workers_do_is_the_accounts_business(stand: Stand, lines: Lines) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    lines.clear()

    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.step(worker, 1)

    assert audited(lines) == []


async def test_no_level_of_the_log_turns_the_audit_off(stand: Stand) -> None:
    before, stream = structlog.get_config(), io.StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
    )
    try:
        await stand.post("/muster/v1/workflows", NEW)
    finally:
        structlog.configure(**before)

    [line] = stream.getvalue().splitlines()
    assert (json.loads(line)["stream"], json.loads(line)["name"]) == ("audit", USER)
