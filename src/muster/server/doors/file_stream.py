"""How are bytes given out that are too many for memory? A piece after another, as fast as the client takes them."""

from collections.abc import AsyncGenerator, Mapping

from litestar.types import Receive, Scope, Send

from muster.domain.errors import MusterError
from muster.server.doors.piece_stream import send_pieces


class FileStream:
    """An ASGI application that sends pieces, as many bytes as its headers say. Where they fail the answer is broken off before its end, and
    the client sees that it is too short.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str], *, subject: str) -> None:
        self._pieces = pieces
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._subject = f"file {subject}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await send_pieces(self._pieces, self._headers, receive, send, broken_off_by=MusterError, subject=self._subject)
