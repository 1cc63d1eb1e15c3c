"""Which bodies may travel?"""

import base64
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.queue import BODY_BYTES_MAX
from muster.server.ports.queue_engine import Body, BodyKind
from muster.server.services.event_body import (
    BodyTooLargeError,
    find_flaw,
    parse_body,
    render_body,
)
from muster.worker.body_rules import DEPTH_MAX, DIGITS_MAX

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=50,
)


@given(value=VALUES, ascii_only=st.booleans())
def test_any_json_value_travels_unchanged(*, value: object, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()

    body = parse_body("json", raw)

    assert body == Body(BodyKind.JSON, raw)
    assert msgspec.json.encode(render_body(body)) == raw


@given(st.binary(max_size=2000))
def test_any_bytes_travel_as_base64(data: bytes) -> None:
    raw = json.dumps(base64.b64encode(data).decode()).encode()

    body = parse_body("bytes", raw)

    assert body == Body(BodyKind.BYTES, data)
    assert msgspec.json.encode(render_body(body)) == raw


@pytest.mark.parametrize(
    "raw",
    [b"1", b"null", b'{"a":1}', b'"a"', b'"a==="', b'"YQ"', b'"YQ==\\n"', b'"Y Q="', '"ä"'.encode(), b'"\xff"'],
)
def test_what_is_not_base64_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="base64"):
        parse_body("bytes", raw)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'"\xff"', "UTF-8"),
        (b'"\xed\xa0\x80"', "UTF-8"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "nested"),
        (b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1), "nested"),
        (b"1" * (DIGITS_MAX + 1), "digits"),
        (b'{"a":[-' + b"1" * (DIGITS_MAX + 1) + b"]}", "digits"),
    ],
)
def test_what_some_parser_refuses_does_not_travel(raw: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_body("json", raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * DEPTH_MAX + b"]" * DEPTH_MAX,
        b"[" + b"[]," * 5000 + b"[]]",  # many, none deep
        b'"' + b"[" * 5000 + b'"',
        b'"' + b"1" * 9000 + b'"',
        b'"' + b'\\"[' * 5000 + b'"',
        b'["' + b"\\\\" * 5000 + b'","' + b"[" * 300 + b'"]',
        b"1" * DIGITS_MAX,
    ],
)
def test_what_only_looks_excessive_travels(raw: bytes) -> None:
    assert find_flaw(raw) is None


def test_the_limit_of_a_body_is_one_mebibyte() -> None:
    fits = b'"' + b"x" * (BODY_BYTES_MAX - 2) + b'"'

    assert parse_body("json", fits).data == fits
    with pytest.raises(BodyTooLargeError, match=str(BODY_BYTES_MAX + 1)):
        parse_body("json", fits + b" ")
    encoded = base64.b64encode(bytes(BODY_BYTES_MAX))
    assert len(parse_body("bytes", b'"' + encoded + b'"').data) == BODY_BYTES_MAX
    with pytest.raises(BodyTooLargeError):
        parse_body("bytes", b'"' + base64.b64encode(bytes(BODY_BYTES_MAX + 1)) + b'"')


@pytest.mark.parametrize("inside", [b"x", b"\\\\", b'\\"', b"\\n", b"1"])
def test_a_long_string_is_judged_in_little_memory(inside: bytes) -> None:
    raw = b'"' + inside * ((BODY_BYTES_MAX - 2) // len(inside)) + b'"'
    tracemalloc.start()
    try:
        assert find_flaw(raw) is None
        assert tracemalloc.get_traced_memory()[1] < 5 * BODY_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_long_run_of_digits_is_judged_in_linear_time() -> None:
    raw = b'["' + (b"1" * (DIGITS_MAX - 1) + b" ") * 250 + b'"]'

    assert find_flaw(raw) is None
