"""Does SQL, on both databases, find all that a filter wants, and where it can say it nothing else?"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.sql import ColumnElement

from contracts.filter_worlds import ANYTHING, PLAIN, World, directives, queries, taskforces, workflows
from contracts.store_bench import A_WORKFLOW, Bench, open_bench
from muster.domain.filter import ID, OPAQUE, Filter
from muster.domain.match_filter import matches
from muster.domain.parse_filter import parse_filter
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow
from muster.server.adapters.sql import schema
from muster.server.adapters.sql.filters.compile import compile_filter
from muster.server.adapters.sql.filters.stored import DIRECTIVES, TASKFORCES, WORKFLOWS, Stored
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.doors.ewms.queries import QUERIES
from muster.server.ports.finder import Look
from muster.server.ports.store import Transaction
from muster.server.services.find_objects import Collection
from muster.server.services.linear_regex import make_pattern

Documents = dict[str, dict[str, Any]]


@dataclass
class Asked:
    """A database that is asked with filters."""

    portal: BlockingPortal
    bench: Bench

    @property
    def is_postgres(self) -> bool:
        return self.bench.url.startswith("postgresql")

    def keep(
        self,
        *,
        workflows: Sequence[Workflow] = (),
        directives: Sequence[TaskDirective] = (),
        taskforces: Sequence[tuple[Taskforce, list[PhaseLogEntry]]] = (),
    ) -> None:
        """Have these in the database, and nothing else, under ids in their order."""

        def work(tx: Transaction) -> None:
            assert isinstance(tx, SqlTransaction)
            for table in (schema.workflow, schema.task_directive, schema.taskforce, schema.phase_log):
                tx._session.execute(delete(table))
            for place, workflow in enumerate(workflows):
                tx.workflows.insert(replace(workflow, workflow_id=f"WF-{place}"), [])
            tasks = [replace(one, task_id=f"TK-{place}") for place, one in enumerate(directives)]
            tx.workflows.insert(A_WORKFLOW if not workflows else replace(A_WORKFLOW, workflow_id="WF-x"), tasks)
            for place, (taskforce, log) in enumerate(taskforces):
                tx.taskforces.insert(replace(taskforce, taskforce_uuid=f"TF-{place}"), log[0])
                for entry in log[1:]:
                    tx.taskforces.append_log(f"TF-{place}", entry)

        self.portal.call(self.bench.write, work)

    def show(self, collection: Collection[Any]) -> Documents:
        """Every document by its id, in order of creation."""
        everything = Look(parse({}), collection.sources, 0, limit=1000, scan=1000)
        found = self.portal.call(self.bench.read, lambda tx: collection.find(tx, everything))
        documents = [collection.render(one) for _, one in found.objects]
        return {next(iter(one.values())): one for one in documents}

    def select(self, stored: Stored, condition: ColumnElement[bool]) -> set[str]:
        """The ids of rows that meet a condition."""
        query = select(*stored.table.primary_key.columns).where(condition)

        def work(tx: Transaction) -> set[str]:
            assert isinstance(tx, SqlTransaction)
            return set(tx._session.execute(query).scalars())

        return self.portal.call(self.bench.read, work)

    def find(self, collection: Collection[Any], filter_: Filter, *, limit: int, scan: int) -> list[str]:
        """The ids of what fits, look by look."""
        found: list[str] = []
        after: int | None = 0
        while after is not None:
            look = Look(filter_, collection.sources, after, limit=limit, scan=scan)
            part = self.portal.call(self.bench.read, lambda tx, look=look: collection.find(tx, look))
            assert part.reached is None or part.reached > after
            documents = [collection.render(one) for _, one in part.objects]
            found += [next(iter(one.values())) for one in documents if fits(filter_, one)]
            after = part.reached
        return found


def parse(query: Any) -> Filter:
    return parse_filter(query, make_pattern=make_pattern)


def fits(filter_: Filter, document: dict[str, Any]) -> bool:
    return matches(filter_, document | {ID: OPAQUE})


@contextmanager
def open_asked(url: str) -> Iterator[Asked]:
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(open_bench(url)) as bench:
        yield Asked(portal, bench)


def check_within(asked: Asked, collection: Collection[Any], stored: Stored, world: World, data: st.DataObject) -> None:
    """Ask some queries: what fits is between what SQL says, and in a plain world it is what SQL says."""
    documents = asked.show(collection)
    for query in data.draw(st.lists(queries(world, list(documents.values())), min_size=3, max_size=6), label="queries"):
        filter_ = parse(query)
        told = compile_filter(filter_, collection.sources, stored, is_postgres=asked.is_postgres)
        upper, lower = asked.select(stored, told.upper), asked.select(stored, told.lower)
        wanted = {one for one, document in documents.items() if fits(filter_, document)}
        assert lower <= wanted <= upper, query
        if world.is_plain:
            assert lower == upper, query
        assert asked.find(collection, filter_, limit=2, scan=2) == [one for one in documents if one in wanted], query


EXAMPLES = int(os.environ.get("MUSTER_TEST_FILTERS", "12"))
"""Sets of objects, with some queries each."""
door = QUERIES["/v1"]
SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow]
)


class FilterContract:
    """What each database must find; a class of each has the fixture `asked`."""

    @pytest.mark.parametrize("world", [ANYTHING, PLAIN], ids=["anything", "plain"])
    def test_taskforces(self, asked: Asked, world: World) -> None:
        @SETTINGS
        @given(st.data())
        def check(data: st.DataObject) -> None:
            one = taskforces(world, has_nul=not asked.is_postgres)
            asked.keep(taskforces=data.draw(st.lists(one, min_size=1, max_size=4), label="taskforces"))
            check_within(asked, door.taskforces, TASKFORCES, world, data)

        check()

    @pytest.mark.parametrize("world", [ANYTHING, PLAIN], ids=["anything", "plain"])
    def test_directives(self, asked: Asked, world: World) -> None:
        @SETTINGS
        @given(st.data())
        def check(data: st.DataObject) -> None:
            asked.keep(directives=data.draw(st.lists(directives(world), min_size=1, max_size=4), label="directives"))
            check_within(asked, door.directives, DIRECTIVES, world, data)

        check()

    def test_workflows(self, asked: Asked) -> None:
        @SETTINGS
        @given(st.data())
        def check(data: st.DataObject) -> None:
            asked.keep(workflows=data.draw(st.lists(workflows(), min_size=1, max_size=4), label="workflows"))
            check_within(asked, door.workflows, WORKFLOWS, PLAIN, data)

        check()


class TestSqlite(FilterContract):
    @pytest.fixture
    def asked(self, sqlite_url: str) -> Iterator[Asked]:
        with open_asked(sqlite_url) as asked:
            yield asked


@pytest.mark.server
class TestPostgres(FilterContract):
    @pytest.fixture
    def asked(self, postgres_url: str) -> Iterator[Asked]:
        with open_asked(postgres_url) as asked:
            yield asked
