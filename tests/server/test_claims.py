"""Does every taskforce have one agent at a time, and is the former one's word refused?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import anyio
import pytest

from contracts.store_bench import AN_ENTRY
from muster.domain.taskforce_phase import Phase
from muster.domain.taskforce_reason import HELD_NO_MORE
from muster.server.ports.store import Store, Transaction
from muster.server.services.claim_taskforces import ClaimRequest, claim_taskforces
from muster.server.services.worker_token import enrolment_secret
from server.stand import KEY, NEW, NEW_TASK, TMS, USER, Json, Stand

pytestmark = pytest.mark.anyio
T = TypeVar("T")
ASKED = ClaimRequest("site-a", ["local"], limit=9, wait_s=0.0, lease_s=30.0, held=frozenset())


async def let_time_pass(stand: Stand, taskforce_uuid: str) -> None:
    """Set a claim's time to one that is over, as the clock would."""
    await stand.parts.store.write(
        lambda tx: tx.taskforces.update(replace(tx.taskforces.get(taskforce_uuid), claim_until=1.0))
    )


async def crowd(stand: Stand, like: str, *, location: str, count: int) -> None:
    """Put many taskforces in front of one: as it is, but at another location, and of the highest priority."""

    def insert(tx: Transaction) -> None:
        one = tx.taskforces.get(like)
        one = replace(one, location=location, claim_agent=None, claim_until=None, claim_fence=0, priority=100)
        for number in range(count):
            tx.taskforces.insert(replace(one, taskforce_uuid=f"TF-crowd-{number}"), AN_ENTRY)

    await stand.parts.store.write(insert)


async def one_order(stand: Stand, agent: str = "site-a", **changes: Json) -> Json:
    [order] = (await stand.claim(agent, **changes))["start"]
    return order


async def ready(stand: Stand, new: Json = NEW) -> Json:
    workflow = await stand.submit(new)
    await stand.advance()
    return workflow


async def test_an_order_holds_all_that_a_site_needs(stand: Stand) -> None:
    workflow = await ready(stand)
    [taskforce] = workflow["taskforces"]
    assert await one_order(stand) == {
        "taskforce_uuid": taskforce["taskforce_uuid"],
        "workflow_id": workflow["workflow_id"],
        "task_id": taskforce["task_id"],
        "location": "local",
        "schedd": "local",
        "fence": 1,
        "n_workers": 2,
        "task_image": "",
        "worker_config": taskforce["worker_config"],
        "pilot_config": taskforce["pilot_config"],
        "secret": enrolment_secret(KEY, taskforce["taskforce_uuid"]),
    }


async def test_the_agents_own_claim_is_given_again_unless_it_says_that_it_holds_it(stand: Stand) -> None:
    await ready(stand)
    first = await one_order(stand)
    assert await one_order(stand) == first  # a crash may have lost it
    held = await stand.claim(held=[first["taskforce_uuid"]])
    assert (held["start"], held["stop"], held["lost"]) == ([], [], [])


async def test_another_agent_gets_it_only_after_its_time_with_a_new_fence(stand: Stand) -> None:
    await ready(stand)
    first = await one_order(stand)
    assert (await stand.claim("site-b"))["start"] == []
    await let_time_pass(stand, first["taskforce_uuid"])
    second = await one_order(stand, "site-b")
    assert (first["fence"], second["fence"]) == (1, 2)
    assert (await stand.claim(held=[first["taskforce_uuid"]]))["lost"] == [first["taskforce_uuid"]]
    reports: dict[str, Json] = {
        "submitted": {"cluster_id": 1, "n_workers": 1},
        "submit-failed": {"error": "x"},
        "removed": {},
        "remove-failed": {"error": "x"},
        "completed": {"at": 1.0},
    }
    for what, fields in reports.items():
        refused = await stand.try_report(first, what, **fields)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict"), what
    assert (await stand.report(second, "submitted", agent="site-b", cluster_id=1, n_workers=1))["accepted"]


