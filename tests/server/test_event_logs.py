"""Is what failed attempts printed kept of so many of them as the settings say, and shown to whom it belongs?"""

import base64
import json
import zlib

import pytest
from sqlalchemy import func, select

from muster.server.adapters.sql.retention_schema import attempt_log
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.ports.store import Transaction
from muster.worker.capture import Capture
from muster.worker.printed import render_printed
from server.stand import NEW, NEW_TASK, OPERATOR, STRANGER, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

TRIED_ONCE: Json = {**NEW, "tasks": [{**NEW_TASK, "attempts": 1}]}
TRIED_OFTEN: Json = {**NEW, "tasks": [{**NEW_TASK, "attempts": 9, "retry_s": 0}]}
PURGE = "/muster/v1/admin/purge"


def printed(stdout: bytes = b"", stderr: bytes = b"") -> Json:
    """As a worker packs it."""
    captures = Capture(), Capture()
    for capture, data in zip(captures, (stdout, stderr), strict=True):
        capture.add(data)
    rendered = render_printed(*captures)
    return None if rendered is None else json.loads(rendered)


def failed(leased: Json, output: Json = None, *, cause: str = "no") -> Json:
    error = {"text": cause, "fingerprint": cause, "stdout_tail": "the end\n"}
    attempt = {"event": leased["event"], "fence": leased["fence"], "outcome": "failed", "error": error}
    return attempt if output is None else {**attempt, "output": output}


async def fail(stand: Stand, workflow: Json, *outputs: Json, causes: Json = ()) -> list[str]:
    """Publish an event for each output, and have it fail once; returns the events."""
    order = await stand.start(workflow)
    await stand.publish(workflow, *range(len(outputs)))
    worker = await stand.enrol(order["taskforce_uuid"])
    leased = (await stand.step(worker, 1, want=len(outputs)))["events"]
    words = [*causes, *["no"] * (len(outputs) - len(causes))]
    finished = [failed(one, output, cause=cause) for one, output, cause in zip(leased, outputs, words, strict=True)]
    await stand.step(worker, 2, finished=finished)
    return [one["event"] for one in leased]


async def logs(stand: Stand, event: str, **query: Json) -> Json:
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return await stand.get(f"/muster/v1/events/{event}/logs?{asked}")


async def count_logs(stand: Stand) -> int:
    def count(tx: Transaction) -> int:
        assert isinstance(tx, SqlTransaction)
        return tx._session.connection.scalar(select(func.count()).select_from(attempt_log)) or 0

    return await stand.parts.store.read(count)


