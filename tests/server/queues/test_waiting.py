"""Do parked calls end when they should: with events, with a stop, with the service, with the client?"""

import socket
from typing import Any

import anyio
import pytest
import uvicorn

from muster.domain.queue import Counts
from muster.domain.workflow import WorkflowState
from muster.server.app import make_app
from server.queues.running_door import Door, Worker, done, insert_workflow, open_door, wait_for

pytestmark = pytest.mark.anyio


class Parked:
    """A step that waits for events, in a task of its own."""

    def __init__(self, worker: Worker, *, want: int = 1, wait_s: float = 20.0) -> None:
        self.worker = worker
        self.want = want
        self.wait_s = wait_s
        self.answer: Any = None

    async def run(self) -> None:
        self.answer = await self.worker.step(want=self.want, wait_s=self.wait_s)


async def parked_calls(door: Door) -> int:
    lot = door.parts.desk.find_lot(door.layout.task_id)
    return len(lot) if lot else 0


async def park(group: Any, door: Door, *workers: Worker) -> list[Parked]:
    """Park a call of each worker, in their order."""
    calls = [Parked(worker) for worker in workers]
    for call in calls:
        before = await parked_calls(door)
        group.start_soon(call.run)
        await wait_for(lambda before=before: _is_more(door, before), "the call is parked")  # type: ignore[misc]
    return calls


async def _is_more(door: Door, before: int) -> bool:
    return await parked_calls(door) > before


async def test_a_parked_call_gets_an_event_as_soon_as_it_is_published(door: Door) -> None:
    worker = await door.enrol()
    async with anyio.create_task_group() as group:
        (call,) = await park(group, door, worker)
        with anyio.fail_after(5):
            ids = await door.publish("now")
            await wait_for(lambda: _answered(call), "the parked call is answered", deadline_s=4)

    assert [event["event"] for event in call.answer["events"]] == ids
    assert (call.answer["come_back_s"], call.answer["stop"]) == (None, None)


async def test_as_many_workers_are_answered_as_events_came(door: Door) -> None:
    workers = [await door.enrol(proc=proc) for proc in range(10)]
    async with anyio.create_task_group() as group:
        calls = await park(group, door, *workers)
        await door.publish(1, 2, 3)
        await wait_for(lambda: _three(calls), "three calls are answered")
        assert [bool(call.answer) for call in calls] == [True] * 3 + [False] * 7
        assert await parked_calls(door) == 7
        group.cancel_scope.cancel()


async def test_a_parked_call_gets_the_result_of_the_task_before(door: Door) -> None:
    layout = await insert_workflow(door.parts, inputs=("source",), outputs=("sink",))
    assert layout.workflow_id != door.layout.workflow_id
    consumer = (await door.post(door.of_workflow("/queues/sink/consumers")))["consumer"]
    await door.publish(1)
    worker = await door.enrol()
    (event,) = await worker.lease()
    answers: list[Any] = []

    async def consume() -> None:
        answers.append(await door.post(f"/consumers/{consumer}/step", {"call": 1, "want": 1, "wait_s": 20}))

    async with anyio.create_task_group() as group:
        group.start_soon(consume)
        await wait_for(lambda: _waits(door, "sink"), "the consumer waits")
        await worker.step(done(event, "r"))
        await wait_for(lambda: _some(answers), "the consumer is answered", deadline_s=4)

    assert [one["body"] for one in answers[0]["events"]] == ["r"]


async def test_a_later_call_of_a_worker_ends_its_parked_one(door: Door) -> None:
    await door.publish(1)
    worker = await door.enrol()
    (event,) = await worker.lease()
    async with anyio.create_task_group() as group:
        (call,) = await park(group, door, worker)
        answer = await worker.step(done(event, "r"))
        await wait_for(lambda: _answered(call), "the parked call ends", deadline_s=4)

    assert answer["verdicts"] == ["done"]
    assert (call.answer["call"], call.answer["events"], call.answer["stop"]) == (2, [], None)


@pytest.mark.parametrize(("how", "word"), [(WorkflowState.FINISHED, "finish"), (WorkflowState.ABORTED, "abort")])
async def test_the_end_of_a_workflow_reaches_parked_calls_and_later_ones(
    door: Door, how: WorkflowState, word: str
) -> None:
    await door.publish(1)
    workers = [await door.enrol(proc=proc) for proc in range(3)]
    (event,) = await workers[0].lease()
    async with anyio.create_task_group() as group:
        calls = await park(group, door, *workers[1:])
        await door.deactivate(how)
        await wait_for(lambda: _all(calls), "all parked calls end", deadline_s=4)
    last = await workers[0].step(done(event, "r"), want=5, wait_s=20)
    renewed = await workers[0].ask("renew", {"held": []})

    stop = {"how": word, "grace_s": door.parts.settings.stop_grace_s if word == "finish" else 0.0}
    assert [call.answer["stop"] for call in calls] == [stop, stop]
    # What its workers bring is still taken; nothing new is given.
    assert (last["verdicts"], last["events"], last["stop"]) == (["done"], [], stop)
    assert renewed.json()["stop"] == stop


