"""Where does the service listen, and where is it found?"""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from muster.domain.errors import Finding, InvalidError

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


_ELSEWHERE = "name an address of this machine (127.0.0.1: it alone is answered; 0.0.0.0: everybody who reaches it)"
_REMEDIES = {
    errno.EADDRINUSE: ("port", "stop the program that has it, or choose another port (0 takes a free one)"),
    errno.EACCES: ("port", "choose one from 1024 on, or give the service the right to this one"),
    errno.EADDRNOTAVAIL: ("host", _ELSEWHERE),
}


@contextmanager
def bind(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Raises InvalidError, by the names of the settings."""
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise _refuse(error, host, port) from error
    family, kind, protocol, _, address = infos[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise _refuse(error, host, port) from error
        listener.setblocking(False)
        yield listener
    finally:
        listener.close()


def _refuse(error: OSError, host: str, port: int) -> InvalidError:
    field, remedy = _REMEDIES.get(error.errno or 0, ("host", _ELSEWHERE))
    return InvalidError([Finding(field, f"cannot listen on {host}:{port}: {error.strerror}: {remedy}")])


def render_url(listener: socket.socket, *, scheme: str) -> str:
    """Where clients on this machine find it."""
    host, port = listener.getsockname()[:2]
    host = _WILDCARDS.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
