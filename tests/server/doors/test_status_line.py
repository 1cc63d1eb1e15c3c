"""Does the text of an error stand in the status line, whatever the connection does, and can nobody smuggle lines through it?"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from harness.addresses import take_address
from harness.waiting import wait_for
from muster.server.doors.status_line import PHRASE_BYTES_MAX, PhrasingProtocol, make_phrase, set_phrase

HOSTILE = "a\r\nSet-Cookie: x=1\r\n\r\n<html> \x00\x85\u2028 ü"
PHRASES = {
    "/plain": "no workflow found with id: WF-1",
    "/hostile": HOSTILE,
    "/long": "x" * 5000,
    "/not-ascii": "kein Gefäß \N{SNOWMAN}",
    "/empty": "",
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers 404 with the path's phrase, 200 without one to any other path, and reads the body first."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        continue
    phrase = PHRASES.get(scope["path"])
    if phrase is not None:
        set_phrase(scope, phrase)
    body = scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200 if phrase is None else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """Where a real uvicorn answers with that application."""
    with take_address() as host, socket.create_server((host, 0)) as listener:
        config = uvicorn.Config(app, http=PhrasingProtocol, ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: anyio.run(server.serve, [listener]), daemon=True)
        thread.start()
        wait_for(lambda: server.started, "uvicorn answers")
        yield listener.getsockname()
        server.should_exit = True
        thread.join(timeout=20)


@contextmanager
def connect(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=20) as connection:
        yield connection


def read_answer(connection: socket.socket, *, has_body: bool = True) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """One answer: its first line, its headers and its body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        received = connection.recv(1)
        assert received, head
        head += received
    first, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    headers = dict(line.split(b": ", 1) for line in rest)
    body = b""
    while has_body and len(body) < int(headers.get(b"content-length", 0)):
        body += connection.recv(1)
    return first, headers, body


def ask(path: str, *, method: str = "GET", version: str = "1.1", extra: str = "", body: str = "") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/{version}\r\nHost: h\r\n{length}{extra}\r\n{body}".encode()


def test_one_connection_carries_phrases_and_standard_lines_in_turn(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        lines = []
        for path in ("/plain", "/fine", "/empty", "/plain"):
            connection.sendall(ask(path))
            line, _, body = read_answer(connection)
            assert body == path.encode()
            lines.append(line)

    assert lines == [
        b"HTTP/1.1 404 no workflow found with id: WF-1",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 404 ",
        b"HTTP/1.1 404 no workflow found with id: WF-1",
    ]


def test_requests_that_are_sent_before_the_answers_get_each_its_own(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(ask("/plain") + ask("/fine") + ask("/long") + ask("/fine"))

        answers = [read_answer(connection) for _ in range(4)]

    assert [line[:20] for line, _, _ in answers] == [
        b"HTTP/1.1 404 no work",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 404 xxxxxxx",
        b"HTTP/1.1 200 OK",
    ]
    assert [body for _, _, body in answers] == [b"/plain", b"/fine", b"/long", b"/fine"]


def test_head_and_an_older_version_of_http_get_it_too(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(ask("/plain", method="HEAD"))
        head, _, _ = read_answer(connection, has_body=False)
        connection.sendall(ask("/plain", version="1.0"))
        old, headers, body = read_answer(connection)
        assert connection.recv(1) == b""  # closed, as that version has it

    assert head == old == b"HTTP/1.1 404 no workflow found with id: WF-1"
    assert (headers[b"connection"], body) == (b"close", b"/plain")


def test_a_client_that_waits_to_send_its_body_is_first_told_to(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(ask("/plain", method="POST", extra="Expect: 100-continue\r\nContent-Length: 3\r\n"))
        go_on, _, _ = read_answer(connection)
        connection.sendall(b"abc")
        line, _, body = read_answer(connection)

    assert (go_on, line, body) == (
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 404 no workflow found with id: WF-1",
        b"/plain",
    )


def test_no_text_can_add_a_line_to_the_answer(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(ask("/hostile") + ask("/fine"))
        line, headers, body = read_answer(connection)
        after, _, _ = read_answer(connection)

    assert line == rb"HTTP/1.1 404 a Set-Cookie: x=1 <html>   \xfc"
    assert (b"Set-Cookie" in headers, body, after) == (False, b"/hostile", b"HTTP/1.1 200 OK")


def test_a_long_text_is_cut_and_one_that_is_not_ascii_is_written_out(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(ask("/long") + ask("/not-ascii"))
        long, _, _ = read_answer(connection)
        foreign, _, _ = read_answer(connection)

    assert long == b"HTTP/1.1 404 " + b"x" * PHRASE_BYTES_MAX
    assert foreign == rb"HTTP/1.1 404 kein Gef\xe4\xdf \u2603"


@given(st.text())
def test_a_phrase_is_one_line_of_printable_ascii(text: str) -> None:
    phrase = make_phrase(text)

    assert len(phrase) <= PHRASE_BYTES_MAX
    assert all(0x20 <= byte < 0x7F for byte in phrase)


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=200))
def test_a_plain_text_is_its_own_phrase(text: str) -> None:
    assert make_phrase(text).decode() == text.strip()
