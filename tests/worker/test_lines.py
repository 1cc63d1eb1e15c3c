"""Is each line of a task's output an event of its own, with the very text that the task wrote?"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.worker.lines import OUTPUT_BYTES_MAX, RESULTS_MAX, split_lines, split_list
from muster.worker.results import ResultError
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]
Script = Callable[[str], str]

WORD = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORD,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORD, inner, max_size=4),
)


def bodies(results: list[bytes]) -> list[Any]:
    return [json.loads(one)["body"] for one in results]


@given(st.lists(JSON, max_size=20), st.sampled_from(["\n", "\r\n", "\n\n", "\n \n"]))
def test_each_line_of_a_json_file_is_a_result(values: list[object], end: str) -> None:
    data = "".join(json.dumps(value) + end for value in values).encode()

    assert bodies(split_lines(data, "json", "x")) == values


@given(st.lists(JSON, max_size=20), st.sampled_from([None, 1]))
def test_each_item_of_a_list_is_a_result(values: list[object], indent: int | None) -> None:
    raw = json.dumps(values, indent=indent).encode()

    assert bodies(split_list(raw, "x")) == values


def test_what_travels_is_the_text_that_was_written() -> None:
    raw = b'[ 1.10 ,{"a" : 1e400,"a":2},"\\u00e9" ]'

    assert [one.partition(b'"body":')[2][:-1] for one in split_list(raw, "x")] == [
        b"1.10",
        b'{"a" : 1e400,"a":2}',
        b'"\\u00e9"',
    ]
    assert split_lines(b"1.10\n", "json", "x") == [b'{"kind":"json","body":1.10}']


def test_lines_that_are_no_json_are_texts_or_bytes() -> None:
    assert bodies(split_lines(b"one\ntwo words \n\xff\n", "txt", "x")) == [
        "one",
        "two words ",
        base64.b64encode(b"\xff").decode(),
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"1\n{\n", "line 2 of the x promised JSON"),
        (b"1\n" * (RESULTS_MAX + 1), f"x makes {RESULTS_MAX + 1} events; one attempt may make {RESULTS_MAX}"),
        (b'"' + b"a" * (1 << 20) + b'"', "line 1 of the x is 1048578 bytes; a result may have 1048576"),
    ],
)
def test_a_bad_line_is_named(data: bytes, text: str) -> None:
    with pytest.raises(ResultError, match=text.replace("(", "\\(")):
        split_lines(data, "json", "x")


def test_what_all_lines_make_together_is_bounded_as_it_travels() -> None:
    data = b"\n".join(["\u0436".encode() * 170_000] * 30)
    assert len(data) < OUTPUT_BYTES_MAX

    with pytest.raises(
        ResultError, match=r"x makes results of [0-9]+ bytes as they travel; those of one attempt may have"
    ):
        split_lines(data, "txt", "x")


def test_a_result_that_is_no_list_is_no_lines() -> None:
    with pytest.raises(ResultError, match="x is no list: this task's output is lines"):
        split_list(b' {"a": 1}', "x")


PER_EVENT = """
import os, pathlib
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text('{"n": 1.10}\\n\\n[2]\\n')
"""
HELPED = """
from muster import task
task.run(lambda event: [{"n": n} for n in range(event)] if event >= 0 else {"not": "a list"})
"""


@pytest.mark.system
def test_the_lines_of_a_file_are_results(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(PER_EVENT), output="lines") as service:
        [event] = service.publish(1)
        start(service)
        service.wait_for(done=1)
        assert event.result_texts == [b'{"n": 1.10}', b"[2]"]


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
def test_the_items_of_what_a_helper_returns_are_results(start: Start, script: Script, warm: bool) -> None:  # noqa: FBT001
    with FakeService(args=script(HELPED), output="lines", warm=warm, attempts=1) as service:
        three, none, bad = service.publish(3, 0, -1)
        start(service)
        service.wait_for(done=2, dead=1)
        assert [one["body"] for one in three.results] == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert none.results == []
        assert "the task's result is no list" in bad.errors[0]["text"]
