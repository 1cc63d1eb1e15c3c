"""Do the rows of a new workflow come in as they are, with few statements, on both databases?"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Select, bindparam, exists, func, select

from contracts.store_bench import (
    A_DIRECTIVE,
    A_TASKFORCE,
    AN_ENTRY,
    Bench,
    a_queue,
    a_taskforce,
    a_workflow,
    open_bench,
)
from harness.statements import counted_statements
from muster.domain.errors import NotFoundError
from muster.domain.mq_profile import Direction, Kind, MqGroup, MqProfile
from muster.domain.outbox import BEGINNING, Notice
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import LookUp
from muster.server.adapters.sql.schema import outbox, queue, workflow
from muster.server.ports.store import Transaction

pytestmark = pytest.mark.anyio

TEXTS = (
    "", " ", "\n\t\r", "'", '"', "\\", "\\u0000", "\\x00", "$1", "%s", "?", ":name", "null", "{}", "NaN", "\x01\x1f\x7f", "\u2028",
    "é ü 漢字 🧪", "x" * 100_000,
)  # fmt: skip
TIMES = (0.0, 0.1, 1e-300, 1.7976931348623157e308, 1764494286.123456, 4e15, -1.0)
WHOLE = (0, 1, -1, 2**31 - 1, -(2**31))
WORKFLOWS = 12


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def insert_whole(tx: Transaction, workflow_id: str, size: int) -> None:
    """A workflow with so many of everything that a POST stores."""
    name = workflow_id.removeprefix("WF-")
    numbers = tx.queues.next_numbers(size)
    tx.queues.insert(
        [
            a_queue(number, alias=f"q{place}", workflow_id=workflow_id, queue_id=f"{name}-{place}")
            for place, number in enumerate(numbers)
        ]
    )
    directives = [
        replace(A_DIRECTIVE, task_id=f"TK-{name}-{place}", workflow_id=workflow_id, position=place)
        for place in range(size)
    ]
    tx.workflows.insert(a_workflow(workflow_id), directives)
    for directive in directives:
        forces = [
            a_taskforce(f"TF-{directive.task_id}-{place}", task_id=directive.task_id, workflow_id=workflow_id)
            for place in range(2)
        ]
        tx.taskforces.insert_all(forces, AN_ENTRY)
    profiles = [
        MqProfile(f"{name}-{place}", number, f"q{place}", is_public=True, direction=Direction.READ)
        for place, number in enumerate(numbers)
    ]
    tx.mq_groups.insert_first(MqGroup(workflow_id, 1000.5, "ada", Kind.BRIDGED), profiles)
    tx.outbox.insert(*(Notice(workflow_id, "workflow.created", 1.0, {"n": place}) for place in range(size)))


class NewRowsContract:
    @pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
    async def test_any_text_comes_back_as_it_was(self, bench: Bench, text: str) -> None:
        workflow = a_workflow("WF-1", name=text, owner=text, owner_group=text)
        directive = replace(A_DIRECTIVE, task_args=text, task_env={text or "A": text})
        taskforce = replace(A_TASKFORCE, worker_config={"do": text}, pilot_config={text: [text]})
        notice = Notice("WF-1", "a.b", 1.0, {"said": text})

        def insert(tx: Transaction) -> None:
            tx.workflows.insert(workflow, [directive])
            tx.taskforces.insert(taskforce, replace(AN_ENTRY, context=text))
            tx.outbox.insert(notice)

        await bench.write(insert)

        assert await bench.read(lambda tx: tx.workflows.get("WF-1")) == workflow
        assert list(await bench.read(lambda tx: tx.workflows.list_directives("WF-1"))) == [directive]
        assert await bench.read(lambda tx: tx.taskforces.get("TF-1")) == taskforce
        log = await bench.read(lambda tx: tx.taskforces.list_log(["TF-1"]))
        assert [one.context for one in log["TF-1"]] == [text]
        [(_, told)] = await bench.read(lambda tx: tx.outbox.list_after(BEGINNING, subject="WF-1", limit=9))
        assert told == notice

    async def test_any_number_comes_back_as_it_was(self, bench: Bench) -> None:
        workflows = {
            f"WF-{number}": a_workflow(
                f"WF-{number}",
                created_at=TIMES[number % len(TIMES)],
                priority=WHOLE[number % len(WHOLE)],
                ended_at=None if number % 2 else TIMES[-1 - number % len(TIMES)],
                finish_when_done=bool(number % 2),
            )
            for number in range(len(TIMES) * len(WHOLE))
        }

        def insert(tx: Transaction) -> None:
            for one in workflows.values():
                tx.workflows.insert(one, [])

        await bench.write(insert)

        def read(tx: Transaction) -> dict[str, object]:
            return {name: tx.workflows.get(name) for name in workflows}

        assert await bench.read(read) == workflows

    async def test_what_was_inserted_is_there_for_the_next_that_asks_in_the_transaction(self, bench: Bench) -> None:
        def work(tx: Transaction) -> list[int]:
            seen = []
            for number in range(3):
                tx.workflows.insert(a_workflow(f"WF-{number}"), [])
                seen.append(len(tx.workflows.find_free([f"WF-{one}" for one in range(number + 1)])))
                tx.workflows.update(a_workflow(f"WF-{number}", ended_by="eve"))
            return seen

        assert await bench.write(work) == [1, 2, 3]
        assert (await bench.read(lambda tx: tx.workflows.get("WF-2"))).ended_by == "eve"

    async def test_one_that_cannot_come_in_keeps_all_of_its_transaction_out(self, bench: Bench) -> None:
        def work(tx: Transaction) -> None:
            insert_whole(tx, "WF-2", 2)
            tx.workflows.insert(a_workflow("WF-1"), [])

        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-1"), []))

        with pytest.raises(Exception, match=r"(?i)unique"):
            await bench.write(work)
        with pytest.raises(NotFoundError):
            await bench.read(lambda tx: tx.workflows.get("WF-2"))
        assert list(await bench.read(lambda tx: tx.outbox.list_after(BEGINNING, subject=None, limit=9))) == []

    async def test_rows_that_name_other_columns_than_those_before_them_are_a_fault(self, bench: Bench) -> None:
        new = NewRows(outbox, {"era": ("0", "0"), "txid": ("0", "0")})
        row = {"subject": "WF-1", "kind": "a.b", "at": 1.0, "data": "{}"}

        def insert(tx: Transaction, rows: Sequence[dict[str, object]]) -> None:
            session = tx.outbox._session  # type: ignore[attr-defined]
            session.insert(new, [row])
            session.insert(new, rows)

        fewer, more = {key: row[key] for key in ("subject", "kind", "at")}, row | {"number": 7}
        for rows in ([fewer], [more], [row, fewer], [row, more]):
            with pytest.raises(ValueError, match="rows of outbox name different columns"):
                await bench.write(partial(insert, rows=rows))

    async def test_rows_keep_the_order_in_which_they_came(self, bench: Bench) -> None:
        await bench.write(lambda tx: insert_whole(tx, "WF-1", 9))

        told = await bench.read(lambda tx: tx.outbox.list_after(BEGINNING, subject="WF-1", limit=99))
        assert [one.data["n"] for _, one in told] == list(range(9))
        directives = await bench.read(lambda tx: tx.workflows.list_directives("WF-1"))
        assert [one.task_id for one in directives] == [f"TK-1-{place}" for place in range(9)]

    async def test_a_workflow_of_any_size_takes_as_many_statements(self, bench: Bench) -> None:
        counts = []
        for number, size in enumerate((1, WORKFLOWS)):
            with counted_statements() as seen:
                await bench.write(lambda tx, number=number, size=size: insert_whole(tx, f"WF-{number}", size))  # type: ignore[misc]
            counts.append([one for one in seen if "INSERT INTO" in one])

        small, large = map(len, counts)
        if bench.url.startswith("postgresql"):
            assert (small, large) == (1, 1)
        else:
            assert 8 <= small <= large <= small + 2 * WORKFLOWS


class TestSqlite(NewRowsContract):
    @pytest.fixture
    async def bench(self, sqlite_url: str) -> AsyncIterator[Bench]:
        async with open_bench(sqlite_url) as bench:
            yield bench


@pytest.mark.server
class TestPostgres(NewRowsContract):
    @pytest.fixture
    async def bench(self, postgres_url: str) -> AsyncIterator[Bench]:
        async with open_bench(postgres_url) as bench:
            yield bench


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        (select(workflow), {"workflow"}),
        (select(queue.c.number).where(queue.c.workflow_id == bindparam("x")), {"queue"}),
        (select(queue.c.number).join(workflow, workflow.c.workflow_id == queue.c.workflow_id), {"queue", "workflow"}),
        (select(queue.c.number).where(exists().where(outbox.c.subject == queue.c.workflow_id)), {"queue", "outbox"}),
        (select(select(func.max(queue.c.number)).scalar_subquery() + 1), {"queue"}),
        (select(func.now()), set()),
    ],
)
def test_a_look_up_knows_every_table_that_it_reads(statement: Select[Any], tables: set[str]) -> None:
    assert {one.name for one in LookUp(statement).tables} == tables
