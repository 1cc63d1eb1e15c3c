"""What are an issuer's keys now? Read where it says it publishes them, kept, and read again for a key that is not known.

While it does not answer, the keys that are known go on opening: tokens need no provider to be checked. Junk that names keys which
do not exist cannot drive it: between two reads lie `reread_s`, those who ask meanwhile wait for the next one and share it. They
wait and are not refused, because a client takes a refusal for final, and the key may be one of a minute ago.

Source: OpenID Connect Discovery 1.0, section 4.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import anyio
import httpx
import msgspec
import structlog

from muster.domain.errors import UnavailableError
from muster.domain.loopback import is_loopback
from muster.server.adapters.oidc.keys import PublicKey, find_keys, read_keys

log = structlog.get_logger(__name__)

REREAD_S = 2.0
"""Seconds between two reads for the sake of unknown keys, at least."""
READ_TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 1 << 20
KEPT_S = 24 * 3600.0
"""Keys that nobody could confirm for so long are not trusted any more: one of them may have been withdrawn."""
_NEVER = float("-inf")


class Provider:
    """The keys of one issuer.

    Args:
        url: of the issuer, without a slash at its end.
        http: with timeouts, and certificates checked; follows no redirect.
        reread_s: as `REREAD_S`.
    """

    def __init__(self, url: str, http: httpx.AsyncClient, *, reread_s: float = REREAD_S) -> None:
        self._url = url
        self._http = http
        self._reread_s = reread_s
        self._reading = anyio.Lock()
        self._keys: Sequence[PublicKey] = ()
        self._keys_url: str | None = None
        self._begun_at, self._confirmed_at = _NEVER, _NEVER
        self._trouble: UnavailableError | None = None
        """Why the last read brought nothing."""

    async def find_keys(self, *, kid: str | None, algorithm: str) -> Sequence[PublicKey]:
        """The keys that a token may be signed with that says so; asks the provider, once, where none is known.

        Raises UnavailableError: none is known, and the provider does not answer.
        """
        known = self._list_known()
        found = find_keys(known, kid=kid, algorithm=algorithm)
        if not found and (kid is not None or not known):
            await self._read_anew()
            found = find_keys(self._list_known(), kid=kid, algorithm=algorithm)
        return found

    async def refresh(self) -> None:
        """Read the keys again, so that those withdrawn are forgotten. Raises UnavailableError; what is known is kept."""
        async with self._reading:
            self._keys_url = None
            await self._read()
            self._tell_trouble()

    def _list_known(self) -> Sequence[PublicKey]:
        return self._keys if anyio.current_time() - self._confirmed_at < KEPT_S else ()

    async def _read_anew(self) -> None:
        """Take part in a read that begins from now on. Raises UnavailableError: it brought nothing."""
        asked_at = anyio.current_time()
        async with self._reading:
            if self._begun_at < asked_at:
                await anyio.sleep(max(0.0, self._begun_at + self._reread_s - anyio.current_time()))
                await self._read()
            self._tell_trouble()

    def _tell_trouble(self) -> None:
        if self._trouble is not None:
            raise UnavailableError(str(self._trouble))  # each its own: it is raised by several callers

    async def _read(self) -> None:
        self._begun_at = anyio.current_time()
        self._trouble = UnavailableError(f"reading the keys of {self._url} was broken off")  # until it is over
        try:
            with anyio.fail_after(READ_TIMEOUT_S):
                published = await self._fetch(self._keys_url or await self._discover())
            keys, refusals = read_keys(published)
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self._keys_url = None  # they may have moved
            reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            log.warning("the identity provider does not tell its keys", issuer=self._url, reason=reason)
            self._trouble = UnavailableError(f"the identity provider {self._url} does not tell its keys ({reason})")
            return
        if [one.kid for one in keys] != [one.kid for one in self._keys]:
            names = [one.kid for one in keys]
            log.info("keys of the identity provider", issuer=self._url, keys=names, passed_over=refusals)
        self._keys, self._confirmed_at, self._trouble = keys, anyio.current_time(), None

    async def _discover(self) -> str:
        """Where the keys are. Raises ValueError for a document that is not the issuer's."""
        document = await self._fetch(f"{self._url}/.well-known/openid-configuration")
        issuer, keys_url = document.get("issuer"), document.get("jwks_uri")
        if not isinstance(issuer, str) or issuer.rstrip("/") != self._url:
            raise ValueError(f"it calls itself {str(issuer)[:200]!r}: name it so in the settings")
        if not isinstance(keys_url, str) or not _is_safe(keys_url):
            raise ValueError(f"its `jwks_uri` is {str(keys_url)[:200]!r}, which is not https")
        self._keys_url = keys_url
        return keys_url

    async def _fetch(self, url: str) -> Mapping[str, object]:
        """A JSON object. Raises httpx.HTTPError, ValueError."""
        async with self._http.stream("GET", url, headers={"accept": "application/json"}) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"{url} answers with HTTP status {response.status_code}")
            body = bytearray()
            async for part in response.aiter_bytes(1 << 16):
                body += part
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError(f"{url} answers with more than {ANSWER_BYTES_MAX} bytes")
        try:
            return msgspec.json.decode(body, type=dict[str, object])
        except (msgspec.MsgspecError, RecursionError):
            raise ValueError(f"{url} answers with something else than a JSON object") from None


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)  # a ValueError is the caller's to tell
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    )
