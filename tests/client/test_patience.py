"""How long is a silent service tried again?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.client.patience import DELAY_S_MAX, Tries
from muster.domain.errors import NotFoundError, UnauthenticatedError, UnavailableError

BODY = b'{"code": "unavailable", "error": "closed for lunch"}'


def _tries(limit_s: float) -> Tries:
    return Tries("http://127.0.0.1:1", "GET /x", limit_s=limit_s, now=100.0)


@given(st.floats(0, 1000), st.lists(st.floats(0, 0.999), min_size=1, max_size=50))
def test_no_try_begins_after_the_limit(limit_s: float, jitters: list[float]) -> None:
    tries = _tries(limit_s)
    now = 100.0
    with_end = False
    for jitter in jitters:
        try:
            delay_s = tries.judge_silence("refused", now=now, jitter=jitter)
        except UnavailableError:
            with_end = True
            break
        assert 0 < delay_s <= DELAY_S_MAX
        now += delay_s
        assert now <= 100.0 + limit_s
    assert with_end or now <= 100.0 + limit_s


def test_silence_names_the_address_and_the_remedy() -> None:
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:1 does not answer.*muster up.*--url"):
        _tries(0).judge_silence("refused", now=100.0, jitter=0.5)


def test_retry_after_is_waited_for() -> None:
    delay_s = _tries(60).judge_refusal(503, {"retry-after": "7"}, BODY, now=100.0, jitter=0.0)

    assert delay_s == 7


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:00 GMT", "-3", "1e9", "²", ""])
def test_a_retry_after_that_is_no_number_of_seconds_is_left_alone(text: str) -> None:
    delay_s = _tries(60).judge_refusal(503, {"retry-after": text}, BODY, now=100.0, jitter=0.0)

    assert 0 < delay_s < 1


def test_the_last_refusal_is_what_the_caller_sees() -> None:
    with pytest.raises(UnavailableError, match="closed for lunch"):
        _tries(0).judge_refusal(503, {}, BODY, now=100.0, jitter=0.5)


def test_what_will_be_refused_again_is_not_tried_again() -> None:
    with pytest.raises(NotFoundError):
        _tries(60).judge_refusal(404, {}, b'{"code": "not-found", "error": "no"}', now=100.0, jitter=0.5)


def test_a_refused_token_is_told_with_where_it_is_from_and_nothing_else_is() -> None:
    tries = Tries("http://127.0.0.1:1", "GET /x", limit_s=60.0, now=100.0, token_from="MUSTER_TOKEN")

    with pytest.raises(UnauthenticatedError, match=r"^no \(the token is from MUSTER_TOKEN\)$"):
        tries.judge_refusal(401, {}, b'{"code": "unauthenticated", "error": "no"}', now=100.0, jitter=0.5)
    with pytest.raises(NotFoundError, match=r"^no$"):
        tries.judge_refusal(404, {}, b'{"code": "not-found", "error": "no"}', now=100.0, jitter=0.5)


def test_a_person_is_told_once_a_call_and_not_at_once() -> None:
    told: list[str] = []
    tries = Tries("http://127.0.0.1:1", "GET /x", limit_s=60.0, now=100.0, tell=told.append)

    for now in (100.0, 101.0, 103.0, 110.0):
        tries.judge_silence("refused", now=now, jitter=0.5)

    assert len(told) == 1
    assert told[0].endswith("trying again for 57 s")