async def test_a_stopping_service_sends_parked_calls_away(door: Door) -> None:
    workers = [await door.enrol(proc=proc) for proc in range(3)]
    async with anyio.create_task_group() as group:
        calls = await park(group, door, *workers)
        door.parts.stopping.asked = True
        door.parts.waking.wake("stopping")
        await wait_for(lambda: _all(calls), "all parked calls end", deadline_s=4)

    assert [(call.answer["events"], call.answer["stop"]) for call in calls] == [([], None)] * 3


async def test_workers_over_the_limit_are_told_when_to_come_back(database_url: str) -> None:
    async with open_door(database_url, park_max=2) as door:
        workers = [await door.enrol(proc=proc) for proc in range(3)]
        async with anyio.create_task_group() as group:
            await park(group, door, *workers[:2])
            answer = await workers[2].step(want=1, wait_s=20)
            group.cancel_scope.cancel()

    assert answer["events"] == []
    assert 0.5 < answer["come_back_s"] < 2


async def test_a_worker_that_hangs_up_is_parked_no_more_and_its_next_call_finds_the_event(door: Door) -> None:
    """Over a real socket: only there does a client hang up."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(make_app(door.parts), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    )
    worker = await door.enrol()
    request = (
        "POST /muster/v1/worker/step HTTP/1.1\r\nHost: door\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {worker.token}\r\nContent-Length: %d\r\n\r\n%s"
    )
    body = '{"call": 1, "want": 1, "wait_s": 20}'
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: server.serve(sockets=[listener]))
        stream = await anyio.connect_tcp("127.0.0.1", port)
        await stream.send((request % (len(body), body)).encode())
        await wait_for(lambda: _is_more(door, 0), "the call is parked")
        await stream.aclose()
        await wait_for(lambda: _none_parked(door), "the call is parked no more", deadline_s=5)
        await door.publish("later")
        server.should_exit = True

    # The same call again leases nothing at once; it waits, as the first one did, and finds the event.
    assert (await worker.step(want=1, wait_s=10))["events"][0]["body"] == '"later"'


async def test_a_queue_is_drained_when_all_that_feeds_it_is_closed_and_done(door: Door) -> None:
    layout = await insert_workflow(door.parts, inputs=("source",), outputs=("sink",))
    door.layout = layout
    consumer = (await door.post(door.of_workflow("/queues/sink/consumers")))["consumer"]
    path = f"/consumers/{consumer}/step"
    await door.publish(1)
    worker = await door.enrol()

    waiting = await door.post(path, {"call": 1, "want": 1})
    await door.post(door.of_workflow("/queues/source/actions/close"))
    closed = await door.post(path, {"call": 2, "want": 1})
    (event,) = await worker.lease()
    await worker.step(done(event, "r"))
    (result,) = (await door.post(path, {"call": 3, "want": 1}))["events"]
    last = await door.post(path, {"call": 4, "ack": [[result["event"], result["fence"]]], "want": 1})

    assert not waiting["drained"]
    assert not closed["drained"]
    assert last["drained"]


async def test_what_a_lost_answer_leased_is_given_again(door: Door) -> None:
    """The client is gone between the commit and the answer; the repeat of the call brings the same leases."""
    worker = await door.enrol()
    async with anyio.create_task_group() as group:
        (call,) = await park(group, door, worker)
        ids = await door.publish(1)
        await wait_for(lambda: _answered(call), "the parked call is answered")

    again = await worker.step(want=1, again=True)

    assert [event["event"] for event in again["events"]] == ids
    assert await door.counts("source") == Counts(published=1, in_work=1)


async def _answered(call: Parked) -> bool:
    return call.answer is not None


async def _three(calls: list[Parked]) -> bool:
    return sum(call.answer is not None for call in calls) == 3


async def _all(calls: list[Parked]) -> bool:
    return all(call.answer is not None for call in calls)


async def _some(answers: list[Any]) -> bool:
    return bool(answers)


async def _none_parked(door: Door) -> bool:
    return await parked_calls(door) == 0


async def _waits(door: Door, alias: str) -> bool:
    lot = door.parts.desk.find_lot(f"consumers:{door.layout.queues[alias].number}")
    return bool(lot)
