"""Does a message that is refused say everything that is wrong with it?"""

import contextlib
import json
from enum import StrEnum
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.client.shapes.new_workflow import NewWorkflow
from muster.domain.errors import InvalidError
from muster.server.doors.judging import FINDINGS_MAX, judge
from muster.server.doors.reading import UnreadableError, parse_body


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int | str
    word: Literal["a", "b"] = "a"
    colour: Colour = Colour.RED


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    share: float = 0.0
    flag: bool = False
    inner: Inner | None = None
    many: list[Inner] = []
    pairs: list[tuple[str, int]] = []
    table: dict[str, dict[str, int]] = {}
    free: Any = None


def findings_of(value: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidError) as caught:
        parse_body(json.dumps(value).encode(), Outer)
    return [(one.field, one.reason) for one in caught.value.findings]


def test_every_fault_is_found_with_its_path() -> None:
    value = {
        "number": "7",
        "share": True,
        "inner": {"size": 1.5, "word": "c", "colour": "pink", "else": 1},
        "many": [{"size": 1}, {}, 3],
        "pairs": [["a", 1], ["b"], ["c", None]],
        "table": {"x": {"y": "z"}},
        "extra": 1,
    }
    assert sorted(findings_of(value)) == sorted(
        [
            ("", "Additional properties are not allowed ('extra' was unexpected)"),
            ("number", "must be type 'integer' (int)"),
            ("share", "must be type 'number' (float)"),
            ("inner", "Additional properties are not allowed ('else' was unexpected)"),
            ("inner.size", "must match one of the accepted types: integer, string"),
            ("inner.word", "is 'c'; must be one of: 'a', 'b'"),
            ("inner.colour", "is 'pink'; must be one of: 'red', 'blue'"),
            ("many[1]", "'size' is a required property"),
            ("many[2]", "must be type 'object' (dict)"),
            ("pairs[1]", "must have exactly 2 items"),
            ("pairs[2][1]", "must be type 'integer' (int)"),
            ("table.x.y", "must be type 'integer' (int)"),
        ]
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("c\x1b", r"'c\x1b'"),
        ("c" * 100, f"'{'c' * 77}...'"),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        (["a"], "an array"),
        ({"a": 1}, "an object"),
    ],
)
def test_a_word_that_there_is_not_is_told_with_those_that_there_are(value: object, shown: str) -> None:
    assert findings_of({"number": 1, "inner": {"size": 1, "word": value}}) == [
        ("inner.word", f"is {shown}; must be one of: 'a', 'b'"),
    ]


def test_an_integer_may_be_written_with_a_point_and_a_boolean_is_none() -> None:
    assert parse_body(b'{"number": 5.0, "pairs": [["a", 2.0]], "inner": {"size": 3.0}}', Outer) == Outer(
        5, pairs=[("a", 2)], inner=Inner(3)
    )
    assert findings_of({"number": True}) == [("number", "must be type 'integer' (int)")]
    assert findings_of({"number": 5.5}) == [("number", "must be type 'integer' (int)")]


def test_one_of_some_words_is_taken_also_where_something_else_was_wrong() -> None:
    read = parse_body(b'{"number": 5.0, "inner": {"size": 3, "colour": "blue"}}', Outer)
    assert read.inner is not None
    assert read.inner.colour is Colour.BLUE


def test_a_message_of_another_kind_altogether() -> None:
    assert findings_of([1]) == [("", "must be type 'object' (dict)")]
    assert findings_of(None) == [("", "must be type 'object' (dict)")]


def test_findings_are_bounded() -> None:
    assert len(findings_of({"number": 1, **{f"x{n}": 1 for n in range(1000)}})) == FINDINGS_MAX


@pytest.mark.parametrize(
    "raw",
    [b"", b"  ", b"{", b'{"number": 1}x', b"\xff", b'{"number": NaN}', b'{"number": 1e999}', b"[" * 100_000, b"nul"],
    ids=["empty", "blank", "cut", "trailing", "not-utf8", "nan", "infinite", "deep", "word"],
)
def test_what_is_no_json_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse_body(raw, Outer)


def test_broken_utf_8_in_a_text_is_unreadable() -> None:
    with pytest.raises(UnreadableError):
        parse_body(b'{"number": 1, "free": "\xc3\x28"}', Outer)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
TASKS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("cluster_locations", "task_image", "n_workers", "worker_config", "pilot_config", "x"), JSON
    ),
)


@given(
    st.fixed_dictionaries({}, optional={"tasks": st.lists(TASKS | JSON, max_size=3), "priority": JSON, "name": JSON})
)
def test_whatever_is_sent_is_read_or_refused_with_reasons(value: dict[str, Any]) -> None:
    """And whatever the fast decoder takes, the judge takes for the same."""
    raw = json.dumps(value).encode()
    try:
        quick = msgspec.json.decode(raw, type=NewWorkflow)
    except msgspec.ValidationError:
        with contextlib.suppress(InvalidError):  # else it was a matter of `5.0`, and the judge took it
            judge(value, NewWorkflow)
        return
    assert judge(msgspec.json.decode(raw), NewWorkflow) == quick
