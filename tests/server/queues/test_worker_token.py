"""Can a worker's token be forged, altered or outlived?"""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.errors import UnauthenticatedError
from muster.server.services.worker_token import (
    WorkerClaims,
    enrolment_secret,
    is_enrolment_secret,
    is_half_spent,
    make_token,
    parse_token,
)

KEYS = st.binary(min_size=32, max_size=32)
HEX8 = st.text("0123456789abcdef", min_size=8, max_size=8)
TASKFORCES = st.builds("TF-{}-{}-{}-{}".format, HEX8, HEX8, HEX8, HEX8)
CLAIMS = st.builds(
    WorkerClaims,
    session=st.integers(1, 2**63 - 1),
    taskforce_uuid=TASKFORCES,
    expires_at=st.integers(1, 2**40),
)


@given(KEYS, CLAIMS)
def test_a_token_says_what_was_signed_until_it_expires(key: bytes, claims: WorkerClaims) -> None:
    token = make_token(key, claims)

    assert parse_token(key, token, now_s=claims.expires_at - 0.001) == claims
    with pytest.raises(UnauthenticatedError, match="expired"):
        parse_token(key, token, now_s=claims.expires_at)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_.")


@given(KEYS, CLAIMS, st.data())
def test_an_altered_token_is_refused(key: bytes, claims: WorkerClaims, data: st.DataObject) -> None:
    token = make_token(key, claims)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=0x2FF).filter(lambda one: one != token[place]))

    with pytest.raises(UnauthenticatedError):
        parse_token(key, token[:place] + letter + token[place + 1 :], now_s=0)


@given(KEYS, CLAIMS, st.data())
def test_a_truncated_or_lengthened_token_is_refused(key: bytes, claims: WorkerClaims, data: st.DataObject) -> None:
    token = make_token(key, claims)
    length = data.draw(st.integers(0, len(token) - 1))

    with pytest.raises(UnauthenticatedError):
        parse_token(key, token[:length], now_s=0)
    with pytest.raises(UnauthenticatedError):
        parse_token(key, token + data.draw(st.text("AQ=.-", min_size=1, max_size=500)), now_s=0)


@given(KEYS, KEYS, CLAIMS)
def test_a_token_of_a_foreign_key_is_refused(key: bytes, foreign: bytes, claims: WorkerClaims) -> None:
    if key == foreign:
        return
    with pytest.raises(UnauthenticatedError):
        parse_token(key, make_token(foreign, claims), now_s=0)


@given(KEYS, st.text(max_size=500))
def test_any_text_is_refused_and_never_raises_anything_else(key: bytes, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        parse_token(key, text, now_s=0)


@given(KEYS, TASKFORCES, TASKFORCES, st.text(max_size=500))
def test_a_secret_opens_its_own_taskforce_only(key: bytes, one: str, other: str, text: str) -> None:
    secret = enrolment_secret(key, one)

    assert secret == enrolment_secret(key, one)
    assert is_enrolment_secret(key, one, secret)
    assert is_enrolment_secret(key, other, secret) == (one == other)
    assert not is_enrolment_secret(key, one, text)
    assert not is_enrolment_secret(key, one, secret[:-1])


def test_a_secret_is_not_a_token_and_a_token_not_a_secret() -> None:
    key = bytes(32)
    taskforce = "TF-00000000-00000000-00000000-00000000"

    with pytest.raises(UnauthenticatedError):
        parse_token(key, enrolment_secret(key, taskforce), now_s=0)
    assert not is_enrolment_secret(key, taskforce, make_token(key, WorkerClaims(1, taskforce, 10)))


def test_a_token_is_renewed_in_the_second_half_of_its_time() -> None:
    claims = WorkerClaims(1, "TF-00000000-00000000-00000000-00000000", expires_at=3600)

    assert not is_half_spent(claims, now_s=1800, ttl_s=3600)
    assert is_half_spent(claims, now_s=1801, ttl_s=3600)
