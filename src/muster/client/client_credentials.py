"""How does a program sign in that no person stands behind? It gets tokens of its identity provider, by client credentials.

A token is kept until shortly before its end, and renewed then; one call asks for it while others wait. The secret is read from its file
each time, so that it can be exchanged while the program runs, and goes nowhere but to the provider.

Source: RFC 6749, sections 2.3.1 and 4.4; OpenID Connect Discovery 1.0.
"""

import base64
import ssl
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote_plus, urlsplit

import anyio
import httpx
import msgspec

from muster.client.address import CONNECT_TIMEOUT_S, render_silence
from muster.domain.errors import Finding, InvalidError, NotFoundError, UnauthenticatedError, UnavailableError
from muster.domain.loopback import is_loopback
from muster.settings.sign_in import CredentialSettings

ANSWER_TIMEOUT_S = 10.0
MARGIN_S = 60.0
"""Seconds before its end that a token is renewed; a third of its life for one that is short."""
TTL_S_DEFAULT = 300.0
"""For a provider that does not say how long its tokens last."""
RETRY_S = 5.0
"""Seconds after which renewing is tried again while the token at hand is still good."""
REFUSED_S = 10.0
"""A token that the service refuses is exchanged for another one, unless it is younger than this."""

Fetching: TypeAlias = Generator[httpx.Request, httpx.Response, "Grant"]


@dataclass(frozen=True)
class Grant:
    """A token that was given. Times are readings of a clock that never goes back, in seconds."""

    token: str = field(repr=False)
    given_at: float
    due_at: float
    ends_at: float


