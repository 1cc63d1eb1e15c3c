"""Where does the service listen, and where is it found?"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


@contextmanager
def bind(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Raises OSError, naming the address."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = infos[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
        listener.setblocking(False)
        yield listener
    finally:
        listener.close()


def render_url(listener: socket.socket, *, scheme: str) -> str:
    """Where clients on this machine find it."""
    host, port = listener.getsockname()[:2]
    host = _WILDCARDS.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
