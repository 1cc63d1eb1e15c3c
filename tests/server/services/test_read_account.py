"""Does an account that is wrong say so, and in which way? Nothing here may be true by construction alone."""

import pytest

from muster.domain.queue import Counts, Queue
from muster.domain.workflow import Workflow
from muster.server.ports.store import Recount
from muster.server.services.read_account import WorkflowAccount

WORKFLOW = Workflow("WF-1", 0.0, 50, "ada", "", finish_when_done=True)
QUEUE = Queue(
    number=1,
    queue_id="a" * 21,
    workflow_id="WF-1",
    alias="in",
    is_public=True,
    is_input=True,
    is_output=False,
    closed_at=None,
    attempts=5,
    lease_s=60.0,
    retry_s=0.0,
)
RIGHT = Counts(published=50, done=50)


def an_account(kept: Counts = RIGHT, counted: Counts | None = RIGHT, *, counted_twice: int = 0) -> WorkflowAccount:
    recounts = {} if counted is None else {1: Recount(kept, counted, counted_twice=counted_twice)}
    return WorkflowAccount(WORKFLOW, [QUEUE], {1: kept}, recounts)


def test_an_account_that_is_right_adds_up() -> None:
    assert (an_account().adds_up, an_account().lost, an_account().counted_twice) == (True, 0, 0)


def test_rows_that_are_gone_are_lost_whatever_the_counters_say() -> None:
    account = an_account(counted=Counts(published=50, done=47))

    assert (account.adds_up, account.lost, account.counted_twice) == (False, 3, 0)


def test_a_counter_that_went_astray_does_not_add_up() -> None:
    account = an_account(kept=Counts(published=50, done=49), counted=None)

    assert (account.adds_up, account.lost) == (False, 1)


def test_counters_that_disagree_with_the_rows_do_not_add_up_also_when_both_are_balanced() -> None:
    account = an_account(kept=Counts(published=50, waiting=1, done=49), counted=RIGHT)

    assert (account.adds_up, account.lost) == (False, 0)


@pytest.mark.parametrize("twice", [1, 7])
def test_an_event_with_two_results_that_counted_does_not_add_up(twice: int) -> None:
    account = an_account(counted_twice=twice)

    assert (account.adds_up, account.counted_twice) == (False, twice)
