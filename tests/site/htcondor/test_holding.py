"""What becomes of a held worker, by whose hand, how often and after which pause?"""

from hypothesis import given
from hypothesis import strategies as st

from muster.site.adapters.htcondor.held import count_troubles
from muster.site.adapters.htcondor.hold_policy import BY_HAND, SPOOLING, TIME_CODES, HoldPolicy, Verdict

POLICY = HoldPolicy(holds_max=3, first_s=2.0, delay_s_max=10.0)
CODES = st.integers(0, 60)
COUNTS = st.integers(1, 10_000)
SECONDS = st.floats(0, 1e7)


@given(COUNTS, SECONDS)
def test_who_was_held_by_hand_is_left_to_that_hand(n_holds: int, held_s: float) -> None:
    for code in (BY_HAND, SPOOLING):
        assert POLICY.judge(code=code, n_holds=n_holds, held_s=held_s) == (Verdict.LEAVE, 0.0)


@given(COUNTS, SECONDS)
def test_who_has_had_its_time_goes_back_at_once_however_often(n_holds: int, held_s: float) -> None:
    for code in TIME_CODES:
        assert POLICY.judge(code=code, n_holds=n_holds, held_s=held_s) == (Verdict.RELEASE, 0.0)


@given(CODES, COUNTS, SECONDS)
def test_nobody_is_tried_for_ever_and_no_pause_is_longer_than_the_longest(
    code: int, n_holds: int, held_s: float
) -> None:
    verdict, delay_s = POLICY.judge(code=code, n_holds=n_holds, held_s=held_s)

    assert 0 <= delay_s <= POLICY.delay_s_max
    if verdict is Verdict.RELEASE and code not in TIME_CODES:
        assert n_holds <= POLICY.holds_max


def test_the_pause_doubles_and_what_has_passed_of_it_counts() -> None:
    delays = [POLICY.judge(code=13, n_holds=n, held_s=0.5)[1] for n in (1, 2, 3)]

    assert delays == [1.5, 3.5, 7.5]
    assert POLICY.judge(code=13, n_holds=4, held_s=0) == (Verdict.GIVE_UP, 0.0)
    assert HoldPolicy().judge(code=13, n_holds=20, held_s=0)[1] == 60.0


def test_only_holds_for_trouble_count() -> None:
    by_reason = {"UserRequest": 7, "JobExecuteExceeded": 20, "JobPolicy": 2, "TransferInputError": 1}

    assert count_troubles({"NumHolds": 30, "NumHoldsByReason": by_reason}) == 3
    assert count_troubles({"NumHolds": 27, "NumHoldsByReason": {"UserRequest": 7}}) == 1
    assert count_troubles({"NumHolds": 4}) == 4
    assert count_troubles({}) == 1
