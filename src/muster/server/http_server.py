"""How are requests answered, and what becomes of those that are not when the service stops?

They get a few seconds. Then their connections are closed without an answer: nobody knows whether what was asked for has been done, and a
client that sees its connection closed asks again. No fault of the service, so it is no error in its log (`doors.cut_off`).
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import structlog
import uvicorn
from litestar import Litestar

from muster.server.adapters.certificate_files.certificate import CertificateFiles
from muster.server.doors.cut_off import CuttingProtocol

log = structlog.get_logger()

SHUTDOWN_S = 5.0
"""Seconds that answers may still take when the service stops."""
END_S = 2
"""Seconds until it stops all the same, where one of those that were cut off does not end."""
KEEP_ALIVE_S = 75
"""Seconds that an idle connection is kept: longer than workers wait between two calls."""
BACKLOG = 2048


class HttpServer(uvicorn.Server):
    """uvicorn, which tells when it is ready and leaves signals alone."""

    def __init__(self, app: Litestar, certificate: CertificateFiles | None = None) -> None:
        """Over TLS where there is a certificate."""
        super().__init__(
            uvicorn.Config(
                app,
                http=CuttingProtocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=int(SHUTDOWN_S) + END_S,
                ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
            )
        )
        self.is_ready = anyio.Event()
        """Requests are answered, or never will be (`started` is False)."""
        self.is_closed = anyio.Event()

    async def run(self, listener: socket.socket, is_over: anyio.Event) -> None:  # type: ignore[override]
        """Answer requests until `should_exit`; then the answers under way are finished. Not to be cancelled: it is asked."""
        try:
            with anyio.CancelScope(shield=True):
                await self.serve(sockets=[listener])
        finally:
            self.is_ready.set()
            self.is_closed.set()
            is_over.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is idle, and wait for what is not, but not for long."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._cut_off_in_the_end)
            await super().shutdown(sockets)
            group.cancel_scope.cancel()

    async def _cut_off_in_the_end(self) -> None:
        await anyio.sleep(SHUTDOWN_S)
        connections, requests = list(self.server_state.connections), list(self.server_state.tasks)
        log.warning("requests cut off", requests=len(requests), connections=len(connections), after_s=SHUTDOWN_S)
        for connection in connections:  # also those whose client does not read its answer
            connection.transport.abort()
        for request in requests:
            request.cancel()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the composition root's business."""
        yield
