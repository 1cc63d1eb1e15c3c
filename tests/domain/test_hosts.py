"""Is a host that fails what others can do given nothing for a while, and one that is not to blame left alone?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.hosts import (
    BLAMED_MIN,
    OTHERS_S,
    PAUSE_S_FIRST,
    PAUSE_S_MAX,
    QUIET_S,
    RECENT_MAX,
    REST_S_FIRST,
    REST_S_MAX,
    RESTING_SHARE_MAX,
    STREAK,
    HostRecord,
    HostWatch,
    Others,
)

NEW = HostRecord("TK-1", "c7")
GOOD = Others(hosts=20, done=1000, blamed=3)
"""The others hardly ever fail."""


def fail(watch: HostWatch, count: int, *, at: float, host: str = "bad") -> list[float | None]:
    return [watch.note(host, failed=True, at=at) for _ in range(count)]


def test_after_failures_in_a_row_it_pauses_and_longer_each_time_until_it_has_done_something() -> None:
    watch = HostWatch()
    watch.note_call("good", at=0.0)

    assert fail(watch, STREAK, at=1.0) == [None] * (STREAK - 1) + [PAUSE_S_FIRST]
    assert watch.find_pause("bad", at=1.0) == PAUSE_S_FIRST
    # What was begun before the pause does not make it longer.
    assert fail(watch, 3, at=2.0) == [None] * 3
    at, pauses = 1.0 + PAUSE_S_FIRST, []
    for _ in range(9):
        watch.note_call("good", at=at)
        [pause_s] = fail(watch, 1, at=at)
        assert pause_s is not None
        pauses.append(pause_s)
        at += pause_s
    assert pauses[:3] == [2 * PAUSE_S_FIRST, 4 * PAUSE_S_FIRST, 8 * PAUSE_S_FIRST]
    assert pauses[-1] == PAUSE_S_MAX

    watch.note("bad", failed=False, at=at)
    watch.note_call("good", at=at)
    assert fail(watch, STREAK, at=at + 1)[-1] == PAUSE_S_FIRST


def test_a_host_that_is_alone_is_never_given_nothing() -> None:
    watch = HostWatch()
    assert fail(watch, 100, at=1.0) == [None] * 100

    watch.note_call("good", at=2.0)
    assert fail(watch, 1, at=2.0 + OTHERS_S + 1) == [None], "the other one has gone"
    assert watch.find_pause("bad", at=2.0) == 0.0


def test_where_all_fail_it_is_no_hosts_fault() -> None:
    watch = HostWatch()
    watch.note_call("good", at=0.0)
    fail(watch, STREAK, at=1.0, host="first")
    watch.note("good", failed=True, at=2.0)

    assert fail(watch, 50, at=3.0, host="second") == [None] * 50
    assert fail(watch, 50, at=3.0 + PAUSE_S_FIRST, host="first") == [None] * 50

    watch.note("good", failed=False, at=30.0)
    assert fail(watch, 1, at=30.0, host="second") == [PAUSE_S_FIRST]


def test_somebody_may_say_that_it_is_all_right() -> None:
    watch = HostWatch()
    watch.note_call("good", at=0.0)
    fail(watch, STREAK, at=1.0)

    watch.trust("bad")

    assert (watch.find_pause("bad", at=1.0), watch.streak("bad")) == (0.0, 0)


def test_what_others_could_do_is_evidence_and_what_nobody_could_is_none() -> None:
    assert NEW.add(done=0, failed=1000, blamed=0).judge(GOOD, at=1.0).rests_until is None
    assert NEW.add(done=0, failed=9, blamed=BLAMED_MIN - 1).judge(GOOD, at=1.0).rests_until is None

    rested = NEW.add(done=0, failed=9, blamed=BLAMED_MIN).judge(GOOD, at=1.0)

    assert rested.rests_until == 1.0 + REST_S_FIRST
    assert rested.reason == f"{BLAMED_MIN} events failed there that others could do, and did none itself"
    assert rested.judge(GOOD, at=2.0) == rested, "the same evidence counts once"
    late = rested.add(done=0, failed=60, blamed=60).judge(GOOD, at=3.0)
    assert (late.rests, late.rests_until) == (1, rested.rests_until), "what comes in while it rests is of before"


def test_who_does_more_than_it_is_blamed_for_goes_on() -> None:
    assert NEW.add(done=10, failed=9, blamed=9).judge(GOOD, at=1.0).rests_until is None
    assert NEW.add(done=8, failed=9, blamed=9).judge(GOOD, at=1.0).rests_until is not None


def test_it_rests_longer_each_time_and_no_longer_than_hours_until_somebody_trusts_it() -> None:
    record, rests, at = NEW, [], 0.0
    for _ in range(12):
        record = record.add(done=0, failed=3, blamed=3).judge(GOOD, at=at)
        assert record.rests_until is not None
        rests.append(record.rests_until - at)
        at = record.rests_until
    assert rests[:3] == [REST_S_FIRST, 2 * REST_S_FIRST, 4 * REST_S_FIRST]
    assert rests[-1] == REST_S_MAX

    quiet = record.add(done=0, failed=3, blamed=3).judge(GOOD, at=at + 20 * QUIET_S)
    assert quiet.rests_until == at + 20 * QUIET_S + REST_S_FIRST, "after a quiet time it begins anew"

    trusted = record.trust(at=5.0, by="ada")

    assert (trusted.is_resting(at=5.0), trusted.trusted_by) == (False, "ada")
    assert trusted.add(done=0, failed=3, blamed=3).judge(GOOD, at=5.0).rests_until == 5.0 + REST_S_FIRST
    assert (trusted.failed, trusted.blamed) == (36, 36), "the record stays"


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7])
def test_a_task_that_fails_often_everywhere_lets_none_rest(rate: float) -> None:
    others = Others(hosts=50, done=round(1000 * (1 - rate)), blamed=round(1000 * rate))
    usual = NEW.add(done=round(20 * (1 - rate)), failed=20, blamed=round(20 * rate))

    assert usual.judge(others, at=1.0).rests_until is None
    assert NEW.add(done=0, failed=3, blamed=3).judge(others, at=1.0).rests_until is None, "that may be chance"
    assert NEW.add(done=0, failed=40, blamed=40).judge(others, at=1.0).rests_until is not None


def test_no_more_than_a_share_of_the_hosts_rest_at_once() -> None:
    bad = NEW.add(done=0, failed=9, blamed=9)

    assert bad.judge(Others(hosts=9, resting=1, done=100), at=1.0).rests_until is not None
    assert bad.judge(Others(hosts=9, resting=2, done=100), at=1.0).rests_until is None
    assert bad.judge(Others(hosts=1, resting=0, done=3), at=1.0).rests_until is not None
    assert RESTING_SHARE_MAX < 0.5


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), max_size=30))
def test_the_record_adds_up_and_what_is_weighed_is_bounded(added: list[tuple[int, int, int]]) -> None:
    record = NEW
    for done, failed, blamed in added:
        record = record.add(done=done, failed=failed, blamed=blamed)
        assert 0 <= record.recent_done + record.recent_blamed <= RECENT_MAX

    assert (record.done, record.failed, record.blamed) == tuple(
        sum(column) for column in zip(*added, strict=True)
    ) or not added
