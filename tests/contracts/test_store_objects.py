"""Does the store keep workflows, taskforces and queues as the port says, on both databases?"""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest

from contracts.store_bench import (
    A_DIRECTIVE,
    A_TASKFORCE,
    A_WORKFLOW,
    AN_ENTRY,
    Bench,
    a_queue,
    a_taskforce,
    a_workflow,
    open_bench,
)
from muster.domain.asking import KEPT_S, Ask
from muster.domain.attempt import Outcome
from muster.domain.errors import NotFoundError
from muster.domain.location import Agent
from muster.domain.pool_facts import PoolFacts
from muster.domain.queue import Counts
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import TaskDirective, Taskforce, WorkflowState
from muster.server.ports.queue_engine import Finished
from muster.server.ports.store import Drained, OurAgent, Transaction, UpstreamAgent

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


@dataclass(frozen=True)
class NewerDirective(TaskDirective):
    """What some later version may write."""

    colour: str = ""


class WorkflowContract:
    async def test_a_workflow_and_its_tasks_come_back_as_they_were(self, bench: Bench) -> None:
        second = replace(A_DIRECTIVE, task_id="TK-0", position=1, timeout_s=None, output_queues=())
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, [A_DIRECTIVE, second]))

        assert await bench.read(lambda tx: tx.workflows.get("WF-1")) == A_WORKFLOW
        assert await bench.read(lambda tx: tx.workflows.list_directives("WF-1")) == [A_DIRECTIVE, second]
        assert await bench.read(lambda tx: tx.workflows.get_directive("TK-0")) == second

    async def test_a_task_that_a_newer_version_wrote_is_read_by_what_this_one_knows(self, bench: Bench) -> None:
        newer = NewerDirective(**asdict(A_DIRECTIVE), colour="blue")
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, [newer]))

        assert await bench.read(lambda tx: tx.workflows.list_directives("WF-1")) == [A_DIRECTIVE]

    async def test_a_workflow_without_tasks_can_be_kept(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        assert await bench.read(lambda tx: tx.workflows.list_directives("WF-1")) == []

    async def test_what_does_not_exist_is_not_found(self, bench: Bench) -> None:
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.workflows.get("WF-9"))
        with pytest.raises(NotFoundError):
            await bench.write(lambda tx: tx.workflows.get("WF-9", lock=True))
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.workflows.get_directive("TK-9"))
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.taskforces.get("TF-9"))
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.queues.get(99))
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.workflows.list_page(owner=None, active=None, after="WF-9", limit=5))

    async def test_only_the_end_of_a_workflow_can_be_changed(self, bench: Bench) -> None:
        await bench.write(lambda tx: tx.workflows.insert(A_WORKFLOW, []))
        ended = replace(A_WORKFLOW, state=WorkflowState.ABORTED, ended_at=2000.25, ended_by="eve", name="other")

        await bench.write(lambda tx: tx.workflows.update(ended))

        assert await bench.read(lambda tx: tx.workflows.get("WF-1")) == replace(ended, name=A_WORKFLOW.name)

    async def test_workflows_are_listed_newest_first_in_pages(self, bench: Bench) -> None:
        # The same second, as fast requests are: the order of creation decides.
        for number in range(5):
            one = a_workflow(f"WF-{number}", owner="ada" if number % 2 else "eve")
            await bench.write(lambda tx, one=one: tx.workflows.insert(one, []))  # type: ignore[misc]
        ended = a_workflow("WF-3", state=WorkflowState.FINISHED, ended_at=1.0, ended_by="ada")
        await bench.write(lambda tx: tx.workflows.update(ended))

        async def page(owner: str | None, after: str | None, limit: int, *, active: bool | None = None) -> list[str]:
            found = await bench.read(
                lambda tx: tx.workflows.list_page(owner=owner, active=active, after=after, limit=limit)
            )
            return [one.workflow_id for one in found]

        assert await page(None, None, 2) == ["WF-4", "WF-3"]
        assert await page(None, "WF-3", 10) == ["WF-2", "WF-1", "WF-0"]
        assert await page("ada", None, 10) == ["WF-3", "WF-1"]
        assert await page(None, None, 10, active=True) == ["WF-4", "WF-2", "WF-1", "WF-0"]
        assert await page(None, None, 10, active=False) == ["WF-3"]
        assert await page("ada", "WF-3", 10, active=True) == ["WF-1"]

    async def test_drained_are_those_that_finish_themselves_with_closed_inputs_and_nothing_left(
        self, bench: Bench
    ) -> None:
        entered = ("WF-drained", "WF-over", "WF-stays", "WF-open", "WF-waits", "WF-works", "WF-inside")
        for workflow_id in (*entered, "WF-no-input"):
            one = a_workflow(
                workflow_id,
                finish_when_done=workflow_id != "WF-stays",
                state=WorkflowState.FINISHED if workflow_id == "WF-over" else WorkflowState.ACTIVE,
            )
            await bench.write(lambda tx, one=one: tx.workflows.insert(one, []))  # type: ignore[misc]
        queues = {
            workflow_id: await bench.add_queue(
                workflow_id=workflow_id, closed_at=None if workflow_id == "WF-open" else 5.0
            )
            for workflow_id in entered
        }
        inside = await bench.add_queue("between", workflow_id="WF-inside", is_public=False)
        for workflow_id in ("WF-drained", "WF-no-input"):
            result = await bench.add_queue("out", workflow_id=workflow_id, is_input=False, is_output=True)
            await bench.publish(result, b"1")  # nobody's input
        await bench.publish(queues["WF-waits"], b"1")
        await bench.publish(queues["WF-works"], b"1")
        await bench.publish(inside, b"1")
        await bench.step(await bench.enrol(), queues["WF-works"], want=1)

        async def find(limit: int = 9) -> Drained:
            return await bench.read(lambda tx: tx.workflows.find_drained(limit=limit))

        assert await find() == Drained(["WF-drained"], 3)
        await bench.engine.fold()
        assert await find() == Drained(["WF-drained"], 3)
        [leased] = (await bench.step(await bench.enrol(), queues["WF-waits"], want=1)).leased
        done = Finished(leased.event, leased.fence, Outcome.DONE)
        await bench.step(await bench.enrol(), queues["WF-waits"], finished=[done])
        assert await find() == Drained(["WF-drained", "WF-waits"], 2)
        assert len((await find(limit=1)).workflow_ids) == 1


