"""Does each attempt say what kept its task from others, as its worker has told in its first step?"""

import pytest

from server.stand import NEW, NEW_TASK, Json, Stand

pytestmark = pytest.mark.anyio


async def test_attempts_say_what_their_worker_told_however_often_it_told_it(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [{**NEW_TASK, "retry_s": 0}]})
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.publish(workflow, 1)
    first = {
        "call": 1,
        "finished": [],
        "want": 1,
        "wait_s": 0,
        "isolation": "none: bwrap\0 is not on PATH " + "x" * 400,
    }

    answers = [await stand.post("/muster/v1/worker/step", first, by=worker["token"]) for _ in range(2)]
    [event] = answers[0]["events"]
    assert answers[1]["events"] == [event]
    failed = {"event": event["event"], "fence": event["fence"], "outcome": "failed", "error": {"text": "it broke"}}
    [again] = (await stand.step(worker, 2, finished=[failed], want=1))["events"]
    done = {"event": again["event"], "fence": again["fence"], "outcome": "done", "results": []}
    await stand.step(worker, 3, finished=[done])

    shown: Json = await stand.get(f"/muster/v1/events/{event['event']}")
    told = [attempt["isolation"] for attempt in shown["history"]]
    assert len(told) == 2
    assert told[0] == told[1]
    assert told[0].startswith("none: bwrap\N{REPLACEMENT CHARACTER} is not on PATH x")
    assert len(told[0]) == 300


async def test_of_a_worker_that_has_not_told_nothing_is_known(stand: Stand) -> None:
    workflow = await stand.submit()
    worker = await stand.enrol((await stand.start(workflow))["taskforce_uuid"])
    await stand.publish(workflow, 1)
    [event] = (await stand.step(worker, 1, want=1))["events"]
    await stand.step(worker, 2, finished=[{**{name: event[name] for name in ("event", "fence")}, "outcome": "done"}])

    [attempt] = (await stand.get(f"/muster/v1/events/{event['event']}"))["history"]
    assert attempt["isolation"] == ""
