"""Who holds this token? Whoever one of the issuers says, checked with its keys.

Signatures are checked where the request is: that takes less than handing it to a thread (`benchmarks/sign_in.py`). A token that was
found good is known for a minute, so that a program's next calls cost a look into a table.
"""

import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import structlog

from muster.domain.caller import Caller
from muster.domain.control_characters import CONTROL
from muster.domain.errors import Finding, InvalidError, UnauthenticatedError, UnavailableError
from muster.domain.loopback import is_loopback
from muster.domain.role_rules import Claims, find_roles, list_texts, parse_path
from muster.server.adapters.oidc.keys import is_signed
from muster.server.adapters.oidc.provider import READ_TIMEOUT_S, REREAD_S, Provider
from muster.server.adapters.oidc.token import check_claims, get_text, parse_token
from muster.settings.sign_in import IssuerSettings

log = structlog.get_logger(__name__)

CHECKED_S = 60.0
"""Seconds that a token which was found good is not checked again, at most: so long also a withdrawn key goes on opening."""
CHECKED_MAX = 10_000
NAME_CHARS_MAX = 200
PRIMARY = ""
"""The label of the issuer whose callers have none before their names."""


class Issuer:
    """One issuer: what its tokens must be, and whom they make of their holders.

    Args:
        labels: of all issuers.
    """

    def __init__(self, settings: IssuerSettings, provider: Provider, *, labels: frozenset[str]) -> None:
        self.url = settings.url
        self.provider = provider
        self.audiences = settings.list_audiences()
        self._label = settings.label
        self._name_path = parse_path(settings.name_claim)
        self._groups_path = parse_path(settings.groups_claim)
        self._rules = settings.list_rules()
        self._labels = labels - {PRIMARY}

    def make_caller(self, claims: Claims, *, expires_s: float) -> Caller:
        """Whom the claims of a checked token describe, which ends then. Raises UnauthenticatedError: they give no name that can be one."""
        names = list_texts(claims, self._name_path)
        name = names[0] if len(names) == 1 else ""
        if not 0 < len(name) <= NAME_CHARS_MAX or CONTROL.search(name) or name != name.strip():
            claim = ".".join(self._name_path)
            raise UnauthenticatedError(
                f"the token's claim `{claim}` is no name: a text of 1 to {NAME_CHARS_MAX} characters"
            )
        full_name = self._qualify(name)
        if full_name is None:
            raise UnauthenticatedError(f"the name {name!r} is kept for callers of another issuer")
        groups = frozenset(filter(None, map(self._qualify, list_texts(claims, self._groups_path))))
        return Caller(full_name, find_roles(self._rules, claims), groups, self.url, expires_s)

    def _qualify(self, text: str) -> str | None:
        """A name of a caller or a group as it is unique among all issuers; None where it would be another issuer's."""
        if self._label != PRIMARY:
            return f"{self._label}:{text}"
        return None if text.partition(":")[0] in self._labels else text


@dataclass(frozen=True)
class _Checked:
    caller: Caller
    until_s: float


class OidcIdentity:
    """Checks tokens of several issuers.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, issuers: Sequence[Issuer], *, clock: Callable[[], float] = time.time) -> None:
        self._issuers: Mapping[str, Issuer] = {one.url: one for one in issuers}
        self._clock = clock
        self._checked: dict[bytes, _Checked] = {}

    async def identify(self, token: str) -> Caller:
        """Raises UnauthenticatedError; UnavailableError when the key is not known and the issuer does not answer."""
        now_s = self._clock()
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        known = self._checked.get(digest)
        if known is not None and now_s < known.until_s:
            return known.caller
        try:
            caller, expires_s = await self._check(token, now_s)
        except UnauthenticatedError as error:
            log.info("token refused", reason=str(error))  # the caller is not told why, so the operator must be
            raise
        self._keep(digest, _Checked(caller, min(expires_s, now_s + CHECKED_S)))
        return caller

    async def refresh(self) -> None:
        """Read the keys of every issuer; what does not answer has told so in the log."""
        async with anyio.create_task_group() as group:
            for one in self._issuers.values():
                group.start_soon(_refresh, one.provider)

    async def _check(self, text: str, now_s: float) -> tuple[Caller, float]:
        token = parse_token(text)
        issuer = self._issuers.get(get_text(token.claims, "iss").rstrip("/"))
        if issuer is None:
            raise UnauthenticatedError(f"the token's issuer is not known here; known: {', '.join(self._issuers)}")
        expires_s = check_claims(token.claims, audiences=issuer.audiences, now_s=now_s)
        keys = await issuer.provider.find_keys(kid=token.kid, algorithm=token.algorithm)
        if not is_signed(token, keys):
            raise UnauthenticatedError("the token is not signed with a key of its issuer")
        return issuer.make_caller(token.claims, expires_s=expires_s), expires_s

    def _keep(self, digest: bytes, checked: _Checked) -> None:
        self._checked.pop(digest, None)
        if len(self._checked) >= CHECKED_MAX:
            del self._checked[next(iter(self._checked))]  # the one that was checked first
        self._checked[digest] = checked


@asynccontextmanager
async def open_oidc(
    issuers: Sequence[IssuerSettings], *, ca_file: Path | None = None, reread_s: float = REREAD_S
) -> AsyncIterator[OidcIdentity]:
    """The identity over these issuers; none of them is asked anything yet.

    Args:
        ca_file: certificates that vouch for them, PEM; None: the usual ones.
        reread_s: of `Provider`.

    Raises:
        InvalidError: the file cannot be used.
    """
    tls = read_certificates(ca_file)
    labels = frozenset(one.label for one in issuers)
    async with AsyncExitStack() as stack:
        known = []
        for one in issuers:
            is_here = is_loopback(urlsplit(one.url).hostname or "")
            http = httpx.AsyncClient(
                verify=tls,
                timeout=READ_TIMEOUT_S,
                trust_env=not is_here,  # a proxy of the environment cannot reach this machine's own addresses
                limits=httpx.Limits(max_connections=2, max_keepalive_connections=1),
            )
            if not one.list_audiences():
                log.warning(
                    "no audience is set: tokens that were made for other services are taken too", issuer=one.url
                )
            provider = Provider(one.url, await stack.enter_async_context(http), reread_s=reread_s)
            known.append(Issuer(one, provider, labels=labels))
        yield OidcIdentity(known)


def read_certificates(file: Path | None) -> ssl.SSLContext:
    """Those that vouch for the issuers; None: the usual ones. Raises InvalidError: the file cannot be used."""
    try:
        return httpx.create_ssl_context() if file is None else ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise InvalidError([Finding("oidc_ca_file", f"{file} cannot be used as certificates: {reason}")]) from error


async def _refresh(provider: Provider) -> None:
    try:
        await provider.refresh()
    except UnavailableError:
        return  # told by the provider, and tried again at the next pass
