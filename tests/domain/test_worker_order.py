"""How are workers named in sentences, and how does it stand with an order?"""

import re

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.worker_order import ORDER_S, OrderAction, OrderState, Outcome, WorkerOrder, render_procs

ORDER = WorkerOrder("WO-1", "TF-1", OrderAction.HOLD, (1,), "", "ada", 100.0)


def test_workers_are_named_by_spans() -> None:
    assert render_procs(()) == "all workers"
    assert render_procs((3,)) == render_procs((3, 3)) == "worker 3"
    assert render_procs((7, 2, 0, 1)) == "workers 0 to 2, 7"


@given(st.sets(st.integers(0, 60), min_size=1))
def test_every_worker_is_named_and_no_other(procs: set[int]) -> None:
    named: set[int] = set()
    for span in re.sub(r"workers? ", "", render_procs(tuple(procs))).split(", "):
        first, _, last = span.partition(" to ")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == procs


def test_an_order_waits_until_it_is_carried_out_or_too_old() -> None:
    assert ORDER.find_state(100.0 + ORDER_S - 1) is OrderState.WAITING
    assert ORDER.find_state(100.0 + ORDER_S) is OrderState.EXPIRED
    done = WorkerOrder(**{**vars(ORDER), "outcome": Outcome(1), "answered_at": 101.0})
    assert done.find_state(1e9) is OrderState.DONE
    failed = WorkerOrder(**{**vars(ORDER), "outcome": Outcome(0, "no"), "answered_at": 101.0})
    assert failed.find_state(1e9) is OrderState.FAILED