class ClientCredentials(httpx.Auth):
    """Signs requests of either client.

    Args:
        settings: name the client, the file of its secret, and the provider.
        clock: seconds that never go back.
    """

    def __init__(self, settings: CredentialSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._grant: Grant | None = None
        self._token_url = settings.oidc_token_url
        self._lock = threading.Lock()
        self._async_lock = anyio.Lock()

    def __repr__(self) -> str:
        return f"ClientCredentials({self._settings.oidc_client_id!r})"

    def check(self) -> None:
        """Can the secret be read? Raises NotFoundError, InvalidError."""
        self._read_secret()

    def get_grant(self) -> Grant:
        """The token at hand, or a new one where it is due. Raises UnavailableError, UnauthenticatedError, InvalidError."""
        return self._renew()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        grant = self._renew()
        response = yield _sign(request, grant)
        if response.status_code == httpx.codes.UNAUTHORIZED and self._drop(grant):
            yield _sign(request, self._renew())

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        grant = await self._renew_async()
        response = yield _sign(request, grant)
        if response.status_code == httpx.codes.UNAUTHORIZED and self._drop(grant):
            yield _sign(request, await self._renew_async())

    def _renew(self) -> Grant:
        with self._lock:
            if (grant := self._find_grant()) is not None:
                return grant
            fetching = self._fetch()
            try:
                with httpx.Client(**self._options()) as http:
                    asked = next(fetching)
                    while True:  # the fetch ends itself
                        asked = fetching.send(http.send(asked))
            except StopIteration as done:
                return self._keep(done.value)
            except (httpx.TransportError, UnavailableError) as error:
                return self._make_do(error)

    async def _renew_async(self) -> Grant:
        async with self._async_lock:
            if (grant := self._find_grant()) is not None:
                return grant
            fetching = self._fetch()
            try:
                async with httpx.AsyncClient(**self._options()) as http:
                    asked = next(fetching)
                    while True:  # the fetch ends itself
                        response = await http.send(asked)
                        asked = fetching.send(response)
            except StopIteration as done:
                return self._keep(done.value)
            except (httpx.TransportError, UnavailableError) as error:
                return self._make_do(error)

    def _find_grant(self) -> Grant | None:
        """The token at hand, if it need not be renewed yet."""
        return self._grant if self._grant is not None and self._clock() < self._grant.due_at else None

    def _keep(self, grant: Grant) -> Grant:
        self._grant = grant
        return grant

    def _drop(self, refused: Grant) -> bool:
        """The service does not take it. True if another one is at hand, or may be asked for."""
        if self._grant is refused:
            if self._clock() - refused.given_at < REFUSED_S:
                return False
            self._grant = None
        return True

    def _make_do(self, error: httpx.TransportError | UnavailableError) -> Grant:
        """The provider does not answer: go on with what is still good. Raises UnavailableError when nothing is."""
        now = self._clock()
        if self._grant is not None and now < self._grant.ends_at:
            self._grant = Grant(self._grant.token, self._grant.given_at, now + RETRY_S, self._grant.ends_at)
            return self._grant
        if isinstance(error, UnavailableError):
            raise error
        where = self._token_url or self._settings.oidc_url
        raise UnavailableError(f"the identity provider {where} does not answer ({render_silence(error)})") from error

    def _fetch(self) -> Fetching:
        """Ask for a token, without any I/O but the secret's file. Raises UnavailableError, UnauthenticatedError, InvalidError."""
        settings = self._settings
        if self._token_url is None:
            url = f"{settings.oidc_url}/.well-known/openid-configuration"
            document = _read(url, (yield httpx.Request("GET", url)))
            self._token_url = _find_token_url(url, document)
        names = [quote_plus(one) for one in (settings.oidc_client_id, self._read_secret())]
        credentials = base64.b64encode(":".join(names).encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Accept": "application/json"}
        form = {"grant_type": "client_credentials", **settings.oidc_request}
        asked_at = self._clock()
        response = yield httpx.Request("POST", self._token_url, data=form, headers=headers)
        if response.status_code in (400, 401, 403):
            raise UnauthenticatedError(
                f"the identity provider {self._token_url} gives the client {settings.oidc_client_id!r} no token: "
                f"{_read_reason(response)}"
            )
        return _make_grant(self._token_url, _read(self._token_url, response), now=asked_at)

    def _options(self) -> dict[str, Any]:
        """Keyword arguments for either of httpx's clients."""
        file = self._settings.oidc_ca_file
        url = self._token_url or self._settings.oidc_url or ""
        try:
            tls = httpx.create_ssl_context() if file is None else ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidError([Finding(str(file), f"cannot be used as certificates: {error}")]) from error
        return {
            "verify": tls,
            "trust_env": not is_loopback(urlsplit(url).hostname or ""),
            "timeout": httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        }

    def _read_secret(self) -> str:
        file = self._settings.oidc_client_secret_file or Path()
        try:
            if file.stat().st_mode & 0o007:
                raise InvalidError([Finding(str(file), f"others may read the secret: say `chmod 600 {file}`")])
            secret = file.read_text().strip()
        except FileNotFoundError:
            raise NotFoundError(f"the secret's file {file} is missing") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError([Finding(str(file), f"cannot be read: {error}")]) from error
        if not secret or not secret.isprintable():
            raise InvalidError([Finding(str(file), "holds no secret: one line of printable text")])
        return secret


def _sign(request: httpx.Request, grant: Grant) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {grant.token}"
    return request


def _make_grant(url: str, answer: Mapping[str, object], *, now: float) -> Grant:
    token, type_, ttl_s = answer.get("access_token"), answer.get("token_type", "bearer"), answer.get("expires_in")
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
        raise UnavailableError(f"the identity provider {url} answers without a token")
    if not isinstance(type_, str) or type_.lower() != "bearer":
        raise UnavailableError(f"the identity provider {url} gives a token that is no bearer token")
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or ttl_s <= 0:
        ttl_s = TTL_S_DEFAULT
    return Grant(token, now, now + ttl_s - min(MARGIN_S, ttl_s / 3), now + ttl_s)


def _find_token_url(url: str, document: Mapping[str, object]) -> str:
    found = document.get("token_endpoint")
    parts = urlsplit(found) if isinstance(found, str) else urlsplit("")
    if isinstance(found, str) and (parts.scheme == "https" or is_loopback(parts.hostname or "")):
        return found
    raise UnavailableError(f"{url} names no address for tokens (`token_endpoint`) that is https: {str(found)[:200]}")


def _read(url: str, response: httpx.Response) -> dict[str, object]:
    if not response.is_success:
        raise UnavailableError(f"the identity provider {url} answers with HTTP status {response.status_code}")
    try:
        return msgspec.json.decode(response.content, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        raise UnavailableError(f"the identity provider {url} answers with something else than a JSON object") from None


def _read_reason(response: httpx.Response) -> str:
    """What the provider says of a refusal (RFC 6749, section 5.2)."""
    try:
        answer = msgspec.json.decode(response.content, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError):
        answer = {}
    said = [str(answer[one])[:200] for one in ("error", "error_description") if one in answer]
    return ": ".join(said) or f"HTTP status {response.status_code}"
