"""Is every line judged before it is sent, and a bad one named?"""

import os
import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.cli.queue import render_result
from muster.cli.values import (
    LINE_BYTES_MAX,
    LineReader,
    check_file,
    check_whole_files,
    is_large,
    read_lines,
    read_pipe,
    read_whole_files,
)
from muster.client.conversations import FLUSH
from muster.client.shapes.events import EventWithBody, NewEventBody
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.domain.queue import BODY_BYTES_MAX, KEY_CHARS_MAX


def _write(folder: Path, content: bytes) -> Path:
    file = folder / "points.jsonl"
    file.write_bytes(content)
    return file


def test_good_lines_are_counted_and_blank_ones_passed_over(tmp_path: Path) -> None:
    file = _write(tmp_path, b'{"a": 1}\n\n  \n[2]\r\n"three"\n4\n{"x": 1e400}')

    assert check_file(file, LineReader("points.jsonl")) == 5
    with file.open("rb") as lines:
        assert [bytes(one.body) for one in read_lines(lines, LineReader("x"))] == [
            b'{"a": 1}',
            b"[2]",
            b'"three"',
            b"4",
            b'{"x": 1e400}',
        ]


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (b'{"a": 1}\n{"a": }\n', "points.jsonl:2", "is not JSON"),
        (b"1\n2\nNaN\n", "points.jsonl:3", "is not JSON"),
        (b"1\n'x'\n", "points.jsonl:2", "is not JSON"),
        (b'"\xff"\n', "points.jsonl:1", "is not JSON"),
        (b"1 2\n", "points.jsonl:1", "is not JSON"),
        (b'"' + b"x" * BODY_BYTES_MAX + b'"', "points.jsonl:1", "publish that with --bytes"),
        (b"1\n[" + b"1," * BODY_BYTES_MAX + b"[" * 256 + b"]" * 257, "points.jsonl:2", "nested deeper than 256 levels"),
        (
            b'["' + b"x" * LINE_BYTES_MAX + b'"]',
            "points.jsonl:1",
            "is longer than 67108864 bytes: write it into a file",
        ),
    ],
    ids=range(8),
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, place: str, reason: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_file(_write(tmp_path, content), LineReader("points.jsonl"))

    assert [one.field for one in refused.value.findings] == [place]
    assert reason in refused.value.findings[0].reason


def test_ten_bad_lines_are_named_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidError) as refused:
        check_file(_write(tmp_path, b"x\n" * 25), LineReader("p"))

    assert [one.field for one in refused.value.findings[:10]] == [f"p:{number}" for number in range(1, 11)]
    assert "15 more" in refused.value.findings[10].reason