async def test_an_expired_claim_that_nobody_took_is_still_good(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    await let_time_pass(stand, order["taskforce_uuid"])
    assert await one_order(stand) == order
    await let_time_pass(stand, order["taskforce_uuid"])
    assert (await stand.report(order, "submitted", cluster_id=1, n_workers=2))["phase"] == "condor-submit"


async def test_two_agents_at_once_never_get_the_same(stand: Stand) -> None:
    for _ in range(6):
        await ready(stand)
    got: dict[str, list[str]] = {}

    async def claim(agent: str) -> None:
        got[agent] = [one["taskforce_uuid"] for one in (await stand.claim(agent, limit=4))["start"]]

    async with anyio.create_task_group() as group:
        for agent in ("site-a", "site-b", "site-c"):
            group.start_soon(claim, agent)
    given = [uuid for uuids in got.values() for uuid in uuids]
    assert len(given) == len(set(given)) == 6


class OutrunStore:
    """A store in which something happens between an agent's look and its claim."""

    def __init__(self, store: Store, happening: Callable[[Transaction], None]) -> None:
        self._store, self._happening = store, happening

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        seen = await self._store.read(work)
        await self._store.write(self._happening)
        return seen


@pytest.mark.parametrize(
    "changes",
    [{"held_reason": "no such image"}, {"phase": Phase.CONDOR_COMPLETE}, {"claim_agent": "b", "claim_until": 1e12}],
)
async def test_what_was_held_moved_on_or_taken_since_the_look_is_not_claimed(stand: Stand, changes: Json) -> None:
    workflow = await ready(stand)
    uuid = workflow["taskforces"][0]["taskforce_uuid"]

    def happen(tx: Transaction) -> None:
        tx.taskforces.update(replace(tx.taskforces.get(uuid), **changes))

    outrun = replace(stand.parts, store=cast("Store", OutrunStore(stand.parts.store, happen)))
    assert not (await claim_taskforces(outrun, ASKED)).start
    after = await stand.parts.store.read(lambda tx: tx.taskforces.get(uuid))
    assert (after.claim_agent, after.claim_fence) == (changes.get("claim_agent"), 0)


async def test_the_limit_is_kept_and_what_is_held_does_not_count(stand: Stand) -> None:
    for _ in range(3):
        await ready(stand)
    first = await stand.claim(limit=2)
    assert len(first["start"]) == 2
    held = [one["taskforce_uuid"] for one in first["start"]]
    assert len((await stand.claim(limit=2, held=held))["start"]) == 1


async def test_a_parked_claim_is_answered_when_there_is_something(stand: Stand) -> None:
    answers: list[Json] = []

    async def claim() -> None:
        answers.append(await stand.claim(wait_s=5))

    with anyio.fail_after(4):
        async with anyio.create_task_group() as group:
            group.start_soon(claim)
            await ready(stand)
    assert len(answers[0]["start"]) == 1


async def test_a_parked_claim_ends_when_the_service_stops(stand: Stand) -> None:
    with anyio.fail_after(4):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: stand.claim(wait_s=5))
            await anyio.wait_all_tasks_blocked()
            stand.parts.stopping.asked = True
            stand.parts.waking.wake("stopping")


async def test_a_running_taskforce_is_stopped_by_its_own_agent_although_it_holds_it(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=3, n_workers=2)
    held = [order["taskforce_uuid"]]
    assert (await stand.claim(held=held))["stop"] == []
    await stand.end(workflow, "finish")
    assert (await stand.claim("site-b"))["stop"] == []  # for a while it is kept for the one that knows the cluster
    [stop] = (await stand.claim(held=held))["stop"]
    assert (stop["cluster_id"], stop["fence"]) == (3, 1)
    assert (await stand.claim(held=held))["stop"] == []  # told; it is at work
    assert (await stand.claim(held=[]))["stop"] == [stop]  # it has forgotten, so it is told again


async def test_an_order_to_stop_is_told_again_before_its_claim_runs_out(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=3, n_workers=2)
    await stand.end(workflow, "abort")
    held = [order["taskforce_uuid"]]
    [stop] = (await stand.claim(held=held))["stop"]
    await let_time_pass(stand, order["taskforce_uuid"])
    assert (await stand.claim(held=held))["stop"] == [stop]


