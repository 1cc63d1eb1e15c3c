"""A small real HTTP server for the client's tests: it gives the answers it was told to, in order, and keeps what it was asked."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

DROP = object()
"""In place of an answer: the connection is closed without one."""


@dataclass
class Stream:
    """An answer that goes on. Args: end: `whole`, `broken` off, or `silent`: nothing more comes, and it stays open."""

    pieces: Sequence[bytes]
    end: str = "whole"
    media_type: str = "text/event-stream"


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedService:
    """Args: answers: (status, body) pairs, `DROP`, or a `Stream`; the last one is given again and again."""

    answers: list[Any]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    is_over: threading.Event = field(default_factory=threading.Event)

    def next_answer(self) -> Any:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextlib.contextmanager
def run_scripted(*answers: Any, headers: dict[str, str] | None = None) -> Iterator[ScriptedService]:
    """Serve on a free port of the loopback address until the block ends."""
    service = ScriptedService(list(answers), headers=headers or {})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            names = {name.lower(): value for name, value in self.headers.items()}
            service.asked.append(Asked(self.command, self.path, names, self.rfile.read(length)))
            answer = service.next_answer()
            if answer is DROP:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            if isinstance(answer, Stream):
                self._go_on(answer)
                return
            status, body = answer
            encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
            self.send_response(status)
            for name, value in service.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def _go_on(self, stream: Stream) -> None:
            self.send_response(200)
            self.send_header("Content-Type", stream.media_type)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in stream.pieces:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                self.wfile.flush()
            if stream.end == "whole":
                self.wfile.write(b"0\r\n\r\n")
                return
            if stream.end == "silent":
                service.is_over.wait()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_POST = _answer  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        service.is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def find_closed_port() -> int:
    """A port that nothing listens on, for as long as nobody takes it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