async def test_what_a_failed_attempt_printed_is_shown_whole(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    text = "".join(f"line {number}\n" for number in range(10_000))
    [event] = await fail(stand, workflow, printed(text.encode(), b"\xff no \x00 UTF-8 \xe2\x9c\x93"))

    assert await logs(stand, event) == {
        "event": event,
        "attempt": 1,
        "outcome": "failed",
        "stdout": {"text": text, "size_bytes": len(text), "is_whole": True},
        "stderr": {"text": "\ufffd no \0 UTF-8 ✓", "size_bytes": 16, "is_whole": True},
        "has_ends_only": False,
        "kept": [1],
    }


async def test_of_much_the_beginning_and_the_end(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    [event] = await fail(stand, workflow, printed(b"begin" + b"\n" * (3 << 20) + b"end"))

    found = await logs(stand, event)

    assert found["stderr"] is None
    assert found["stdout"]["text"].startswith("begin\n")
    assert found["stdout"]["text"].endswith("\nend")
    assert (found["stdout"]["size_bytes"], found["stdout"]["is_whole"]) == ((3 << 20) + 8, False)


async def test_each_attempt_has_its_own_and_the_last_is_shown(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_OFTEN)
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    for number, output in enumerate((printed(b"one"), None, printed(b"three"))):
        [leased] = (await stand.step(worker, 2 * number + 1, want=1))["events"]
        await stand.step(worker, 2 * number + 2, finished=[failed(leased, output)])
    [leased] = (await stand.step(worker, 7, want=1))["events"]
    done = {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "results": []}
    await stand.step(worker, 8, finished=[done])
    event = leased["event"]

    last, first, second = [await logs(stand, event), *[await logs(stand, event, attempt=number) for number in (1, 2)]]

    assert (last["attempt"], last["stdout"]["text"], last["kept"]) == (3, "three", [1, 3])
    assert (first["stdout"]["text"], first["has_ends_only"]) == ("one", False)
    assert (second["stdout"], second["has_ends_only"]) == (
        {"text": "the end\n", "size_bytes": 8, "is_whole": False},
        True,
    )
    for number, said in ((4, "did not fail"), (5, "no attempt 5")):
        answer = await stand.ask("GET", f"/muster/v1/events/{event}/logs?attempt={number}")
        assert (answer.status_code, said in answer.json()["error"]) == (404, True)


async def test_so_many_of_each_cause_and_in_all_as_the_settings_say(database_url: str) -> None:
    async with open_stand(database_url, outputs_per_cause=2, outputs_per_queue=5) as stand:
        workflow = await stand.submit(TRIED_ONCE)
        causes = ["a", "a", "a", "b", "a", "c", "d", "e"]
        events = await fail(stand, workflow, *[printed(b"x")] * len(causes), causes=causes)

        kept = [not (await logs(stand, event))["has_ends_only"] for event in events]

        assert kept == [True, True, False, True, False, True, True, False]
        assert await count_logs(stand) == 5


async def test_none_where_none_are_wanted_and_workers_are_told_so(database_url: str) -> None:
    async with open_stand(database_url, outputs_per_cause=0) as stand:
        workflow = await stand.submit(TRIED_ONCE)
        [event] = await fail(stand, workflow, printed(b"x"))

        assert (await logs(stand, event))["has_ends_only"]
        assert await count_logs(stand) == 0
        order = await stand.start(other := await stand.submit(), cluster_id=8)
        assert (await stand.enrol(order["taskforce_uuid"]))["takes_output"] is False
        assert other["workflow_id"] != workflow["workflow_id"]


async def test_a_call_made_twice_keeps_it_once_and_as_it_was(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]

    answers = [
        (await stand.step(worker, 2, finished=[failed(leased, printed(text))]))["verdicts"]
        for text in (b"first", b"second")
    ]

    assert answers == [["dead"], ["dead"]]
    assert (await logs(stand, leased["event"]))["stdout"]["text"] == "first"


async def test_nothing_is_kept_of_attempts_that_are_not_the_workers(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    wrong = failed({**leased, "fence": 7}, printed(b"x"))

    assert (await stand.step(worker, 2, finished=[wrong]))["verdicts"] == ["unknown"]

    assert await count_logs(stand) == 0


@pytest.mark.parametrize(
    ("output", "field"),
    [
        ({"stdout": {"data": "not base64", "size_bytes": 1}}, "finished[0].output.stdout.data"),
        ({"stderr": {"data": "ä", "size_bytes": 1}}, "finished[0].output.stderr.data"),
        (
            {"stdout": {"data": base64.b64encode(bytes((1 << 16) + 1)).decode(), "size_bytes": 1}},
            "finished[0].output.stdout.data",
        ),
        ({"stdout": {"data": "", "size_bytes": -1}}, "finished[0].output.stdout.size_bytes"),
        ({"stdout": {"data": "", "size_bytes": 1 << 60}}, "finished[0].output.stdout.size_bytes"),
        ({"stdin": None}, "finished[0].output"),
    ],
)
async def test_an_output_that_is_none_is_refused_by_name(stand: Stand, output: Json, field: str) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    body = {"call": 2, "finished": [failed(leased, output)], "want": 0}

    answer = await stand.ask("POST", "/muster/v1/worker/step", body, by=worker["token"])

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["findings"]] == [field]


async def test_it_goes_with_failures_only(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    done = {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "output": printed(b"x")}

    answer = await stand.ask(
        "POST", "/muster/v1/worker/step", {"call": 2, "finished": [done], "want": 0}, by=worker["token"]
    )

    assert (answer.status_code, answer.json()["findings"][0]["field"]) == (422, "finished[0].output")


@pytest.mark.parametrize("data", [b"no zlib", b"", zlib.compress(b"x" * 1000)[:-8], zlib.compress(bytes(60 << 20))])
async def test_one_that_cannot_be_unpacked_or_is_a_bomb_is_harmless(stand: Stand, data: bytes) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    stream = {"data": base64.b64encode(data[: 1 << 16]).decode(), "size_bytes": 1000}
    [event] = await fail(stand, workflow, {"stdout": stream, "stderr": None})

    assert len((await logs(stand, event))["stdout"]["text"]) <= 4 << 20


async def test_owner_and_operators_see_it_and_nobody_else(stand: Stand) -> None:
    workflow = await stand.submit(TRIED_ONCE)
    [event] = await fail(stand, workflow, printed(b"x"))
    path = f"/muster/v1/events/{event}/logs"

    assert [(await stand.ask("GET", path, by=by)).status_code for by in (OPERATOR, STRANGER)] == [200, 403]
    assert (await stand.ask("GET", "/muster/v1/events/EV-0000000000000001/logs")).status_code == 404
    assert (await stand.ask("GET", "/muster/v1/events/nonsense/logs")).status_code == 404
    assert (await stand.ask("GET", f"{path}?attempt=0")).status_code == 422


async def test_where_nothing_failed_it_says_so(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.start(workflow)
    await stand.publish(workflow, 1)
    listed = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/events")

    answer = await stand.ask("GET", f"/muster/v1/events/{listed['events'][0]['event']}/logs")

    assert (answer.status_code, "no attempt at it has failed" in answer.json()["error"]) == (404, True)


async def test_they_go_with_their_attempts(database_url: str) -> None:
    async with open_stand(database_url, dead_letters_kept_s=0) as stand:
        workflow = await stand.submit(TRIED_ONCE)
        await fail(stand, workflow, printed(b"x"), printed(b"y"))
        assert await count_logs(stand) == 2

        await stand.post(PURGE, {}, by=OPERATOR)

        assert await count_logs(stand) == 0