async def test_a_start_that_was_aborted_meanwhile_is_lost(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.end(workflow, "abort")
    claims = await stand.claim(held=[order["taskforce_uuid"]])
    assert (claims["start"], claims["stop"], claims["lost"]) == ([], [], [order["taskforce_uuid"]])


async def test_a_cluster_confirmed_after_the_abort_is_stopped(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.end(workflow, "abort")
    answer = await stand.report(order, "submitted", cluster_id=9, n_workers=2)
    assert answer == {"taskforce_uuid": order["taskforce_uuid"], "phase": "pending-stopper", "accepted": True}
    [stop] = (await stand.claim(held=[order["taskforce_uuid"]]))["stop"]
    assert stop["cluster_id"] == 9
    assert (await stand.report(stop, "removed"))["phase"] == "condor-rm"


# -- reports -------------------------------------------------------------------------------------------------------------


async def log_length(stand: Stand, order: Json) -> int:
    view = await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}")
    return len(view["phase_change_log"])


@pytest.mark.parametrize("end", [None, "abort"])
async def test_every_report_may_arrive_twice(stand: Stand, end: str | None) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    steps: list[tuple[str, Json]] = [("submitted", {"cluster_id": 3, "n_workers": 2})]
    steps += [("removed", {})] if end else []
    steps += [("completed", {"at": 4.0})]
    for number, (what, fields) in enumerate(steps):
        if number == 1 and end:
            await stand.end(workflow, end)
        first = await stand.report(order, what, **fields)
        length = await log_length(stand, order)
        assert first["accepted"]
        assert await stand.report(order, what, **fields) == first
        assert await log_length(stand, order) == length


async def test_failures_are_tried_again_until_the_taskforce_is_held(stand: Stand) -> None:
    workflow = await ready(stand)
    for attempt in range(3):
        order = await one_order(stand)
        answer = await stand.report(order, "submit-failed", error=f"no such user {attempt}")
        assert (answer["phase"], answer["accepted"]) == ("pending-starter", True)
        assert (
            await stand.report(order, "submit-failed", error=f"no such user {attempt}") == answer
        )  # a retry of the call
    assert (await stand.claim())["start"] == []

    errors = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/errors")
    [trouble] = errors["taskforces"]
    assert (trouble["submit_failures"], trouble["text"]) == (3, "ERROR: no such user 2")
    assert trouble["held_reason"] == "no such user 2"
    await stand.publish(workflow, 1)
    progress = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress")
    assert progress["why"] == "no taskforce can be started: no such user 2"


async def test_nobody_has_claimed_a_taskforce_before_the_first_claim_and_after_one_was_put_down(stand: Stand) -> None:
    workflow = await ready(stand)
    path = f"/muster/v1/taskforces/{workflow['taskforces'][0]['taskforce_uuid']}"

    before = (await stand.get(path))["claim_until"]
    order = await one_order(stand)
    claimed = (await stand.get(path))["claim_until"]
    await stand.report(order, "submit-failed", error="full")
    after = (await stand.get(path))["claim_until"]

    assert (before, type(claimed), after) == (None, float, None)


HELD_FOR_GOOD = "no such image; its site cannot start it as it is"


async def test_a_final_failure_holds_at_once_and_the_same_failure_twice_in_truth_counts_twice(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="full")
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="full")
    view = await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}")
    assert (view["submit_failures"], view["held_reason"]) == (2, None)
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="no such image", final=True)
    assert (await stand.claim())["start"] == []


async def test_what_is_held_is_a_fact_of_the_taskforce_and_not_of_the_settings(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="no such image", final=True)
    view = await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}")
    assert (view["submit_failures"], view["held_reason"], view["phase"]) == (1, HELD_FOR_GOOD, "pending-starter")
    stand.parts = replace(stand.parts, settings=stand.parts.settings.model_copy(update={"submit_failures_max": 99}))
    assert not (await claim_taskforces(stand.parts, ASKED)).start

    # It was started after all, which is known late: it is held no more, so that it is stopped.
    await stand.end(workflow, "abort")
    await stand.report(order, "submitted", cluster_id=7, n_workers=2)
    view = await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}")
    assert (view["submit_failures"], view["held_reason"]) == (0, None)
    assert len((await stand.claim())["stop"]) == 1


async def test_what_is_released_is_tried_again_with_as_many_tries_as_a_new_one(stand: Stand) -> None:
    workflow = await ready(stand)
    path = f"/muster/v1/taskforces/{workflow['taskforces'][0]['taskforce_uuid']}"
    for failures in (3, 3):
        for number in range(failures):
            await stand.report(await one_order(stand), "submit-failed", error=f"full {number}")
        assert (await stand.claim())["start"] == []

        released = await stand.post(f"{path}/actions/release")
        again = await stand.post(f"{path}/actions/release")

        assert (released["phase"], released["held_reason"], released["submit_failures"]) == ("pending-starter", None, 0)
        assert again == released  # also in its log, where it stands once
        assert released["phase_change_log"][-1]["context"] == "Released, to be tried again, by ada."

    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=7, n_workers=2)
    assert (await stand.get(path))["phase"] == "condor-submit"


