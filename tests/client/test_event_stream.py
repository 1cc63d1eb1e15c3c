"""Are events read as the standard has it, however the stream is cut into pieces?"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.client import event_stream
from muster.client.event_stream import EventParser, ServerEvent
from muster.domain.errors import UnavailableError
from muster.server.doors.event_stream import RETRY, SIGN_OF_LIFE, render_event


def parse(*pieces: bytes, last_id: str = "") -> list[ServerEvent]:
    parser = EventParser(last_id)
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("data: a\n\n", [("message", "a", "")]),
        ("data:a\n\ndata:  b\n\n", [("message", "a", ""), ("message", " b", "")]),
        ("event: add\ndata: 1\ndata: 2\n\n", [("add", "1\n2", "")]),
        ("data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        (": a comment\n\nevent: lost\n\ndata: a\n\n", [("message", "a", "")]),
        ("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", [("message", "a", "1"), ("message", "b", "1"), ("message", "c", "")]),
        ("id: 1\n\ndata: a\n\n", [("message", "a", "1")]),
        ("id: 1\0\ndata: a\n\n", [("message", "a", "")]),
        ("unknown: x\nDATA: x\n data: x\ndata: a\n\n", [("message", "a", "")]),
        ("data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("message", "a", ""), ("message", "b", ""), ("message", "c", "")]),
        ("\ufeffdata: a\n\n\ufeffdata: b\n\n", [("message", "a", "")]),
        ("data: é\u2028😀\x0b\x85\n\n", [("message", "é\u2028😀\x0b\x85", "")]),
        ("data: broken off", []),
        ("data: broken off\n", []),
    ],
)  # fmt: skip
def test_the_standards_rules(text: str, events: list[tuple[str, str, str]]) -> None:
    assert parse(text.encode()) == [ServerEvent(*one) for one in events]


def test_an_id_is_in_force_from_the_empty_line_on_and_over_a_break() -> None:
    parser = EventParser("7.1")
    assert list(parser.feed(b"id: 7.2\ndata: a\n")) == []
    assert parser.last_id == "7.1"
    assert list(parser.feed(b"\n")) == [ServerEvent("message", "a", "7.2")]
    assert parser.last_id == "7.2"
    assert parse(b"data: b\n\n", last_id="7.2") == [ServerEvent("message", "b", "7.2")]


def test_what_the_stream_says_of_coming_back() -> None:
    parser = EventParser()
    for text, retry_s in (("x", None), ("", None), ("-5", None), ("1500", 1.5), ("1e3", 1.5), ("²", 1.5), ("0", 0.0)):
        assert list(parser.feed(f"retry: {text}\n".encode())) == []
        assert parser.retry_s == retry_s


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parse(b"data: \xff\xfe\n\n") == [ServerEvent("message", "\ufffd\ufffd", "")]


@pytest.mark.parametrize(
    "stream", [b"x" * 101, b"data: " + b"x" * 101, b"data: 45678\n" * 10, b"\n\n:" + b"x" * 101 + b"\n"]
)
def test_what_is_too_long_for_an_event_is_not_kept(stream: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "EVENT_BYTES_MAX", 100)
    for size in (1, 7, 1000):
        pieces = [stream[place : place + size] for place in range(0, len(stream), size)]
        with pytest.raises(UnavailableError, match="longer than"):
            parse(*pieces)


_TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20)
_LINES = st.lists(
    st.one_of(
        st.builds(
            lambda name, value: f"{name}: {value}", st.sampled_from(["data", "event", "id", "retry", "x"]), _TEXT
        ),
        _TEXT,
        st.just(""),
    )
)
_STREAMS = st.builds(
    lambda bom, lines, breaks: (
        "\ufeff" * bom + "".join(line + end for line, end in zip(lines, breaks, strict=False))
    ).encode(),
    st.booleans(),
    _LINES,
    st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=60),
)


def by_the_book(stream: bytes) -> list[ServerEvent]:
    """The rules again, over the whole stream at once."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    *lines, _ = re.split("\r\n|\r|\n", text)
    events, name, data, next_id = [], "", "", ""
    for line in lines:
        if line == "":
            if data:
                events.append(ServerEvent(name or "message", data.removesuffix("\n"), next_id))
            name = data = ""
            continue
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "data":
            data += value + "\n"
        elif key == "id" and "\0" not in value:
            next_id = value
    return events


@given(_STREAMS, st.lists(st.integers(0, 30)))
def test_however_it_is_cut_the_same_events_are_read(stream: bytes, sizes: list[int]) -> None:
    pieces, left = [], stream
    for size in sizes:
        pieces.append(left[:size])
        left = left[size:]

    cut = parse(*pieces, left)

    assert cut == parse(stream) == parse(*(bytes([one]) for one in stream)) == by_the_book(stream)


_DATA = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
_EVENTS = st.tuples(st.sampled_from(["progress", "taskforce.phase"]), _DATA, st.sampled_from([None, "1.2", "a.b.end"]))


@given(st.lists(_EVENTS))
def test_what_the_service_writes_is_what_is_read(events: list[tuple[str, str, str | None]]) -> None:
    stream = RETRY + b"".join(SIGN_OF_LIFE + render_event(name, data.encode(), id_=id_) for name, data, id_ in events)
    last_id, wanted = "", []
    for name, data, id_ in events:
        last_id = id_ or last_id
        wanted.append(ServerEvent(name, data, last_id))

    assert parse(stream) == wanted
