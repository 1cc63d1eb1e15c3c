"""Do dead letters of a finished workflow go back at any time, with workers for them, and is nothing ever half done?"""

import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import anyio
import httpx
import pytest

from muster.domain.outbox import Cursor
from muster.server.app import make_app
from muster.server.doors.muster.consumers.views import parse_consumer_id
from muster.server.ports.store import Store, Transaction
from muster.server.services import replay_dead_letters
from muster.server.services.finish_drained import DrainPass, finish_drained
from muster.server.services.worker_desk import WorkerDesk
from muster.worker import protocol
from server.stand import NEW, NEW_TASK, STRANGER, TMS, USER, Json, Stand, ok

pytestmark = pytest.mark.anyio

T = TypeVar("T")

ONCE: Json = {**NEW_TASK, "attempts": 1, "worker_config": {"n_cores": 3}, "pilot_config": {"environment": {"A": "1"}}}
ENDS: Json = {**NEW, "tasks": [ONCE], "finish_when_done": True, "priority": 40}
STAYS: Json = {**ENDS, "finish_when_done": False}
CHAIN: Json = {
    **ENDS,
    "tasks": [
        {**ONCE, "output_queue_aliases": ["mid"]},
        {**ONCE, "input_queue_aliases": ["mid"], "n_workers": 1},
        {**ONCE, "input_queue_aliases": ["side"], "output_queue_aliases": ["other"]},
    ],
    "public_queue_aliases": ["in", "side", "out", "other"],
}


FINISH: Json = {"how": "finish", "grace_s": 20.0}


def done(event: Json, result: Json = "r") -> Json:
    return {
        "event": event["event"],
        "fence": event["fence"],
        "outcome": "done",
        "results": [{"kind": "json", "body": result}],
        "error": None,
        "wall_s": 0.5,
    }


def failed(event: Json) -> Json:
    error = {"text": "no file", "fingerprint": "no file", "stdout_tail": "", "stderr_tail": "", "exit_code": 1}
    return {"event": event["event"], "fence": event["fence"], "outcome": "failed", "error": error, "wall_s": 0.1}


def path_of(workflow: Json, rest: str) -> str:
    return f"/muster/v1/workflows/{workflow['workflow_id']}{rest}"


async def replay(stand: Stand, workflow: Json, *events: str, key: str | None = None) -> Json:
    headers = {} if key is None else {"idempotency-key": key}
    body = {"events": list(events)} if events else {}
    return await stand.post(path_of(workflow, "/dead-letters/actions/replay"), body, headers=headers)


async def with_dead_letters(stand: Stand, new: Json = ENDS, *, events: int = 3, dead: int = 2) -> tuple[Json, Json]:
    """A workflow of one task whose first events failed, the others being done, and its worker. It is not yet finished."""
    workflow = await stand.submit(new)
    order = await stand.start(workflow)
    await stand.publish(workflow, *range(events), close=True)
    worker = await stand.enrol(order["taskforce_uuid"])
    leased = (await stand.step(worker, 1, want=events))["events"]
    await stand.step(worker, 2, finished=[*map(failed, leased[:dead]), *map(done, leased[dead:])])
    return workflow, worker


async def finished_itself(stand: Stand, new: Json = ENDS, *, events: int = 3, dead: int = 2) -> tuple[Json, Json]:
    workflow, worker = await with_dead_letters(stand, new, events=events, dead=dead)
    assert (await finish_drained(stand.parts)).finished == 1
    return workflow, worker


async def start_new(stand: Stand, workflow: Json, *, cluster_id: int = 8) -> Json:
    """Bring the taskforce that was made last to its cluster, and enrol a worker of it."""
    await stand.advance()
    [order] = (await stand.claim())["start"]
    await stand.report(order, "submitted", cluster_id=cluster_id, n_workers=2)
    assert order["workflow_id"] == workflow["workflow_id"]
    return await stand.enrol(order["taskforce_uuid"])


async def notices(stand: Stand, workflow: Json) -> Sequence[tuple[str, Json]]:
    found = await stand.parts.store.read(
        lambda tx: tx.outbox.list_after(Cursor(), subject=workflow["workflow_id"], limit=1000)
    )
    return [(notice.kind, notice.data) for _, notice in found]


