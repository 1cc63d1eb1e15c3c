"""Do answers to EWMS clients stand on the wire as upstream's do, and mean what they meant?"""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.server.doors.upstream_wire import escape, is_named

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_an_escaped_answer_is_ascii_and_means_the_same(value: Any) -> None:
    escaped = escape(msgspec.json.encode(value))

    assert escaped.isascii()
    assert json.loads(escaped) == value


def test_what_is_beyond_the_basic_plane_is_two_escapes() -> None:
    assert escape('{"é": "\N{SNOWMAN} \U0001f600"}'.encode()) == rb'{"\u00e9": "\u2603 \ud83d\ude00"}'


def test_no_answer_can_end_a_script_that_it_stands_in() -> None:
    escaped = escape(b'{"</a": "x</script>"}')

    assert (escaped, json.loads(escaped)) == (rb'{"<\/a": "x<\/script>"}', {"</a": "x</script>"})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/", True),
        ("/v1/workflows/WF-1_x", True),
        ("/v1/mqs", True),
        ("/mqbroker-issuer/.well-known/jwks.json", True),
        ("/v1/workflows/a.b", False),
        ("/v1/workflows/a b", False),
        ("/v1/workflows/../x", False),
        ("/v1//workflows", False),
        ("/v1/workflows/a\n", False),
    ],
)
def test_only_plain_names_are_routes(path: str, expected: bool) -> None:  # noqa: FBT001
    assert is_named(path) is expected
