"""Is it told who was given the token of a queue, whichever door gave it, and whose the queue is?"""

from typing import Any

import pytest
from structlog.testing import capture_logs

from server.mqs.test_queue_access import active, place
from server.stand import EWMS_NEW, OPERATOR, STRANGER, TMS, USER, WMS, Json, Stand

pytestmark = pytest.mark.anyio


async def _audited(stand: Stand, path: str, *, by: str) -> tuple[list[tuple[Any, ...]], str]:
    """The lines of a GET, and what they are told in."""
    with capture_logs() as lines:
        await stand.ask("GET", path, by=by)
    of_audit = [one for one in lines if one.get("stream") == "audit"]
    return [(one["name"], one["outcome"], one.get("tokens_of")) for one in of_audit], str(of_audit)


async def test_every_door_that_gives_a_token_says_of_which_queue_to_whom_and_never_the_token(
    broker_stand: Stand,
) -> None:
    ours = await active(broker_stand)
    made = await broker_stand.post("/v1/workflows", EWMS_NEW)
    await broker_stand.advance()
    theirs, taskforce = made["workflow"]["workflow_id"], made["taskforces"][0]["taskforce_uuid"]
    mine, public = ours["workflow_id"], f"/v1/mqs/workflows/{ours['workflow_id']}/mq-profiles/public"
    mqid = made["task_directives"][0]["input_queues"][0]
    starter = "tms/pending-starter/taskforces?schedd=SCHEDD1"

    for path, by, queues in (
        (place(ours), OPERATOR, [f"{mine}/in"]),
        (place(ours, "out"), USER, [f"{mine}/out"]),
        (public, OPERATOR, [f"{mine}/in", f"{mine}/out"]),
        (f"/v1/mqs/mq-profiles/{mqid}", WMS, [f"{theirs}/in"]),
        (f"/v1/{starter}", TMS, [f"{theirs}/in", f"{theirs}/out"]),
        (f"/v0/{starter}&collector=any", TMS, [f"{theirs}/in", f"{theirs}/out"]),
        (f"/v0/taskforces/{taskforce}", TMS, [f"{theirs}/in", f"{theirs}/out"]),
    ):
        lines, text = await _audited(broker_stand, path, by=by)
        assert (path, lines) == (path, [(by, "done", queues)])
        assert "eyJ" not in text  # how every token begins


async def test_whoever_is_given_no_token_leaves_no_line_but_that_of_a_refusal(
    broker_stand: Stand,
) -> None:
    ours = await active(broker_stand)
    made: Json = await broker_stand.post("/v1/workflows", EWMS_NEW)
    await broker_stand.advance()

    public = f"/v1/mqs/workflows/{ours['workflow_id']}/mq-profiles/public"
    starter = "/v1/tms/pending-starter/taskforces?schedd=SCHEDD1"
    taskforce = f"/v0/taskforces/{made['taskforces'][0]['taskforce_uuid']}"
    for path in (public, starter, taskforce):
        assert (await _audited(broker_stand, path, by=STRANGER))[0] == []
    assert (await _audited(broker_stand, place(ours), by=STRANGER))[0] == [(STRANGER, "refused", None)]
