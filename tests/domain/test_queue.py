"""When does an account add up, and when is a workflow drained?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.queue import Counts, Queue, is_workflow_drained

NUMBERS = st.integers(0, 10**9)
IDLE = Counts(published=5, done=4, dead=1)


def a_queue(**fields: object) -> Queue:
    values: dict[str, object] = {
        "number": 1,
        "queue_id": "a" * 21,
        "workflow_id": "WF-1",
        "alias": "points",
        "is_public": True,
        "is_input": True,
        "is_output": False,
        "closed_at": 1.0,
        "attempts": 5,
        "lease_s": 60.0,
        "retry_s": 2.0,
    }
    return Queue(**(values | fields))  # type: ignore[arg-type]


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_an_account_adds_up_exactly_when_its_parts_do(waiting: int, in_work: int, done: int, dead: int) -> None:
    total = waiting + in_work + done + dead

    assert Counts(total, waiting, in_work, done, dead).adds_up
    assert not Counts(total + 1, waiting, in_work, done, dead).adds_up


def test_a_negative_count_never_adds_up() -> None:
    assert not Counts(published=0, waiting=-1, in_work=1).adds_up


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS)))
def test_sums_of_accounts_that_add_up_add_up(parts: list[tuple[int, int, int, int]]) -> None:
    total = Counts()
    for part in parts:
        total = total + Counts(sum(part), *part)

    assert total.adds_up


@pytest.mark.parametrize(
    ("queues", "drained"),
    [
        ([], False),
        ([(a_queue(), IDLE)], True),
        ([(a_queue(closed_at=None), IDLE)], False),
        ([(a_queue(), Counts(published=1, waiting=1))], False),
        ([(a_queue(), Counts(published=1, in_work=1))], False),
        # an inner queue need not be closed, but must be empty
        ([(a_queue(), IDLE), (a_queue(number=2, is_public=False, closed_at=None), IDLE)], True),
        ([(a_queue(), IDLE), (a_queue(number=2, is_public=False, closed_at=None), Counts(1, waiting=1))], False),
        # results that nobody has consumed do not keep a workflow from ending
        ([(a_queue(), IDLE), (a_queue(number=2, is_input=False, closed_at=None), Counts(9, waiting=9))], True),
        ([(a_queue(is_input=False), IDLE)], False),
    ],
)
def test_a_workflow_is_drained_when_its_closed_inputs_are(queues: list[tuple[Queue, Counts]], drained: bool) -> None:  # noqa: FBT001
    assert is_workflow_drained(queues) is drained
