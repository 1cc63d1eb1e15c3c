"""May a token travel to this address, and how is it reached?"""

import os
import ssl
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

from muster.client.call import Call
from muster.client.conversations import Opened
from muster.domain.errors import Finding, InvalidError
from muster.domain.loopback import is_loopback
from muster.domain.masking import mask_address

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0

_NOT_VOUCHED_FOR = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that is sound, and of an authority that nobody has named (its manual, X509_STORE_CTX_get_error)."""

Token: TypeAlias = str | httpx.Auth | None
"""What signs the caller in: a token, or what gets one whenever it is needed; None for the public calls only."""
NOT_ONE = "does not hold a token: one line of printable ASCII without blanks"
"""What is wrong with a text that is none."""


@dataclass(frozen=True)
class Address:
    """A checked base URL, without a slash at its end."""

    url: str
    is_loopback: bool


def is_token(text: str) -> bool:
    """Can this be sent as a token?"""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def parse_address(url: str) -> Address:
    """Check a base URL.

    Raises:
        InvalidError: not http or https, no host, a user name or query in it, or plain HTTP to another machine, which would
            send the token readable for everybody in between.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise _invalid(url, str(error)) from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _invalid(url, "must look like http://127.0.0.1:8765 or https://muster.example.org")
    if parsed.port is not None and not 0 < parsed.port <= 65535:
        raise _invalid(url, f"has port {parsed.port}; ports are 1 to 65535")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise _invalid(
            url.partition("://")[0] + "://…", "must hold no user name, query or fragment; give the token as a file"
        )
    is_here = is_loopback(parsed.host)
    if parsed.scheme == "http" and not is_here:
        raise _invalid(
            url, "plain HTTP would show your token to the network: use https (plain http only to this machine)"
        )
    return Address(str(parsed).rstrip("/"), is_here)


def http_options(address: Address, token: Token) -> dict[str, Any]:
    """Keyword arguments for either of httpx's clients. Raises InvalidError: what is to vouch for the service cannot be read."""
    headers = {"Accept": "application/json"}
    if isinstance(token, str):
        headers["Authorization"] = f"Bearer {token}"
    return {
        "base_url": address.url,
        "auth": token if isinstance(token, httpx.Auth) else None,
        "headers": headers,
        # A proxy of the environment cannot reach this machine's own addresses.
        "trust_env": not address.is_loopback,
        "verify": _find_trust(address, token),
        "follow_redirects": False,
        "limits": httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0),
    }


def _find_trust(address: Address, token: Token) -> ssl.SSLContext:
    """Who vouches for the service: the authorities that everybody knows, or those that the environment names, on this machine too."""
    if address.url.startswith("http:") and not isinstance(token, httpx.Auth):  # which asks a provider by https
        # Nobody's certificate is looked at on the way, and reading those of all authorities takes longer than a short command's call:
        # so none is trusted.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        reason = f"names no authorities (PEM) that can be read: {getattr(error, 'strerror', None) or error}"
        raise InvalidError([Finding(name, reason)]) from error


def request_options(call: Call[Any], *, answer_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """Keyword arguments of one request. `answer_s`: seconds without a byte after which it is given up, but for what it parks."""
    headers = dict(call.headers)
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    return {
        "method": call.method,
        "url": call.path,
        "params": call.query or None,
        "content": call.body,
        "headers": headers,
        "timeout": httpx.Timeout(answer_s + call.parked_s, connect=CONNECT_TIMEOUT_S),
    }


def read_head(response: httpx.Response) -> Opened:
    """What the head of an answer says of what follows."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Opened(response.status_code, media_type)


def render_silence(error: httpx.TransportError) -> str:
    """Why no answer came, in words."""
    match error:
        case httpx.ConnectError() if (flaw := _find_flaw(error)) is not None:
            remedy = (
                ": name the file of its authority (PEM) by SSL_CERT_FILE"
                if flaw.verify_code in _NOT_VOUCHED_FOR
                else ""
            )
            return f"its certificate does not do ({flaw.verify_message}){remedy}"
        case httpx.ConnectError():
            return "nothing accepts connections" if "refused" in str(error).lower() or not str(error) else str(error)
        case httpx.ConnectTimeout():
            return f"no connection in {CONNECT_TIMEOUT_S:.0f} s"
        case httpx.TimeoutException():
            return "no answer in time"
        case _:
            return str(error) or "the connection broke"


def is_untrusted(error: httpx.TransportError) -> bool:
    """Is something there, and only its certificate does not do?"""
    return _find_flaw(error) is not None


def _find_flaw(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What was wrong with the certificate, of an error that that may be at the bottom of."""
    while not isinstance(error, ssl.SSLCertVerificationError):
        below = error.__cause__ or error.__context__
        if below is None:
            return None
        error = below
    return error


def _invalid(url: str, reason: str) -> InvalidError:
    return InvalidError([Finding("url", f"{mask_address(url)!r} {reason}")])