async def counts(stand: Stand, workflow: Json) -> tuple[int, int, int, int]:
    account = await stand.get(path_of(workflow, "/account?recount=true"))
    assert account["adds_up"], account
    return account["waiting"], account["in_work"], account["done"], account["dead"]


async def consume(stand: Stand, workflow: Json) -> tuple[int, bool]:
    """How many results there are for a consumer, acknowledged, and whether it was told that the queue is drained."""
    consumer = (await stand.post(path_of(workflow, "/queues/out/consumers")))["consumer"]
    step = f"/muster/v1/consumers/{consumer}/step"
    taken = await stand.post(step, {"call": 1, "want": 100})
    acks = [[one["event"], one["fence"]] for one in taken["events"]]
    last = await stand.post(step, {"call": 2, "ack": acks})
    await stand.post(f"/muster/v1/consumers/{consumer}/actions/close")
    return len(acks), last["drained"]


async def test_a_workflow_that_finished_itself_goes_on_with_its_dead_letters_and_finishes_itself_again(
    stand: Stand,
) -> None:
    workflow, old = await finished_itself(stand)
    [first] = (await stand.show(workflow))["taskforces"]

    replayed = await replay(stand, workflow)

    assert (len(replayed["replayed"]), replayed["left"], replayed["reopened"]) == (2, 0, True)
    shown = await stand.show(workflow)
    assert (shown["state"], shown["ended_at"], shown["ended_by"]) == ("active", None, None)
    former, new = sorted(shown["taskforces"], key=lambda one: one["created_at"])
    assert (former["taskforce_uuid"], former["phase"]) == (first["taskforce_uuid"], "pending-stopper")
    assert new["phase"] == "pre-mq-activation"
    for field in ("location", "n_workers", "priority", "worker_config", "pilot_config", "task_id", "schedd"):
        assert new[field] == first[field], field
    [entry] = new["phase_change_log"]
    assert (entry["context"], entry["source_entity"]) == (
        "Created when dead letters were replayed, which reopened the workflow.",
        "USER",
    )
    assert (await finish_drained(stand.parts)).finished == 0
    assert (await stand.step(old, 3, want=5))["stop"] == FINISH
    worker = await start_new(stand, workflow)
    leased = await stand.step(worker, 1, want=5)
    assert (len(leased["events"]), leased["stop"]) == (2, None)
    await stand.step(worker, 2, finished=[done(one) for one in leased["events"]])
    assert (await finish_drained(stand.parts)).finished == 1
    assert (await stand.show(workflow))["state"] == "finished"
    assert await counts(stand, workflow) == (0, 0, 3, 0)
    kinds = [(kind, data) for kind, data in await notices(stand, workflow) if kind.startswith("workflow.")]
    assert [kind for kind, _ in kinds] == [
        "workflow.created",
        "workflow.ended",
        "workflow.reopened",
        "workflow.ended",
    ]
    assert kinds[2][1] == {"by": USER, "n_taskforces": 1}


@pytest.mark.parametrize("new", [ENDS, STAYS])
async def test_one_that_its_owner_finished_is_reopened_for_what_was_left_too_and_stays_closed(
    stand: Stand, new: Json
) -> None:
    workflow = await stand.submit(new)
    order = await stand.start(workflow)
    await stand.publish(workflow, *range(4))  # and not closed
    worker = await stand.enrol(order["taskforce_uuid"])
    [dead, held] = (await stand.step(worker, 1, want=2))["events"]
    await stand.step(worker, 2, finished=[failed(dead)])
    await stand.end(workflow, "finish")

    await replay(stand, workflow, dead["event"])

    late = await stand.step(worker, 3, finished=[done(held)])
    assert (late["verdicts"], late["stop"]) == (["done"], FINISH)
    refused = await stand.ask("POST", path_of(workflow, "/queues/in/events"), {"events": [{"body": 9}]})
    assert (refused.status_code, refused.json()["error"]) == (409, "queue in is closed: it takes no more events")
    second = await start_new(stand, workflow)
    leased = (await stand.step(second, 1, want=9))["events"]
    assert leased[0]["event"] == dead["event"]
    await stand.step(second, 2, finished=[done(one) for one in leased])
    assert await counts(stand, workflow) == (0, 0, 4, 0)
    assert (await finish_drained(stand.parts)).finished == (1 if new is ENDS else 0)
    if new is STAYS:
        assert (await stand.show(workflow))["state"] == "active"
        assert (await stand.end(workflow, "finish"))["n_taskforces"] == 1
    assert (await stand.show(workflow))["state"] == "finished"


