"""Are objects found in order of creation, in stretches that are bounded, and by the index that is there for it?"""

import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from sqlalchemy import text

from contracts.store_bench import A_DIRECTIVE, AN_ENTRY, Bench, a_taskforce, a_workflow, open_bench
from muster.domain.filter import Filter
from muster.domain.parse_filter import parse_filter
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import TaskDirective, Workflow
from muster.server.adapters.sql import schema
from muster.server.adapters.sql.filters.compile import find_approach
from muster.server.adapters.sql.filters.stored import DIRECTIVES, TASKFORCES, WORKFLOWS
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.doors.ewms.sources import DIRECTIVE_SOURCES, TASKFORCE_SOURCES, WORKFLOW_SOURCES
from muster.server.ports.finder import Computed, Constant, Found, LoggedTaskforce, Look, Sources
from muster.server.ports.store import Transaction
from muster.server.services.linear_regex import make_pattern

pytestmark = pytest.mark.anyio

MANY = 4_000
"""Enough that no planner takes the whole table for the shortest way."""
OF_LOG = {"schedd": "far", "job_event_log_fpath": "/jel/7"}
WAYS: list[tuple[Any, str]] = [
    ({}, "taskforce_by_number"),
    ({"taskforce_uuid": "TF-00070"}, "pk"),
    ({"workflow_id": "WF-7"}, "taskforce_of_workflow"),
    ({"task_id": "TK-7"}, "taskforce_of_task"),
    ({"cluster_id": 7}, "taskforce_of_cluster"),
    ({**OF_LOG, "cluster_id": 7}, "taskforce_of_cluster"),
    (OF_LOG, "taskforce_of_log"),
    ({**OF_LOG, "phase": {"$ne": "condor-complete"}}, "taskforce_of_log"),
    ({"phase": "condor-submit"}, "taskforce_in_phase"),
    ({"phase": "condor-complete", "workflow_id": "WF-7"}, "taskforce_of_workflow"),
    ({"schedd": "far", "workflow_id": {"$in": ["WF-7", "WF-9"]}}, "taskforce_of_workflow"),
    ({"phase": "condor-complete", "taskforce_uuid": {"$in": ["TF-00070", "TF-00100"]}}, "pk"),
]
"""What clients ask (wms.md section 13), and what others are likely to, with the index that it is to go by."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def parse(query: Any) -> Filter:
    return parse_filter(query, make_pattern=make_pattern)


def look(query: Any, *, sources: Sources = TASKFORCE_SOURCES, after: int = 0, **bounds: Any) -> Look:
    return Look(parse(query), sources, after, **{"limit": 100, "scan": 1000, **bounds})


async def find(bench: Bench, wanted: Look) -> Found[LoggedTaskforce]:
    return await bench.read(lambda tx: tx.finder.find_taskforces(wanted))


def uuids(found: Found[LoggedTaskforce]) -> list[str]:
    return [one.taskforce.taskforce_uuid for _, one in found.objects]


async def insert(bench: Bench, workflow: Workflow, tasks: Sequence[TaskDirective]) -> None:
    await bench.write(lambda tx: tx.workflows.insert(workflow, tasks))


async def fill(bench: Bench, count: int) -> None:
    """Taskforces of ten logs, of which one in a hundred is not over."""

    def work(tx: Transaction) -> None:
        for number in range(count):
            one = a_taskforce(
                f"TF-{number:05}",
                workflow_id=f"WF-{number // 10}",
                task_id=f"TK-{number // 5}",
                schedd="far" if number % 2 else "near",
                job_event_log_fpath=f"/jel/{number * 10 // count}",
                cluster_id=number // 3,
                phase=Phase.CONDOR_SUBMIT if number % 100 == 1 else Phase.CONDOR_COMPLETE,
            )
            tx.taskforces.insert(one, AN_ENTRY)

    await bench.write(work)


class FinderContract(ABC):
    async def test_objects_come_in_order_of_creation_each_once(self, bench: Bench) -> None:
        for uuid in ("TF-b", "TF-c", "TF-a"):
            await bench.write(lambda tx, uuid=uuid: tx.taskforces.insert(a_taskforce(uuid), AN_ENTRY))  # type: ignore[misc]

        first = await find(bench, look({}, limit=2))
        assert first.reached is not None
        second = await find(bench, look({}, limit=2, after=first.reached))

        assert (uuids(first), uuids(second), second.reached) == (["TF-b", "TF-c"], ["TF-a"], None)
        numbers = [number for number, _ in (*first.objects, *second.objects)]
        assert numbers == sorted(set(numbers))

    async def test_the_newest_come_first_where_that_is_wanted(self, bench: Bench) -> None:
        await fill(bench, 120)
        every, after = [f"TF-{number:05}" for number in reversed(range(120))], 1 << 62
        for query, wanted in (({}, every), ({"worker_config.cores": 5}, []), ({"schedd": "far"}, every[::2])):
            seen: list[str] = []
            one = look(query, after=after, limit=50, scan=30, newest_first=True)
            while True:
                found = await find(bench, one)
                seen += uuids(found)
                if found.reached is None:
                    break
                assert found.reached < one.after
                one = replace(one, after=found.reached)
            assert seen == wanted, query

    async def test_workflows_and_tasks_come_in_order_of_creation_too(self, bench: Bench) -> None:
        for workflow_id in ("WF-b", "WF-a"):
            tasks = [
                replace(A_DIRECTIVE, workflow_id=workflow_id, task_id=f"TK-{workflow_id}{place}", position=place)
                for place in (0, 1)
            ]
            await insert(bench, a_workflow(workflow_id), tasks)

        everything, all_tasks = look({}, sources=WORKFLOW_SOURCES), look({}, sources=DIRECTIVE_SOURCES)
        workflows = await bench.read(lambda tx: tx.finder.find_workflows(everything))
        tasks_found = await bench.read(lambda tx: tx.finder.find_directives(all_tasks))

        assert [one.workflow_id for _, one in workflows.objects] == ["WF-b", "WF-a"]
        assert [one.task_id for _, one in tasks_found.objects] == ["TK-WF-b0", "TK-WF-b1", "TK-WF-a0", "TK-WF-a1"]

    async def test_a_taskforce_comes_with_its_log_where_that_is_wanted(self, bench: Bench) -> None:
        later = replace(AN_ENTRY, target_phase=Phase.PRE_LAUNCH, at=2000.0)

        def work(tx: Transaction) -> None:
            tx.taskforces.insert(a_taskforce("TF-1"), AN_ENTRY)
            tx.taskforces.append_log("TF-1", later)

        await bench.write(work)

        [(_, logged)] = (await find(bench, look({}))).objects
        [(_, bare)] = (await find(bench, look({}, with_log=False))).objects

        assert logged == LoggedTaskforce(a_taskforce("TF-1"), [AN_ENTRY, later])
        assert bare == LoggedTaskforce(a_taskforce("TF-1"), ())

    async def test_a_stretch_without_anything_ends_where_it_was_told_to(self, bench: Bench) -> None:
        await fill(bench, 100)

        wanted = look({"worker_config.cores": 5}, scan=30)
        reached, stretches = 0, 0
        while True:
            found = await find(bench, replace(wanted, after=reached))
            stretches += 1
            assert uuids(found) == []
            if found.reached is None:
                break
            assert found.reached > reached
            reached = found.reached
        assert stretches == 4

    async def test_a_stretch_is_of_what_an_index_leads_to(self, bench: Bench) -> None:
        await fill(bench, 200)

        found = await find(bench, look({**OF_LOG, "phase": {"$ne": "condor-complete"}}, scan=11))

        assert found.reached is None  # of the ten of that log, where there are 200
        assert uuids(found) == []

    async def test_what_nothing_can_be_is_not_looked_for(self, bench: Bench) -> None:
        await fill(bench, 20)
        for query in ({"_id": "x"}, {"schedd": 5}, {"phase": "gone"}, {"phase.x": 1}, {"$or": [{"priority": "high"}]}):
            assert await find(bench, look(query, scan=1)) == Found([], None)

    async def test_fields_that_the_store_knows_nothing_of_are_left_to_the_filter(self, bench: Bench) -> None:
        await fill(bench, 3)
        sources = {**TASKFORCE_SOURCES, "gone_at": Constant(None), "told": Computed()}

        async def count(query: Any) -> int:
            return len((await find(bench, look(query, sources=sources))).objects)

        assert [await count({"gone_at": one}) for one in (None, 5, {"$gte": None}, {"$exists": False})] == [3, 0, 3, 0]
        assert [await count(one) for one in ({"told": 5}, {"told": {"$ne": 5}}, {"told.x": None})] == [3, 3, 3]

    async def test_a_clients_query_goes_by_its_index(self, bench: Bench) -> None:
        await fill(bench, MANY)
        names = {"pk": r"taskforce_pkey|sqlite_autoindex_taskforce_1"}
        backwards = {"after": 1 << 62, "newest_first": True}
        for (query, index), bounds in product(WAYS, ({}, backwards)):
            plans = await self.explain(bench, look(query, **bounds))
            assert plans
            for plan in plans:
                assert re.search(names.get(index, index), plan), (query, plan)
                assert not re.search(r"SCAN taskforce(?! USING)|Seq Scan", plan), (query, plan)
                # PostgreSQL sorts where that is few; rows of several values are not in order.
                assert "TEMP B-TREE" not in plan or index == "pk" or "$in" in str(query), (query, plan)

    @abstractmethod
    async def explain(self, bench: Bench, wanted: Look) -> list[str]:
        """The plans of the statements that a look makes."""


async def explain(bench: Bench, wanted: Look, prefix: str) -> list[str]:
    plans: list[str] = []

    def work(tx: Transaction) -> None:
        assert isinstance(tx, SqlTransaction)
        session, statements = tx._session, list[Any]()
        run = session.execute

        def remember(statement: Any, parameters: Any = None) -> Any:
            statements.append(statement)
            return run(statement, parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(session, "execute", remember)
            tx.finder.find_taskforces(wanted)
        dialect = session.connection.dialect
        for statement in statements:
            if schema.phase_log in statement.get_final_froms():
                continue
            told = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            rows: Sequence[Any] = session.connection.execute(
                text(f"{prefix} {str(told).replace(':', chr(92) + ':')}")
            ).all()
            plans.append("\n".join(str(row[-1]) for row in rows))

    await bench.read(work)
    return plans


class TestSqlite(FinderContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench

    async def explain(self, bench: Bench, wanted: Look) -> list[str]:
        return await explain(bench, wanted, "EXPLAIN QUERY PLAN")


@pytest.mark.server
class TestPostgres(FinderContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench

    async def explain(self, bench: Bench, wanted: Look) -> list[str]:
        def analyze(tx: Transaction) -> None:
            assert isinstance(tx, SqlTransaction)
            tx._session.execute(text("ANALYZE taskforce"))

        await bench.write(analyze)
        return await explain(bench, wanted, "EXPLAIN")


# -- the way to them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ({}, []),
        ({"taskforce_uuid": "x"}, ["taskforce_uuid"]),
        ({"taskforce_uuid": {"$in": ["x", "y"]}, "schedd": "far"}, ["taskforce_uuid"]),
        ({"workflow_id": "x", "task_id": "y"}, ["task_id"]),
        ({"workflow_id": {"$in": ["x", "y"]}}, ["workflow_id"]),
        ({"workflow_id": {"$in": ["x"]}, "phase": "condor-rm"}, ["workflow_id"]),
        ({"$and": [{"schedd": "far"}, {"job_event_log_fpath": "/x"}]}, ["schedd", "job_event_log_fpath"]),
        ({"$and": [{"$and": [{"schedd": "far"}]}], "job_event_log_fpath": "/x"}, ["schedd", "job_event_log_fpath"]),
        ({"schedd": "far", "phase": "condor-rm"}, ["phase"]),
        ({"schedd": "far"}, ["schedd"]),
        ({"phase": {"$in": ["condor-rm", "condor-complete"]}}, []),
        ({"cluster_id": None}, []),
        ({"cluster_id": {"$in": [None, 1]}}, []),
        ({"schedd": {"$ne": "far"}}, []),
        ({"schedd": {"$gt": "far"}}, []),
        ({"$or": [{"schedd": "far"}]}, []),
        ({"worker_config": {"a": 1}}, []),
        ({"schedd.x": "far"}, []),
    ],
)
def test_which_index_is_the_way_to_what_is_wanted(query: Any, columns: list[str]) -> None:
    approach = find_approach(parse(query), TASKFORCE_SOURCES, TASKFORCES, is_postgres=False)
    assert [re.findall(r"taskforce\.(\w+)", str(one))[0] for one in approach.conditions] == columns
    assert approach.is_short is (columns == ["taskforce_uuid"])


def test_workflows_and_tasks_have_their_ways() -> None:
    active = find_approach(parse({"deactivated": None}), WORKFLOW_SOURCES, WORKFLOWS, is_postgres=False)
    tasks = find_approach(parse({"workflow_id": "x"}), DIRECTIVE_SOURCES, DIRECTIVES, is_postgres=False)
    assert [str(one) for told in (active, tasks) for one in told.conditions] == [
        "workflow.state = :state_1",
        "task_directive.workflow_id = :workflow_id_1",
    ]


def test_every_way_is_an_index_that_ends_in_the_order_of_creation() -> None:
    for stored in (WORKFLOWS, DIRECTIVES, TASKFORCES):
        indexes = {tuple(column.name for column in index.columns) for index in stored.table.indexes}
        assert {(*route, "number") for route in stored.routes} <= indexes
        assert [column.name for column in stored.table.primary_key.columns] == [*stored.unique]
