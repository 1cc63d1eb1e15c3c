"""How does a worker reach the service? One kept-alive connection a link, straight or through a proxy; one POST at a time."""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import ssl
import urllib.request
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Protocol, Union
from urllib.parse import unquote, urlsplit

from muster.worker.settings import CA_FILE, URL

ANSWER_BYTES_MAX = 640 << 20
CONNECT_S = 20.0
_PIECE_BYTES = 1 << 20


class SupportsRead(Protocol):
    """What is sent a piece at a time."""

    def read(self, size_bytes: int = ..., /) -> bytes: ...


class AddressError(ValueError):
    """The service's address cannot be used; the text says why."""


class LinkError(Exception):
    """No answer: what became of the request is unknown. `is_stale`: a kept connection had been closed meanwhile."""

    def __init__(self, text: str, *, is_stale: bool = False) -> None:
        super().__init__(text)
        self.is_stale = is_stale


class CutOffError(LinkError):
    """A good answer had begun, and did not come to its end."""


@dataclass(frozen=True)
class Address:
    """Where the service is, and the way to it. Make it with `parse_address`."""

    host: str
    port: int
    prefix: str
    tls: Optional[ssl.SSLContext]
    proxy_host: Optional[str] = None
    proxy_port: int = 0
    proxy_headers: Optional[Dict[str, str]] = None


@dataclass(frozen=True)
class Reply:
    """An answer. `retry_after_s`: what its header says; None without one that we can read."""

    status: int
    body: bytes
    retry_after_s: Optional[float] = None


def parse_address(url: str, *, ca_file: Optional[str] = None) -> Address:
    """Read the service's URL, and the proxy variables of the environment. Raises AddressError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressError(f"{URL}: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise AddressError(f"{URL}: must begin with https:// (or, on this machine, http://) and name a host")
    if parts.username is not None or parts.password is not None:
        raise AddressError(f"{URL}: must hold no user name or password")
    prefix = parts.path.rstrip("/")
    if parts.scheme == "http":
        if not _is_loopback(host):
            raise AddressError(f"{URL}: plain http is for loopback addresses only, and {host!r} is none")
        return Address(host, port or 80, prefix, None)
    try:
        tls = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise AddressError(f"{CA_FILE} {ca_file}: {error}") from None
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return Address(host, port or 443, prefix, tls)
    through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if through.scheme != "http" or not through.hostname:
        raise AddressError("https_proxy: must be an http:// address")
    headers = {}
    if through.username is not None:
        login = f"{unquote(through.username)}:{unquote(through.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return Address(host, port or 443, prefix, tls, through.hostname, through.port or 3128, headers)


class Link:
    """One connection, made when needed and kept. For one thread at a time."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Optional[http.client.HTTPConnection] = None

    def post(
        self,
        path: str,
        body: bytes,
        *,
        token: str = "",
        timeout_s: float,
        on_sent: Optional[Callable[[], None]] = None,
    ) -> Reply:
        """Send and wait for the answer, at most `timeout_s` between two bytes. `on_sent` is called in between. Raises LinkError."""
        is_kept = self._connection is not None
        try:
            connection = self._connection or self._connect()
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            headers = {"Content-Type": "application/json"}
            if token:
                headers["Authorization"] = f"Bearer {token}"
            connection.request("POST", self._address.prefix + path, body=body, headers=headers)
            if on_sent is not None:
                on_sent()
            response = connection.getresponse()
            content = _read_bounded(response)
            if not response.isclosed():  # longer than any answer of the service; its rest would be taken for the next
                self.close()
            return Reply(response.status, content, _parse_retry_after(response.getheader("Retry-After")))
        except (http.client.RemoteDisconnected, ConnectionError) as error:
            self.close()
            raise LinkError(_tell(error), is_stale=is_kept) from None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise LinkError(_tell(error)) from None

    def carry(
        self,
        method: str,
        path: str,
        *,
        token: str,
        timeout_s: float,
        body: "Union[bytes, SupportsRead]",
        size_bytes: int,
        sink: Optional[Callable[[bytes], None]] = None,
    ) -> Reply:
        """Send what may be too much for memory, or get it: with `sink` the bytes of a good answer go there.

        Raises LinkError; CutOffError for an answer that breaks off in the middle; and what `sink` and `body` raise.
        """
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        if method != "GET":
            headers["Content-Length"] = str(size_bytes)
            headers["Content-Type"] = "application/json" if isinstance(body, bytes) else "application/octet-stream"
        try:
            connection = self._connect()
            if connection.sock is not None:
                connection.sock.settimeout(timeout_s)
            # Who refuses answers before all has come, and closes: the answer lies there all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    method, self._address.prefix + path, body=None if method == "GET" else body, headers=headers
                )
            response = connection.getresponse()
            if sink is None or response.status != 200:
                return Reply(response.status, _read_bounded(response))
            _pour(response, sink)
            return Reply(response.status, b"")
        except (OSError, http.client.HTTPException) as error:
            raise LinkError(_tell(error)) from None

    def ask_date(self, *, timeout_s: float) -> str:
        """What time it is there, as the header of an answer says, whichever answer. Raises OSError, HTTPException."""
        connection = self._connect(timeout_s)
        connection.request("GET", f"{self._address.prefix}/")
        said = connection.getresponse().getheader("Date", "")
        self.close()
        return said

    def close(self) -> None:
        """Drop the connection; the next post makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self, timeout_s: float = CONNECT_S) -> http.client.HTTPConnection:
        address = self._address
        host, port = (address.proxy_host, address.proxy_port) if address.proxy_host else (address.host, address.port)
        connection: http.client.HTTPConnection
        if address.tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=address.tls)
        if address.proxy_host:
            connection.set_tunnel(address.host, address.port, headers=address.proxy_headers or {})
        connection.connect()
        self._connection = connection
        return connection


def _pour(response: http.client.HTTPResponse, sink: Callable[[bytes], None]) -> None:
    try:
        while part := response.read(_PIECE_BYTES):
            sink(part)
    except (OSError, http.client.HTTPException) as error:
        raise CutOffError(_tell(error)) from None
    if response.length:
        raise CutOffError(f"{response.length} bytes did not come")


def _read_bounded(response: http.client.HTTPResponse) -> bytes:
    """The whole body, or the first `ANSWER_BYTES_MAX` of it. In pieces: before Python 3.10 `read(n)` allots n bytes at once."""
    parts = []
    left = ANSWER_BYTES_MAX
    while left > 0 and (part := response.read(min(left, response.length or _PIECE_BYTES, _PIECE_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parse_retry_after(text: Optional[str]) -> Optional[float]:
    return min(60.0, float(text)) if text is not None and text.isdigit() and len(text) < 6 else None


def _tell(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