async def test_an_aborted_workflow_stays_over(stand: Stand) -> None:
    workflow, _ = await with_dead_letters(stand)
    await stand.end(workflow, "abort")

    answer = await stand.ask("POST", path_of(workflow, "/dead-letters/actions/replay"), {})

    assert answer.status_code == 409
    assert "was aborted, and stays so: submit it again and publish there what is not done" in answer.json()["error"]
    assert (await stand.show(workflow))["state"] == "aborted"
    assert (await counts(stand, workflow))[3] == 2


async def test_nothing_to_replay_reopens_nothing_and_a_stranger_may_not(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand, dead=0)
    other, _ = await finished_itself(stand)

    nothing = await replay(stand, workflow)
    path = path_of(other, "/dead-letters/actions/replay")
    stranger = await stand.ask("POST", path, {}, by=STRANGER)
    unknown = await stand.ask("POST", path, {"events": ["EV-0000000000000001"]})

    assert nothing == {"replayed": [], "left": 0, "more": False, "reopened": False}
    assert (stranger.status_code, unknown.status_code) == (403, 422)
    assert [(await stand.show(one))["state"] for one in (workflow, other)] == ["finished", "finished"]


async def test_every_task_behind_the_queue_gets_workers_at_each_of_its_places_and_no_other_task(stand: Stand) -> None:
    new = json.loads(json.dumps(CHAIN))
    new["tasks"][1]["cluster_locations"] = ["far", "here"]
    workflow = await stand.submit(new)
    await stand.advance()
    orders = {one["task_id"]: one for one in (await stand.claim())["start"]}
    first, second, side = [task["task_id"] for task in workflow["tasks"]]
    for number, order in enumerate(orders.values()):
        await stand.report(order, "submitted", cluster_id=number + 1, n_workers=order["n_workers"])
    await stand.post(f"/v1/task-directives/{second}/actions/add-workers", {"cluster_location": "local", "n_workers": 7})
    await stand.publish(workflow, 1, 2, close=True)
    await stand.post(path_of(workflow, "/queues/side/actions/close"))
    worker = await stand.enrol(orders[first]["taskforce_uuid"])
    one, two = (await stand.step(worker, 1, want=2))["events"]
    await stand.step(worker, 2, finished=[failed(one), done(two)])
    further = await stand.enrol(orders[second]["taskforce_uuid"])
    [mid] = (await stand.step(further, 1, want=2))["events"]
    await stand.step(further, 2, finished=[failed(mid)])
    assert (await finish_drained(stand.parts)).finished == 1

    def made(shown: Json) -> list[tuple[str, str, int]]:
        return sorted(
            (one["task_id"], one["location"], one["n_workers"])
            for one in shown["taskforces"]
            if one["phase"] == "pre-mq-activation"
        )

    await replay(stand, workflow, mid["event"])
    behind = [(second, "far", 1), (second, "local", 1)]
    assert made(await stand.show(workflow)) == sorted(behind)

    # The first task is reached by the next replay only; the workflow is active, so nobody else would bring it workers.
    again = await replay(stand, workflow)
    assert (again["replayed"], again["reopened"]) == ([one["event"]], False)
    shown = await stand.show(workflow)
    assert made(shown) == sorted([*behind, (first, "local", 2)])
    [added] = [one for one in shown["taskforces"] if (one["task_id"], one["phase"]) == (first, "pre-mq-activation")]
    assert added["phase_change_log"][0]["context"].endswith("because every taskforce of this task had ended.")
    assert {one["phase"] for one in shown["taskforces"] if one["task_id"] == side} == {"pending-stopper"}


