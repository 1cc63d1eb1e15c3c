"""Does a look for drained workflows cost the same however many are active?"""

from dataclasses import asdict

import pytest
from sqlalchemy import insert

from contracts.store_bench import a_queue, a_workflow
from harness.statements import counted_statements
from muster.server.adapters.sql import schema
from muster.server.ports.store import Transaction
from muster.server.services.finish_drained import DrainPass, finish_drained
from server.stand import Stand

pytestmark = pytest.mark.anyio


async def add_active(stand: Stand, name: str, count: int, *, drained: int) -> None:
    """Active workflows that finish themselves; some with a closed input, others half of them open, half with work left."""

    def write(tx: Transaction) -> None:
        session = tx.workflows._session  # type: ignore[attr-defined]
        numbers = tx.queues.next_numbers(count)
        workflows, queues, counters = [], [], []
        for index, number in enumerate(numbers):
            one = a_workflow(f"WF-{name}-{index}", finish_when_done=True)
            is_closed = index < drained or index % 2 == 0
            closed_at = 5.0 if is_closed else None
            left = 0 if index < drained else 1
            workflows.append(asdict(one) | {"number": session.take_number()})
            queues.append(asdict(a_queue(number, workflow_id=one.workflow_id, closed_at=closed_at)))
            none = dict.fromkeys(("in_work", "done", "dead", "failed", "duplicates"), 0)
            counters.append({"queue": number, "published": left, "waiting": left} | none)
        for table, rows in ((schema.workflow, workflows), (schema.queue, queues), (schema.counter, counters)):
            session.execute(insert(table), rows)

    await stand.parts.store.write(write)


async def test_a_pass_over_thousands_is_a_constant_number_of_statements(stand: Stand) -> None:
    await add_active(stand, "few", 20, drained=3)
    with counted_statements() as few:
        seen = await finish_drained(stand.parts)
    assert seen == DrainPass(finished=3, draining=8)

    await add_active(stand, "many", 5000, drained=3)
    with counted_statements() as many:
        seen = await finish_drained(stand.parts)
    assert seen == DrainPass(finished=3, draining=8 + 2498)

    assert len(many) == len(few) < 50
    with counted_statements() as none:
        assert (await finish_drained(stand.parts)).finished == 0
    assert len(none) <= 3, none