@pytest.mark.parametrize("line", [b"{}", b"[1]", b'{"id": ""}', b'{"id": true}', b'{"id": null}', b'{"id": 1.5}', b"7"])
def test_a_line_without_its_key_is_refused(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(InvalidError, match="has no field 'id'"):
        check_file(_write(tmp_path, line), LineReader("p", key_field="id"))


def test_a_key_is_a_text_or_a_whole_number() -> None:
    reader = LineReader("p", key_field="id")
    events = [reader.read(line, 1) for line in (b'{"id": "a"}', b'{"id": 7}')]

    assert [one.key for one in events if isinstance(one, NewEventBody)] == ["a", "7"]


def test_files_that_cannot_be_events(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(NotFoundError, match="nowhere"):
        check_whole_files([tmp_path / "nowhere"], with_keys=True)
    with pytest.raises(InvalidError, match=r"is a folder.*is no regular file"):
        check_whole_files([tmp_path, pipe], with_keys=True)
    with pytest.raises(InvalidError, match="is a folder"):
        check_file(tmp_path, LineReader("x"))


def refuse(path: Path) -> str:
    raise AssertionError(f"{path} is small")


def test_a_file_that_is_too_large_for_a_message_is_uploaded_and_named(tmp_path: Path) -> None:
    largest, larger = tmp_path / "largest", tmp_path / "larger"
    largest.write_bytes(b"x" * BODY_BYTES_MAX)
    larger.write_bytes(b"x" * (BODY_BYTES_MAX + 1))
    uploaded: list[Path] = []

    def upload(path: Path) -> str:
        uploaded.append(path)
        return "0" * 32

    events = list(read_whole_files([largest, larger], with_keys=True, upload=upload))

    assert uploaded == [larger]
    assert [(one.kind, one.key) for one in events] == [("bytes", str(largest)), ("file", str(larger))]
    assert bytes(events[1].body) == b'"' + b"0" * 32 + b'"'


@pytest.mark.parametrize("excess", range(-2, 4))
def test_what_is_too_large_for_a_message_is_known_to_the_byte(excess: int) -> None:
    size_bytes = BODY_BYTES_MAX + excess
    as_json = msgspec.Raw(b"[" + b" " * (size_bytes - 2) + b"]")
    as_bytes = msgspec.Raw(msgspec.json.encode(b"x" * size_bytes))

    found = [is_large(NewEventBody(body=as_json)), is_large(NewEventBody(body=as_bytes, kind="bytes"))]

    assert found == [excess > 0] * 2
    assert not is_large(NewEventBody(body=as_json, kind="file"))


def test_the_key_of_a_file_is_its_path_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").write_bytes(b"\x00\xff")
    paths = [Path("one"), tmp_path / "one"]

    with_keys = list(read_whole_files(paths, with_keys=True, upload=refuse))
    without = list(read_whole_files(paths, with_keys=False, upload=refuse))

    assert [(one.kind, bytes(one.body), one.key) for one in with_keys] == [
        ("bytes", b'"AP8="', "one"),
        ("bytes", b'"AP8="', str(tmp_path / "one")),
    ]
    assert [one.key for one in without] == [None, None]


def test_a_path_that_cannot_be_a_key_is_named(tmp_path: Path) -> None:
    files = [tmp_path / ("x" * KEY_CHARS_MAX), tmp_path / os.fsdecode(b"\xff")]
    for file in files:
        file.touch()

    with pytest.raises(InvalidError, match=r"as the event's key it may have 200.*not UTF-8.*--no-keys"):
        check_whole_files(files, with_keys=True)
    assert check_whole_files(files, with_keys=False) == 2


def test_exported_lines_give_body_and_key_back() -> None:
    reader = LineReader("p", with_ids=True)
    lines = [
        b'{"event":"EV-1","key":"k","body":{"x": 1.10}}',
        b'{"event":"EV-2","key":null,"kind":"bytes","body":"AP8="}',
        b'{"kind":"json","body":{"base64":"AP8="}}',
    ]
    events = [reader.read(line, 1) for line in lines]

    assert [(one.kind, bytes(one.body), one.key) for one in events if isinstance(one, NewEventBody)] == [
        ("json", b'{"x": 1.10}', "k"),
        ("bytes", b'"AP8="', None),
        ("json", b'{"base64":"AP8="}', None),
    ]


def test_an_event_is_one_line_whatever_the_layout_of_its_body_and_comes_back_as_it_was() -> None:
    given = [("json", b'{\n "x": 1.10,\r\n "t": "a\\nb"\n}'), ("json", b'{"base64":"AP8="}'), ("bytes", b'"AP8="')]
    for kind, body in given:
        event = EventWithBody("EV-1", "out", "done", 1, "k", None, kind, msgspec.Raw(body))
        line = render_result(event, with_ids=True)
        assert b"\n" not in line + render_result(event, with_ids=False)
        assert b"\r" not in line

        back = LineReader("p", with_ids=True).read(line, 1)

        assert isinstance(back, NewEventBody)
        assert (back.kind, back.key) == (kind, "k")
        assert msgspec.json.decode(back.body) == msgspec.json.decode(body)
        assert b"1.10" in bytes(back.body) or b"1.10" not in body


def test_what_has_no_length_is_no_event(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(InvalidError, match="is no regular file"):
        check_whole_files([pipe, Path("/dev/zero")], with_keys=True)


@pytest.mark.parametrize(
    "line",
    [b'{"event":"EV-1","body":"' + b"x" * (BODY_BYTES_MAX - 2) + b'"}', b'{"body":["' + b"x" * BODY_BYTES_MAX + b'"]}'],
)
def test_an_exported_line_may_be_longer_than_a_message(line: bytes) -> None:
    assert isinstance(LineReader("p", with_ids=True).read(line, 1), NewEventBody)


def test_a_long_line_comes_whole_through_a_pipe() -> None:
    """In many pieces, beside short ones, the last without its end."""
    lines = [b"1", b'["' + b"x" * (5 << 20) + b'"]', b"2", b'["' + b"y" * (2 << 20) + b'"]']
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(b"\n".join(lines))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        events = [bytes(one.body) for one in read_pipe(reading, LineReader("-")) if isinstance(one, NewEventBody)]
    finally:
        os.close(reading)
        writer.join()

    assert events == lines


@pytest.mark.parametrize(
    "line",
    [
        b"7",
        b"{}",
        b'{"body":1,"key":""}',
        b'{"body":1,"key":7}',
        b'{"body":1,"kind":"other"}',
        b'{"body":1,"key":"' + b"k" * 201 + b'"}',
        b'{"body":"' + b"x" * BODY_BYTES_MAX + b'"}',
    ],
)
def test_a_line_that_was_not_exported_is_refused(line: bytes) -> None:
    assert isinstance(LineReader("p", with_ids=True).read(line, 1), Finding)


@given(
    lines=st.lists(st.integers(0, 10**6).map(lambda one: str(one).encode()), max_size=20),
    cuts=st.lists(st.integers(0, 100), max_size=10),
    ends=st.booleans(),
)
def test_a_pipe_gives_every_line_once_however_it_is_cut(lines: list[bytes], cuts: list[int], *, ends: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    reading, writing = os.pipe()
    try:
        # All of it fits into the pipe, so nobody has to read meanwhile; the cuts decide what one read sees.
        places = sorted({min(cut, len(content)) for cut in [0, *cuts, len(content)]})
        for begin, end in pairwise(places):
            os.write(writing, content[begin:end])
        os.close(writing)
        values = list(read_pipe(reading, LineReader("standard input")))
    finally:
        os.close(reading)

    assert [bytes(one.body) for one in values if isinstance(one, NewEventBody)] == lines


def test_a_pipe_that_falls_silent_is_flushed() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"1\n2\n")
        values = read_pipe(reading, LineReader("standard input"))
        first = [next(values) for _ in range(3)]
        os.write(writing, b"3")
        os.close(writing)
        rest = list(values)
    finally:
        os.close(reading)

    assert first[2] is FLUSH
    assert [bytes(one.body) for one in rest if isinstance(one, NewEventBody)] == [b"3"]