async def test_a_removal_that_is_held_is_tried_again_when_it_is_released(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=7, n_workers=2)
    await stand.end(workflow, "abort")
    [stop] = (await stand.claim())["stop"]
    await stand.report(stop, "remove-failed", error="denied", final=True)
    assert (await stand.claim())["stop"] == []

    with stand.parts.waking.listen(f"stop:{workflow['taskforces'][0]['schedd']}") as bell:
        released = await stand.post(f"/muster/v1/taskforces/{stop['taskforce_uuid']}/actions/release")
        assert await bell.wait(0)

    assert (released["phase"], released["held_reason"], released["remove_failures"]) == ("pending-stopper", None, 0)
    [again] = (await stand.claim())["stop"]
    assert (again["taskforce_uuid"], again["cluster_id"]) == (stop["taskforce_uuid"], 7)


async def test_the_word_that_held_it_said_once_more_holds_it_no_more(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="no such image", final=True)
    path = f"/muster/v1/taskforces/{order['taskforce_uuid']}"
    await stand.post(f"{path}/actions/release")

    body = {"agent": "site-a", "fence": order["fence"], "error": "no such image", "final": True}
    late = await stand.ask("POST", f"/muster/v1/site/taskforces/{order['taskforce_uuid']}/submit-failed", body, by=TMS)

    assert late.status_code == 409
    assert (await stand.get(path))["held_reason"] is None
    assert (await one_order(stand))["taskforce_uuid"] == order["taskforce_uuid"]


async def test_one_that_was_held_is_so_no_more_when_its_workflow_has_ended(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="no such image", final=True)

    await stand.end(workflow, "abort")

    view = await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}")
    assert (view["phase"], view["held_reason"]) == ("pending-stopper", None)
    # Nobody was starting it, so no word of its agent is waited for.
    assert view["phase_change_log"][-2]["context"] == HELD_NO_MORE
    found = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/explanation")
    assert (found["taskforces"], found["over"]) == ([], 1)


@pytest.mark.parametrize("names", [0, 1], ids=["free", "as it asked before it failed"])
async def test_a_release_wakes_the_agent_that_waits_for_work(stand: Stand, names: int) -> None:
    workflow = await ready(stand)
    uuid = workflow["taskforces"][0]["taskforce_uuid"]
    await stand.report(await one_order(stand), "submit-failed", error="no such image", final=True)
    answers: list[Json] = []

    async def ask() -> None:
        answers.append(await stand.claim(wait_s=60, held=[uuid][:names]))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            await stand.post(f"/muster/v1/taskforces/{uuid}/actions/release")

    assert [one["taskforce_uuid"] for one in answers[0]["start"]] == [uuid]
    assert answers[0]["lost"] == []


async def test_a_late_word_that_starting_failed_holds_nothing_back_that_is_to_be_stopped(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=7, n_workers=2)
    await stand.end(workflow, "abort")
    await stand.report(order, "submit-failed", error="no such image", final=True)
    assert len((await stand.claim())["stop"]) == 1


async def test_a_crowd_of_upstreams_at_the_same_access_point_does_not_stand_in_front(stand: Stand) -> None:
    workflow = await ready(stand)
    [taskforce] = workflow["taskforces"]
    await crowd(stand, taskforce["taskforce_uuid"], location="beside", count=200)
    assert (await one_order(stand, limit=1))["taskforce_uuid"] == taskforce["taskforce_uuid"]


async def test_a_crowd_of_ours_at_the_same_access_point_does_not_stand_in_front_of_upstreams(stand: Stand) -> None:
    new = {**NEW, "tasks": [{**NEW_TASK, "cluster_locations": ["beside"], "task_image": "image:1"}]}
    workflow = await ready(stand, new)
    [taskforce] = workflow["taskforces"]
    await crowd(stand, taskforce["taskforce_uuid"], location="local", count=200)
    offered = await stand.get("/v1/tms/pending-starter/taskforces?schedd=local", by=TMS)
    assert offered["taskforce"]["taskforce_uuid"] == taskforce["taskforce_uuid"]


