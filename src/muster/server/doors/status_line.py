"""How does the text of an error come into the status line? HTTP calls it the reason phrase; some clients print only that.

ASGI has no field for it. What an application leaves in the request's scope is put in where uvicorn writes the head of the answer: in one
piece, so that the first line of it can be exchanged. Clients of the EWMS services depend on it (wms.md section 2.1).
"""

import asyncio
import re
from collections.abc import MutableMapping
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

PHRASE_BYTES_MAX = 1000
_KEY = "muster.reason_phrase"
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_PREFIX = b"HTTP/1.1 "
_INFORMATIONAL = b"1"


def make_one_line(text: str) -> str:
    """The text without line breaks and control characters: a blank stands for each run of them."""
    return _NOT_IN_A_LINE.sub(" ", text).strip()


def make_phrase(text: str) -> bytes:
    """The text as a reason phrase: one line of at most 1,000 bytes of ASCII; what is not ASCII is written as in Python."""
    return make_one_line(text).encode("ascii", "backslashreplace")[:PHRASE_BYTES_MAX]


def set_phrase(scope: MutableMapping[str, Any], text: str) -> None:
    """Have the answer to this request say `text` in its status line."""
    scope[_KEY] = make_phrase(text)


class PhrasingProtocol(HttpToolsProtocol):
    """uvicorn's connection, which writes the reason phrases that were set."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.transport = _Head(cycle)
        super()._start_asgi_task(cycle, app)


class _Head(asyncio.Transport):
    """Stands before the connection until the head of one answer is written; then the answer goes on without it."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        super().__init__()
        self._cycle = cycle
        self._transport = cycle.transport

    def write(self, data: Any) -> None:
        status = bytes(data[len(_PREFIX) : len(_PREFIX) + 3])
        if not status.startswith(_INFORMATIONAL):  # 100 Continue is not yet the answer
            self._cycle.transport = self._transport
            phrase = self._cycle.scope.get(_KEY)
            if isinstance(phrase, bytes):
                data = b"".join((_PREFIX, status, b" ", phrase, data[data.index(b"\r\n") :]))
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()