ME = OurAgent("me", ["local"], ["schedd-1"])


def startable(uuid: str, **changes: Any) -> Taskforce:
    return a_taskforce(uuid, phase=Phase.PENDING_STARTER, **changes)


def stoppable(uuid: str, **changes: Any) -> Taskforce:
    return a_taskforce(uuid, **{"phase": Phase.PENDING_STOPPER, "cluster_id": 7, **changes})


class TaskforceContract:
    async def _insert(self, bench: Bench, *taskforces: Taskforce) -> None:
        def insert(tx: Transaction) -> None:
            tx.workflows.insert(A_WORKFLOW, [A_DIRECTIVE, replace(A_DIRECTIVE, task_id="TK-0", position=1)])
            for one in taskforces:
                tx.taskforces.insert(one, AN_ENTRY)

        await bench.write(insert)

    async def test_a_taskforce_and_its_log_come_back_as_they_were(self, bench: Bench) -> None:
        await self._insert(bench, A_TASKFORCE)
        entry = replace(AN_ENTRY, target_phase=Phase.PRE_LAUNCH, was_successful=False, source_event_time=7.5)

        await bench.write(lambda tx: tx.taskforces.append_log("TF-1", entry))

        assert await bench.read(lambda tx: tx.taskforces.get("TF-1")) == A_TASKFORCE
        assert await bench.read(lambda tx: tx.taskforces.list_log(["TF-1", "TF-9"])) == {
            "TF-1": [AN_ENTRY, entry],
            "TF-9": [],
        }

    async def test_everything_that_may_change_is_stored(self, bench: Bench) -> None:
        await self._insert(bench, A_TASKFORCE)
        changed = replace(
            A_TASKFORCE,
            phase=next(iter(set(Phase) - {A_TASKFORCE.phase})),
            n_workers=9,
            worker_config={"x": [1]},
            pilot_config={"y": {"z": None}},
            cluster_id=1 << 40,
            submit_dict={"a": 1},
            job_event_log_fpath="/log",
            compound_statuses={"Running": {"Processing": 3}},
            top_task_errors={"boom é": 2},
            claim_agent="agent",
            claim_until=12.5,
            claim_fence=3,
            submit_failures=1,
            remove_failures=2,
            held_reason="no such image",
            facts=PoolFacts(restarts=1, holds={"no such file é": 2}, hosts={"node-1": 3}, sites={"north": 3}),
            reasons=("no machine has 4 TB", 'é "\\'),
        )

        await bench.write(lambda tx: tx.taskforces.update(changed))

        assert await bench.read(lambda tx: tx.taskforces.find(["TF-1", "TF-9", "a\0", "\ud800"])) == {"TF-1": changed}

    async def test_taskforces_are_listed_by_task_then_as_they_were_made(self, bench: Bench) -> None:
        await self._insert(
            bench,
            a_taskforce("TF-1", task_id="TK-0"),  # the second task
            a_taskforce("TF-2", location="far", created_at=3.0),
            a_taskforce("TF-3", location="local", created_at=2.0),
            a_taskforce("TF-4", location="local", created_at=1.0),
        )

        listed = await bench.read(lambda tx: tx.taskforces.list_of_workflow("WF-1"))
        of_task = await bench.read(lambda tx: tx.taskforces.list_of_task("TK-1"))

        assert [one.taskforce_uuid for one in listed] == ["TF-2", "TF-3", "TF-4", "TF-1"]
        assert [one.taskforce_uuid for one in of_task] == ["TF-4", "TF-3", "TF-2"]

    async def test_startable_are_those_that_nobody_else_has_in_hand(self, bench: Bench) -> None:
        await self._insert(
            bench,
            startable("TF-1", created_at=5.0),
            startable("TF-2", created_at=4.0, submit_failures=1),
            startable("TF-3", created_at=3.0, held_reason="no such image"),
            startable("TF-4", created_at=2.0, claim_agent="other", claim_until=100.0),
            startable("TF-5", created_at=1.0, claim_agent="me", claim_until=100.0, priority=90),
            startable("TF-6", created_at=0.5, schedd="schedd-2"),
            startable("TF-7", created_at=6.0, claim_agent="other", claim_until=10.0),  # its claim ran out
            startable("TF-8", location="far"),
            a_taskforce("TF-9"),
        )

        async def find(agent: OurAgent | UpstreamAgent, *, limit: int = 9) -> list[str]:
            found = await bench.write(lambda tx: tx.taskforces.find_startable(agent, now=50.0, limit=limit))
            return [one.taskforce_uuid for one in found]

        assert await find(ME) == ["TF-5", "TF-1", "TF-7", "TF-2"]
        assert await find(ME, limit=2) == ["TF-5", "TF-1"]
        assert await find(replace(ME, schedds=["schedd-2", "schedd-1"])) == ["TF-5", "TF-6", "TF-1", "TF-7", "TF-2"]
        assert await find(replace(ME, locations=["far"])) == ["TF-8"]
        assert await find(replace(ME, locations=[])) == []
        # What one of ours ever claimed is never for upstream's, nor what stands at a location of ours.
        assert await find(UpstreamAgent("schedd-1", [])) == ["TF-1", "TF-8", "TF-2"]
        assert await find(UpstreamAgent("schedd-1", ["local", "here"])) == ["TF-8"]

    async def test_stoppable_are_those_with_a_cluster(self, bench: Bench) -> None:
        await self._insert(
            bench,
            stoppable("TF-1", created_at=5.0, priority=90),
            stoppable("TF-2", created_at=4.0),
            stoppable("TF-3", cluster_id=None),
            stoppable("TF-4", held_reason="permission denied"),
            stoppable("TF-5", claim_agent="other", claim_until=100.0),
            stoppable("TF-6", schedd="schedd-2"),
            stoppable("TF-7", location="far"),
        )

        ours = await bench.write(lambda tx: tx.taskforces.find_stoppable(ME, now=50.0, limit=9))
        upstream = UpstreamAgent("schedd-1", ["local"])
        theirs = await bench.write(lambda tx: tx.taskforces.find_stoppable(upstream, now=50.0, limit=9))

        assert [one.taskforce_uuid for one in ours] == ["TF-2", "TF-1"]
        assert [one.taskforce_uuid for one in theirs] == ["TF-7"]

    async def test_the_order_to_stop_is_kept_a_while_for_the_agent_that_had_the_taskforce(self, bench: Bench) -> None:
        await self._insert(
            bench,
            stoppable("TF-1", claim_agent="other", created_at=1.0),
            stoppable("TF-2", claim_agent="me", created_at=2.0),
            stoppable("TF-3", created_at=3.0),
        )
        told = replace(AN_ENTRY, target_phase=Phase.PENDING_STOPPER, at=100.0, was_successful=True)
        again = replace(told, at=108.0, was_successful=False)  # refused: it was told already

        def tell(tx: Transaction) -> None:
            for uuid in ("TF-1", "TF-2", "TF-3"):
                tx.taskforces.append_log(uuid, told)
                tx.taskforces.append_log(uuid, again)

        await bench.write(tell)

        async def find(now: float) -> list[str]:
            found = await bench.write(lambda tx: tx.taskforces.find_stoppable(ME, now=now, limit=9, kept_s=10.0))
            return [one.taskforce_uuid for one in found]

        assert await find(109.0) == ["TF-2", "TF-3"]
        assert await find(110.0) == ["TF-1", "TF-2", "TF-3"]

    async def test_no_crowd_at_another_location_stands_in_front(self, bench: Bench) -> None:
        before = {"created_at": 1.0, "priority": 100}
        await self._insert(
            bench,
            *(startable(f"TF-a{number}", location="far", **before) for number in range(200)),
            *(stoppable(f"TF-b{number}", location="far", **before) for number in range(200)),
            startable("TF-1"),
            stoppable("TF-2"),
        )

        async def find(agent: OurAgent | UpstreamAgent) -> list[str]:
            start = await bench.read(lambda tx: tx.taskforces.find_startable(agent, now=50.0, limit=1))
            stop = await bench.read(lambda tx: tx.taskforces.find_stoppable(agent, now=50.0, limit=1))
            return [one.taskforce_uuid for one in (*start, *stop)]

        assert await find(ME) == ["TF-1", "TF-2"]
        assert await find(UpstreamAgent("schedd-1", ["far"])) == ["TF-1", "TF-2"]

    async def test_the_phases_of_a_workflow_are_counted(self, bench: Bench) -> None:
        await self._insert(
            bench,
            a_taskforce("TF-1"),
            a_taskforce("TF-2"),
            a_taskforce("TF-3", phase=Phase.CONDOR_COMPLETE),
            a_taskforce("TF-4", workflow_id="WF-2"),
        )

        found = await bench.read(lambda tx: tx.taskforces.count_phases("WF-1"))

        assert found == {A_TASKFORCE.phase: 2, Phase.CONDOR_COMPLETE: 1}

    async def test_a_cluster_is_there_from_when_it_is_known_until_it_is_gone(self, bench: Bench) -> None:
        await self._insert(
            bench,
            a_taskforce("TF-1", phase=Phase.PENDING_STOPPER),
            a_taskforce("TF-2", phase=Phase.CONDOR_COMPLETE, cluster_id=1),
            a_taskforce("TF-3", workflow_id="WF-2", phase=Phase.PENDING_STOPPER, cluster_id=2),
            a_taskforce("TF-4", workflow_id="WF-3", phase=Phase.CONDOR_RM, cluster_id=0),
        )

        found = [
            await bench.read(lambda tx, one=one: tx.taskforces.has_clusters(one))  # type: ignore[misc]
            for one in ("WF-1", "WF-2", "WF-3", "WF-4")
        ]

        assert found == [False, True, True, False]

    async def test_what_an_agent_claimed_last_is_found_until_it_is_complete(self, bench: Bench) -> None:
        await self._insert(
            bench,
            a_taskforce("TF-1", claim_agent="me", created_at=2.0),
            a_taskforce("TF-2", claim_agent="me", created_at=1.0, claim_until=1.0),
            a_taskforce("TF-3", claim_agent="other"),
            a_taskforce("TF-4", claim_agent="me", phase=Phase.CONDOR_COMPLETE),
        )

        found = await bench.read(lambda tx: tx.taskforces.find_claimed("me"))

        assert [one.taskforce_uuid for one in found] == ["TF-2", "TF-1"]
        states = await bench.read(lambda tx: tx.taskforces.find_states(["TF-4", "TF-1", "TF-9", "a\0", "\ud800"]))
        assert {uuid: one.phase for uuid, one in states.items()} == {
            "TF-1": A_TASKFORCE.phase,
            "TF-4": Phase.CONDOR_COMPLETE,
        }