async def test_claims_in_force_are_renewed_behind_any_number_of_new_taskforces(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    uuid = order["taskforce_uuid"]
    await crowd(stand, uuid, location="local", count=200)
    await let_time_pass(stand, uuid)
    assert workflow["taskforces"][0]["taskforce_uuid"] == uuid

    assert len((await stand.claim(held=[uuid], limit=2))["start"]) == 2

    assert (await stand.get(f"/muster/v1/taskforces/{uuid}"))["claim_until"] > 1.0


async def test_a_success_ends_the_count_of_failures(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submit-failed", error="full")
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=1, n_workers=2)
    assert (await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}"))["submit_failures"] == 0


async def test_a_removal_that_fails_is_tried_again(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=1, n_workers=2)
    await stand.end(workflow, "finish")
    for _ in range(3):
        [stop] = (await stand.claim())["stop"]
        assert (await stand.report(stop, "remove-failed", error="denied"))["phase"] == "pending-stopper"
    assert (await stand.claim())["stop"] == []
    # And it may end by itself after all.
    assert (await stand.report(stop, "completed", at=1.0))["phase"] == "condor-complete"


async def test_what_the_table_refuses_is_written_down_and_answered(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    for what, fields, context in (
        ("removed", {}, "refused: removed does not follow pending-starter"),
        ("remove-failed", {"error": "x"}, "ERROR: x"),
    ):
        for _ in range(2):
            answer = await stand.report(order, what, **fields)
            assert (answer["phase"], answer["accepted"]) == ("pending-starter", False), what
        view = await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}")
        last = view["phase_change_log"][-1]
        assert (last["target_phase"], last["was_successful"], last["context"]) == ("condor-rm", False, context)
    assert await log_length(stand, order) == 3 + 2


async def test_a_second_cluster_is_refused(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=1, n_workers=2)
    answer = await stand.report(order, "submitted", cluster_id=2, n_workers=2)
    assert (answer["phase"], answer["accepted"]) == ("condor-submit", False)
    assert (await stand.get(f"/muster/v1/taskforces/{order['taskforce_uuid']}"))["cluster_id"] == 1


async def test_completion_sends_back_what_workers_held(stand: Stand) -> None:
    workflow = await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=1, n_workers=2)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.publish(workflow, 1)
    assert len((await stand.step(worker, 1, want=1))["events"]) == 1
    await stand.report(order, "completed", at=1.0)
    progress = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress")
    assert (progress["workers"], progress["input"]["waiting"], progress["input"]["in_work"]) == (0, 1, 0)
    assert "every taskforce has ended" in progress["why"]


async def test_statuses_are_replaced_whole_and_foreign_ones_are_named(stand: Stand) -> None:
    await ready(stand)
    order = await one_order(stand)
    uuid = order["taskforce_uuid"]

    async def report(agent: str = "site-a", **fields: Json) -> list[str]:
        unknown: list[str] = (await stand.post("/muster/v1/site/reports", {"agent": agent, **fields}, by=TMS))[
            "unknown"
        ]
        return unknown

    assert (
        await report(compound_statuses={uuid: {"RUNNING": {"Tasking": 2}}}, top_task_errors={uuid: {"a.b: $c": 1}})
        == []
    )
    assert await report(compound_statuses={uuid: {"IDLE": {"null": 1}}, "TF-no": {}}) == ["TF-no"]
    assert await report("site-b", compound_statuses={uuid: {}}) == [uuid]
    view = await stand.get(f"/muster/v1/taskforces/{uuid}")
    assert view["compound_statuses"] == {"IDLE": {"null": 1}}
    assert view["top_task_errors"] == {"a.b: $c": 1}
    assert view["phase"] == "pending-starter"


FACTS: Json = {
    **dict.fromkeys(("restarts", "disconnects", "failed_starts", "disconnected"), 0),
    "evictions": 3,
    "holds": {"no such file": 2},
    "transfers": {},
    "hosts": {"node-1": 1},
    "sites": {"north": 1},
}


