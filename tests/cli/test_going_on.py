"""Is it said what is in where publishing broke off, and how to go on?"""

import pytest

from muster.cli.going_on import Again, render_break_off
from muster.client.conversations import Publication
from muster.domain.errors import ConflictError, NoRoomError, UnavailableError

COUNTED = "`muster queue list` shows how many there are"
SAME = "the same command again publishes only what is missing"


def say(error: BaseException, *, events: int, under_way: int, total: int | None, again: Again) -> list[str]:
    publication = Publication("WF-1", "in", [], idempotency_key="k")
    publication.events, publication.under_way = events, under_way
    return list(render_break_off(publication, error, total=total, again=again))


@pytest.mark.parametrize("error", [UnavailableError(), KeyboardInterrupt()])
def test_nobody_knows_of_what_was_under_way_when_no_answer_came(error: BaseException) -> None:
    assert say(error, events=2000, under_way=1000, total=5000, again=Again.WITH_KEY) == [
        "2000 of 5000 events are published; of the next 1000 all or none, and none of those behind them",
        "the same command with --idempotency-key k publishes only what is missing",
    ]
    assert say(error, events=0, under_way=3, total=3, again=Again.AS_IT_IS) == [
        "0 of 3 events are published; of the next 3 all or none, and none of those behind them",
        SAME,
    ]
    assert say(error, events=7, under_way=2, total=None, again=Again.FROM_THERE) == [
        "7 events are published; of the next 2 all or none, and none of those behind them",
        f"go on with the same input from line 8 on, or from 10 (blank lines do not count); {COUNTED}",
    ]


@pytest.mark.parametrize("error", [NoRoomError(), ConflictError()])
def test_what_was_refused_is_not_in(error: BaseException) -> None:
    assert say(error, events=2000, under_way=1000, total=5000, again=Again.AS_IT_IS) == [
        "2000 of 5000 events are published, and none of the others",
        SAME,
    ]
    assert say(error, events=7, under_way=2, total=None, again=Again.FROM_THERE) == [
        "7 events are published, and none of the others",
        "go on with the same input from line 8 on (blank lines do not count)",
    ]


def test_a_first_call_that_is_refused_for_good_says_it_all() -> None:
    assert say(ConflictError(), events=0, under_way=9, total=9, again=Again.AS_IT_IS) == []
    assert say(NoRoomError(), events=0, under_way=9, total=9, again=Again.AS_IT_IS) == [
        "0 of 9 events are published, and none of the others",
        SAME,
    ]


def test_where_all_are_in_the_queue_may_still_be_open() -> None:
    assert say(UnavailableError(), events=9, under_way=0, total=9, again=Again.AS_IT_IS) == [
        "all 9 events are published; the queue may not be closed yet",
        SAME,
    ]