class QueueContract:
    async def test_queues_come_back_as_they_were_in_the_order_of_their_numbers(self, bench: Bench) -> None:
        def insert(tx: Transaction) -> list[int]:
            numbers = list(tx.queues.next_numbers(2))
            tx.queues.insert([a_queue(numbers[1], alias="b", is_public=False), a_queue(numbers[0], lease_s=1.5)])
            return numbers

        first, second = await bench.write(insert)
        queues = [a_queue(first, lease_s=1.5), a_queue(second, alias="b", is_public=False)]

        assert first < second
        assert await bench.read(lambda tx: tx.queues.list_of_workflow("WF-1")) == queues
        assert await bench.read(lambda tx: tx.queues.get(second)) == queues[1]
        found = await bench.read(lambda tx: tx.queues.find([queues[0].queue_id, "a0"]))
        assert found == {queues[0].queue_id: queues[0]}
        assert await bench.read(lambda tx: tx.queues.find([])) == {}

    async def test_numbers_of_queues_are_never_given_twice(self, bench: Bench) -> None:
        numbers = [await bench.add_queue(f"q{index}") for index in range(3)]
        assert len(set(numbers)) == 3

    async def test_a_queue_keeps_the_time_at_which_it_was_closed_first(self, bench: Bench) -> None:
        number = await bench.add_queue()

        await bench.write(lambda tx: tx.queues.close(number, at=5.5))
        await bench.write(lambda tx: tx.queues.close(number, at=9.5))

        assert (await bench.read(lambda tx: tx.queues.get(number))).closed_at == 5.5

    async def test_an_empty_queue_has_an_account_of_zeros(self, bench: Bench) -> None:
        number = await bench.add_queue()
        assert await bench.read(lambda tx: tx.queues.counts([number])) == {number: Counts()}