async def test_what_a_pool_tells_of_workers_is_shown_and_why_they_wait_until_they_are_to_go(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    uuid = order["taskforce_uuid"]

    async def look(**fields: Json) -> tuple[Json, Json]:
        report = {"agent": "site-a", **{name: {uuid: one} for name, one in fields.items()}}
        assert (await stand.post("/muster/v1/site/reports", report, by=TMS))["unknown"] == []
        view = await stand.get(f"/muster/v1/taskforces/{uuid}")
        [found] = (await stand.post("/muster/v1/query/taskforces", {"query": {"taskforce_uuid": uuid}}))["objects"]
        assert found == view
        return view["facts"], view["reasons"]

    assert await look(compound_statuses={}) == (None, [])
    assert await look(facts={**FACTS, "of_a_newer_agent": {"x": 1}}) == (FACTS, [])
    assert await look(reasons=["it is held:\x1b[2J no such file", " ", "no machine has 4 TB"]) == (
        FACTS,
        ["it is held:\N{REPLACEMENT CHARACTER}[2J no such file", "no machine has 4 TB"],
    )
    [asked] = (await stand.post("/muster/v1/query/taskforces", {"query": {"facts.sites.north": {"$gt": 0}}}))["objects"]
    assert asked["taskforce_uuid"] == uuid
    assert await look(facts={}) == (
        {**FACTS, "evictions": 0, "holds": {}, "hosts": {}, "sites": {}},
        [*asked["reasons"]],
    )
    assert (await look(reasons=[]))[1] == []
    assert (await look(facts=FACTS, reasons=["x"])) == (FACTS, ["x"])
    for door in ("v0", "v1"):  # their clients know no such words
        assert {"facts", "reasons", "pool_told"}.isdisjoint(await stand.get(f"/{door}/taskforces/{uuid}", by=TMS))

    await stand.end(workflow, "abort")
    assert await look() == (FACTS, [])
    assert await look(reasons=["told late"]) == (FACTS, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"facts": {"TF-1": {"restarts": -1}}},
        {"facts": {"TF-1": {"restarts": 2**60}}},
        {"facts": {"TF-1": {"holds": {"x": "many"}}}},
        {"facts": {"TF-1": {"hosts": {f"node-{number}": 1 for number in range(21)}}}},
        {"facts": {"TF-1": None}},
        {"reasons": {"TF-1": "x"}},
        {"reasons": {"TF-1": ["x"] * 11}},
        {"reasons": {"TF-1": ["x" * 501]}},
    ],
)
async def test_facts_and_reasons_without_bounds_are_refused(stand: Stand, fields: Json) -> None:
    response = await stand.ask("POST", "/muster/v1/site/reports", {"agent": "site-a", **fields}, by=TMS)

    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    assert response.json()["findings"]


async def test_reports_of_unknown_taskforces_and_by_people_are_refused(stand: Stand) -> None:
    body = {"agent": "site-a", "fence": 1}
    path = "/muster/v1/site/taskforces/TF-6b0259da-962b1dcf-6713e685-1b7b398a/removed"
    assert (await stand.ask("POST", path, body, by=TMS)).status_code == 404
    assert (await stand.ask("POST", path, body, by=USER)).status_code == 403
    claim = {"agent": "site-a", "locations": ["local"]}
    assert (await stand.ask("POST", "/muster/v1/site/claims", claim, by=USER)).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"locations": ["nowhere"]},
        {"locations": ["test-alpha"]},
        {"locations": []},
        {"agent": ""},
        {"agent": "a\x00b"},
        {"limit": 0},
        {"limit": 10**6},
        {"lease_s": 0},
        {"lease_s": 1e9},
        {"wait_s": -1},
    ],
)
async def test_a_claim_that_makes_no_sense_is_refused(stand: Stand, changes: Json) -> None:
    claim = {"agent": "site-a", "locations": ["local"], "wait_s": 0, **changes}
    refused = await stand.ask("POST", "/muster/v1/site/claims", claim, by=TMS)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert refused.json()["findings"]


async def test_an_agent_is_told_of_what_it_should_have_and_does_not_name(stand: Stand) -> None:
    """Its service was restored, or its memory and its pool were lost: it says what became of it."""
    await ready(stand)
    order = await one_order(stand)
    await stand.report(order, "submitted", cluster_id=7, n_workers=2)
    uuid = order["taskforce_uuid"]

    named = await stand.claim("site-a", held=[uuid])
    not_named = await stand.claim("site-a")
    others = await stand.claim("site-b")
    elsewhere = await stand.claim("site-a", locations=["far"])  # another agent, that has the same name by mistake
    await stand.report(order, "completed", at=0.0)
    over = await stand.claim("site-a")

    expected = {"taskforce_uuid": uuid, "fence": order["fence"]}
    assert [one["expected"] for one in (named, not_named, others, elsewhere, over)] == [[], [expected], [], [], []]