async def test_a_replay_while_workers_live_makes_no_others(stand: Stand) -> None:
    workflow, _ = await with_dead_letters(stand)

    replayed = await replay(stand, workflow)

    assert (len(replayed["replayed"]), replayed["reopened"]) == (2, False)
    assert len((await stand.show(workflow))["taskforces"]) == 1


async def test_the_finishing_daemon_between_two_batches_of_a_replay_leaves_none_behind(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_dead_letters, "BATCH_MAX", 2)
    workflow, _ = await finished_itself(stand, events=5, dead=4)
    path = path_of(workflow, "/dead-letters/actions/replay")
    body = json.dumps({}).encode()
    headers = {"idempotency-key": "k"}
    with monkeypatch.context() as cut:
        cut.setattr(replay_dead_letters, "reach", lambda _: (_ for _ in ()).throw(RuntimeError("the process dies")))
        assert (await stand.ask("POST", path, body, headers=headers)).status_code == 500
    assert await counts(stand, workflow) == (2, 0, 1, 2)
    assert (await stand.show(workflow))["state"] == "active"
    worker = await start_new(stand, workflow)
    leased = (await stand.step(worker, 1, want=9))["events"]
    # One of them dies again: the repeat of the request does not take it for one of its own.
    await stand.step(worker, 2, finished=[failed(leased[0]), done(leased[1])])
    assert (await finish_drained(stand.parts)).finished == 1

    rest = ok(await stand.ask("POST", path, body, headers=headers))

    assert (len(rest["replayed"]), rest["left"], rest["reopened"]) == (4, 1, True)
    assert (await stand.show(workflow))["state"] == "active"
    repeated = ok(await stand.ask("POST", path, body, headers=headers))
    assert repeated == rest
    assert len((await stand.show(workflow))["taskforces"]) == 3
    other = await start_new(stand, workflow, cluster_id=9)
    await stand.step(other, 2, finished=[done(one) for one in (await stand.step(other, 1, want=9))["events"]])
    assert (await finish_drained(stand.parts)).finished == 1
    assert await counts(stand, workflow) == (0, 0, 4, 1)