class AskingContract:
    async def test_of_each_agent_the_last_time_is_kept_and_found_by_its_place(self, bench: Bench) -> None:
        now = await bench.read(lambda tx: tx.now())
        early = [Ask(Agent.MUSTER, "far", "b", now - 9), Ask(Agent.MUSTER, "near", "a", now - 8)]
        late = [
            Ask(Agent.UPSTREAM, "far", "", now - 7),
            Ask(Agent.MUSTER, "far", "b", now),
            Ask(Agent.MUSTER, "far", "a", now - 1),
        ]
        await bench.write(lambda tx: tx.askings.note(early))
        await bench.write(lambda tx: tx.askings.note(late))

        assert await bench.read(lambda tx: tx.askings.find(locations=["far"], schedds=[])) == [late[1], late[2]]
        assert await bench.read(lambda tx: tx.askings.find(locations=[], schedds=["far"])) == [late[0]]
        assert len(await bench.read(lambda tx: tx.askings.find(locations=["far", "near"], schedds=["far"]))) == 4
        assert await bench.read(lambda tx: tx.askings.find(locations=[], schedds=[])) == []

    async def test_an_agent_that_asks_no_more_is_forgotten(self, bench: Bench) -> None:
        now = await bench.read(lambda tx: tx.now())
        gone, there = Ask(Agent.MUSTER, "far", "a", now - KEPT_S - 1), Ask(Agent.MUSTER, "far", "b", now - KEPT_S + 60)
        await bench.write(lambda tx: tx.askings.note([gone, there]))

        await bench.write(lambda tx: tx.askings.note([]))

        assert await bench.read(lambda tx: tx.askings.find(locations=["far"], schedds=[])) == [there]


class StoreContract(WorkflowContract, TaskforceContract, QueueContract, AskingContract):
    """Objects, as the store keeps them."""


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgresStore(StoreContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench
