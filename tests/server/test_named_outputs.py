"""Does a result go to the output queue that it names, whoever hands it in, and is a name that means nothing refused?"""

import pytest

from muster.worker import protocol
from server.stand import NEW, NEW_TASK, Json, Stand

pytestmark = pytest.mark.anyio

TWO: Json = {
    **NEW,
    "public_queue_aliases": ["in", "hits", "misses"],
    "tasks": [{**NEW_TASK, "output_queue_aliases": ["hits", "misses"]}],
}


async def start(stand: Stand, new: Json = TWO) -> tuple[Json, Json]:
    """A workflow, and a worker of it."""
    workflow = await stand.submit(new)
    order = await stand.start(workflow)
    return workflow, await stand.enrol(order["taskforce_uuid"])


def done(event: Json, *results: Json) -> Json:
    return {"event": event["event"], "fence": event["fence"], "outcome": "done", "results": [*results]}


async def count(stand: Stand, workflow: Json, alias: str) -> int:
    account = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/account")
    [counts] = [queue["counts"] for queue in account["queues"] if queue["alias"] == alias]
    return int(counts["published"])


async def test_a_result_goes_to_the_queue_that_it_names_and_to_all_where_it_names_none(stand: Stand) -> None:
    workflow, worker = await start(stand)
    await stand.publish(workflow, 1, 2)
    one, two = (await stand.step(worker, 1, want=2))["events"]

    finished = [done(one, {"body": 1, "to": "misses"}), done(two, {"body": 2}, {"body": 3, "to": "hits"})]
    answer = await stand.step(worker, 2, finished=finished)
    again = await stand.step(worker, 2, finished=finished)

    assert answer["verdicts"] == again["verdicts"] == ["done", "done"]
    assert [await count(stand, workflow, alias) for alias in ("hits", "misses")] == [2, 2]


async def test_a_queue_that_the_task_has_not_is_refused_and_nothing_is_handed_in(stand: Stand) -> None:
    workflow, worker = await start(stand)
    await stand.publish(workflow, 1, 2)
    one, two = (await stand.step(worker, 1, want=2))["events"]
    finished = [done(one, {"body": 1}), done(two, {"body": 2}, {"body": 3, "to": "in"})]

    refused = await stand.ask(
        "POST", protocol.STEP, {"call": 2, "finished": finished, "want": 0, "wait_s": 0}, by=worker["token"]
    )

    assert (refused.status_code, refused.json()["findings"]) == (
        422,
        [
            {
                "field": "finished[1].results[1].to",
                "reason": "is 'in', which is no output queue of the task; it has: hits, misses",
            }
        ],
    )
    assert [await count(stand, workflow, alias) for alias in ("hits", "misses")] == [0, 0]


async def test_events_of_a_task_that_reads_several_queues_say_where_they_waited(stand: Stand) -> None:
    several: Json = {
        **NEW,
        "public_queue_aliases": ["in", "more", "out"],
        "tasks": [{**NEW_TASK, "input_queue_aliases": ["in", "more"]}],
    }
    workflow, worker = await start(stand, several)
    await stand.publish(workflow, 1)
    await stand.post(f"/muster/v1/workflows/{workflow['workflow_id']}/queues/more/events", {"events": [{"body": 2}]})

    events = (await stand.step(worker, 1, want=2))["events"]

    assert sorted((event["queue"], event["body"]) for event in events) == [("in", "1"), ("more", "2")]


async def test_events_of_a_task_that_reads_one_do_not(stand: Stand) -> None:
    workflow, worker = await start(stand)
    await stand.publish(workflow, 1)

    [event] = (await stand.step(worker, 1, want=1))["events"]

    assert "queue" not in event