async def test_a_request_for_named_letters_that_arrives_twice_is_answered_the_same(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)
    letters = (await stand.get(path_of(workflow, "/dead-letters")))["dead_letters"]
    names = [one["event"] for one in letters]

    first = await replay(stand, workflow, *names, key="k")
    again = await replay(stand, workflow, *names, key="k")

    assert first["replayed"] == names
    assert again == first
    assert len((await stand.show(workflow))["taskforces"]) == 2
    body = {"events": names[:1]}
    other = await stand.ask(
        "POST", path_of(workflow, "/dead-letters/actions/replay"), body, headers={"idempotency-key": "k"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-mismatch")
    without = await stand.ask("POST", path_of(workflow, "/dead-letters/actions/replay"), {"events": names})
    assert without.status_code == 409  # they wait by now


async def test_two_replays_at_once_reopen_once(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand, events=20, dead=20)
    answers: list[Json] = []

    async def ask() -> None:
        answers.append(await replay(stand, workflow))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(ask)

    assert sorted(len(one["replayed"]) for one in answers) == [0, 0, 0, 20]
    assert [one["reopened"] for one in answers].count(True) == 1
    assert len((await stand.show(workflow))["taskforces"]) == 2
    assert [kind for kind, _ in await notices(stand, workflow)].count("workflow.reopened") == 1
    assert await counts(stand, workflow) == (20, 0, 0, 0)


async def test_a_replay_and_the_finishing_daemon_at_once_leave_workers_for_every_event(stand: Stand) -> None:
    """Whichever comes first: the events wait in an active workflow that has a taskforce that is not ending."""
    for _ in range(5):
        workflow, _ = await with_dead_letters(stand)
        async with anyio.create_task_group() as group:
            group.start_soon(finish_drained, stand.parts)
            group.start_soon(replay, stand, workflow)

        shown = await stand.show(workflow)
        assert shown["state"] == "active"
        assert [one["phase"] for one in shown["taskforces"]].count("pending-stopper") == len(shown["taskforces"]) - 1
        assert (await counts(stand, workflow))[0] == 2
        await stand.end(workflow, "abort")


@dataclasses.dataclass
class SlowLook:
    """The store, in which something happens between a look and what is done because of it."""

    store: Store
    meanwhile: Callable[[], Awaitable[object]]

    async def read(self, work: Callable[[Transaction], T]) -> T:
        seen = await self.store.read(work)
        await self.meanwhile()
        return seen

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self.store.write(work)


async def test_a_replay_between_the_look_for_drained_workflows_and_the_finish_keeps_it_active(stand: Stand) -> None:
    workflow, worker = await with_dead_letters(stand)
    slow = SlowLook(stand.parts.store, lambda: replay(stand, workflow))

    seen = await finish_drained(dataclasses.replace(stand.parts, store=cast("Store", slow)))

    assert seen == DrainPass(finished=0, draining=1)
    shown = await stand.show(workflow)
    assert (shown["state"], [one["phase"] for one in shown["taskforces"]]) == ("active", ["condor-submit"])
    leased = await stand.step(worker, 3, want=5)
    assert (len(leased["events"]), leased["stop"]) == (2, None)


async def test_who_looks_for_drained_workflows_is_woken_by_a_replay(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)

    with stand.parts.waking.listen("drain") as bell:
        await replay(stand, workflow)

        assert await bell.wait(0)


async def test_what_the_end_left_waiting_in_other_queues_gets_its_workers_again(stand: Stand) -> None:
    aside = {**ONCE, "input_queue_aliases": ["side"], "output_queue_aliases": ["other"]}
    idle = {**ONCE, "input_queue_aliases": ["empty"], "output_queue_aliases": ["none"]}
    public = ["in", "out", "side", "other", "empty", "none"]
    workflow = await stand.submit({**ENDS, "tasks": [ONCE, aside, idle], "public_queue_aliases": public})
    main, side, _ = [task["task_id"] for task in workflow["tasks"]]
    await stand.advance()
    orders = {one["task_id"]: one for one in (await stand.claim())["start"]}
    for number, order in enumerate(orders.values()):
        await stand.report(order, "submitted", cluster_id=number + 1, n_workers=2)
    await stand.publish(workflow, 1)
    await stand.post(path_of(workflow, "/queues/side/events"), {"events": [{"body": 2}, {"body": 3}]})
    worker = await stand.enrol(orders[main]["taskforce_uuid"])
    [event] = (await stand.step(worker, 1, want=1))["events"]
    await stand.step(worker, 2, finished=[failed(event)])
    await stand.end(workflow, "finish")

    await replay(stand, workflow, event["event"])

    made = [one for one in (await stand.show(workflow))["taskforces"] if one["phase"] == "pre-mq-activation"]
    assert sorted(one["task_id"] for one in made) == sorted([main, side])
    await stand.advance()
    for number, order in enumerate((await stand.claim())["start"], start=10):
        await stand.report(order, "submitted", cluster_id=number, n_workers=2)
        again = await stand.enrol(order["taskforce_uuid"])
        leased = (await stand.step(again, 1, want=9))["events"]
        await stand.step(again, 2, finished=[done(one) for one in leased])
    assert await counts(stand, workflow) == (0, 0, 3, 0)
    assert (await finish_drained(stand.parts)).finished == 1


@contextlib.asynccontextmanager
async def another_replica(stand: Stand) -> AsyncIterator[Stand]:
    """A service on the same database that remembers nothing of what this one remembers."""
    parts = dataclasses.replace(stand.parts, desk=WorkerDesk())
    transport = httpx.ASGITransport(app=cast("Any", make_app(parts)))
    async with httpx.AsyncClient(transport=transport, base_url="http://other.test") as http:
        yield Stand(http, parts)


async def test_another_replica_stops_the_old_workers_and_not_the_new_ones(stand: Stand) -> None:
    workflow, old = await finished_itself(stand)
    async with another_replica(stand) as other:
        assert (await stand.step(old, 3, want=1))["stop"] == FINISH
        assert (await other.step(old, 4, want=1))["stop"] == FINISH
        await replay(other, workflow)
        worker = await start_new(other, workflow)

        told = [(await one.step(worker, call, want=1))["stop"] for call, one in enumerate((stand, other), start=1)]
        former = [(await one.step(old, call, want=1)) for call, one in enumerate((stand, other), start=5)]

        assert told == [None, None]
        assert [(one["stop"], one["events"]) for one in former] == [(FINISH, []), (FINISH, [])]
        renewed = await other.post(protocol.RENEW, {"held": []}, by=worker["token"])
        assert renewed["stop"] is None


async def test_nobody_enrols_for_a_taskforce_of_the_former_life(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)
    [former] = (await stand.show(workflow))["taskforces"]
    await replay(stand, workflow)

    with pytest.raises(AssertionError, match="taskforce-ended"):
        await stand.enrol(former["taskforce_uuid"], proc=1)


async def test_the_agent_stops_the_old_taskforces_with_grace_and_starts_the_new_ones(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)
    [former] = (await stand.show(workflow))["taskforces"]
    await replay(stand, workflow)
    await stand.advance()

    stranger = await stand.claim("site-b")
    claims = await stand.claim(held=[former["taskforce_uuid"]])

    # For some seconds the order to stop is only for the agent that started it, as if nothing had been reopened.
    assert stranger["stop"] == []
    [stop] = claims["stop"]
    assert (stop["taskforce_uuid"], stop["grace_s"]) == (
        former["taskforce_uuid"],
        stand.parts.settings.stop_grace_s,
    )
    assert [one["taskforce_uuid"] for one in stranger["start"]] != [former["taskforce_uuid"]]
    assert len(stranger["start"]) == 1
    await stand.report(stop, "removed")
    await stand.report(stop, "completed", at=9.0)
    shown = {one["taskforce_uuid"]: one["phase"] for one in (await stand.show(workflow))["taskforces"]}
    assert shown[former["taskforce_uuid"]] == "condor-complete"
    assert (await stand.show(workflow))["state"] == "active"
    assert (await stand.get(path_of(workflow, "/progress")))["why"] is None


async def test_new_taskforces_that_cannot_be_started_are_named_by_the_progress(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)
    await replay(stand, workflow)
    await stand.advance()
    claims = await stand.claim()
    await stand.report(claims["stop"][0], "completed", at=9.0)
    await stand.report(claims["start"][0], "submit-failed", error="no such pool", final=True)

    why = "no taskforce can be started: no such pool; its site cannot start it as it is"
    assert (await stand.get(path_of(workflow, "/progress")))["why"] == why


async def test_a_consumer_that_was_told_drained_finds_the_new_results_afterwards(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)
    assert await consume(stand, workflow) == (1, True)
    await replay(stand, workflow)
    assert await consume(stand, workflow) == (0, False)
    worker = await start_new(stand, workflow)
    await stand.step(worker, 2, finished=[done(one) for one in (await stand.step(worker, 1, want=9))["events"]])

    assert await consume(stand, workflow) == (2, True)


def end_by_death(tx: Transaction, *, session: int) -> None:
    tx.holders.end([session], reason="it died", are_deaths=True)


async def test_results_that_consumers_take_with_them_into_death_are_given_again_however_often(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand, dead=0)
    for _ in range(6):
        consumer = (await stand.post(path_of(workflow, "/queues/out/consumers")))["consumer"]
        held = (await stand.post(f"/muster/v1/consumers/{consumer}/step", {"call": 1, "want": 2}))["events"]
        assert [one["attempt"] for one in held] == [1, 1]
        session = parse_consumer_id(consumer).session
        await stand.parts.store.write(partial(end_by_death, session=session))

    assert (await stand.get(path_of(workflow, "/dead-letters")))["dead_letters"] == []
    assert await consume(stand, workflow) == (3, True)


async def test_clients_of_the_upstream_door_see_it_active_again(stand: Stand) -> None:
    workflow, _ = await finished_itself(stand)
    path = f"/v1/workflows/{workflow['workflow_id']}"
    before = await stand.get(path)
    await replay(stand, workflow)
    after = await stand.get(path)
    ended = await stand.post(f"{path}/actions/finished")

    assert (before["deactivated"], after["deactivated"], after["deactivated_ts"]) == ("FINISHED", None, None)
    assert ended["n_taskforces"] == 1
    assert (await stand.get(path))["deactivated"] == "FINISHED"
    assert await stand.get("/v1/tms/pending-starter/taskforces?schedd=local", by=TMS) == {}
