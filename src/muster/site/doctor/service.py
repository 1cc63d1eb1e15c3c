"""Does the service answer this agent, know it, and have orders for it?"""

import email.utils
import stat
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import httpx
import msgspec

from muster.client.address import Token, http_options, parse_address, render_silence
from muster.client.asynchronous import AsyncClient
from muster.client.patience import Patience
from muster.client.shapes.service import Health, LocationView, Whoami
from muster.domain.errors import InvalidError, MusterError, NotFoundError
from muster.settings.parts import SiteSettings
from muster.site.ports.checks import Check, fault, fine, warn
from muster.site.sign_in import OTHERS_READ, find_token

ROLE = "system-tms"
OF_MUSTER = "muster"
CLOCK_S_WARNED, CLOCK_S_MAX = 5.0, 60.0
LAST_S_WARNED = 3600.0
"""Seconds until a token's end below which it is told."""
_PATIENCE = Patience(first_s=0.0, later_s=0.0)


@dataclass(frozen=True)
class Answered:
    """What the service said to anybody.

    Args:
        took_s: seconds until it did.
        ahead_s: seconds that this machine's clock is ahead of the service's; None: it told no time.
    """

    version: str
    took_s: float
    ahead_s: float | None


async def look_service(settings: SiteSettings, *, schedd: str = "") -> AsyncIterator[Check]:
    """The way to it, the clock, the token, the locations.

    Args:
        schedd: the name of the schedd that the agent stands beside; empty: that is not known, or there is none.
    """
    token: Token = None
    try:
        token, origin = find_token(settings)
    except (NotFoundError, InvalidError) as error:
        # The remedy names the variable; of the field nobody beside the pool has heard.
        said = "; ".join(one.reason for one in error.findings) if isinstance(error, InvalidError) else str(error)
        yield fault("token", said, _name_token_remedy(settings))
    else:
        for check in look_token_file(settings):
            yield check
    try:
        answered = await ask_anybody(settings.url)
    except (httpx.HTTPError, MusterError, msgspec.MsgspecError) as error:
        said = render_silence(error) if isinstance(error, httpx.TransportError) else str(error)
        remedy = "MUSTER_SITE_URL names it; see that it runs, the firewall, https_proxy, and SSL_CERT_FILE for an authority of your own"
        yield fault("service", f"{settings.url}: {said}", remedy)
        return
    yield judge_service(settings.url, answered)
    yield judge_clock(answered.ahead_s)
    if token is None:
        return
    async with AsyncClient(settings.url, token, patience=_PATIENCE, token_from=origin) as client:
        try:
            yield judge_caller(await client.whoami(), settings, now=time.time())
            found = await client.list_locations()
        except MusterError as error:
            yield fault("sign-in", str(error), _name_token_remedy(settings))
            return
    for check in judge_locations(settings.locations, found.locations, schedd=schedd):
        yield check


async def ask_anybody(url: str) -> Answered:
    """Ask for what everybody may know. Raises InvalidError, httpx.HTTPError, msgspec.MsgspecError."""
    async with httpx.AsyncClient(**http_options(parse_address(url), None), timeout=10.0) as http:
        began = time.time()
        response = await http.get("/healthz")
        took_s = time.time() - began
    response.raise_for_status()
    health = msgspec.json.decode(response.content, type=Health)
    told = email.utils.parsedate_to_datetime(date).timestamp() if (date := response.headers.get("date")) else None
    # It tells whole seconds, so half of one has gone by on the average.
    return Answered(health.version, took_s, None if told is None else began + took_s / 2 - told - 0.5)


def look_token_file(settings: SiteSettings) -> Iterator[Check]:
    """Who else can read the file of the token, or of the secret."""
    path = settings.oidc_client_secret_file if settings.oidc_client_id else settings.token_file
    if path is None:
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    found = f"{path}: mode {mode:04o}"
    if mode & OTHERS_READ:
        yield warn("token", f"{found}: others can read it", f"chmod 600 {path}")
    else:
        yield fine("token", found)


def judge_service(url: str, answered: Answered) -> Check:
    """It answers: is it of this version?"""
    own = version("muster-compute")
    way = "TLS, its certificate is good" if url.startswith("https:") else "no TLS, within this machine"
    found = f"{url} answers within {answered.took_s:.2f} s: Muster {answered.version} ({way})"
    if answered.version.split(".")[:2] != own.split(".")[:2]:
        return warn("service", f"{found}; this agent is {own}", "install the same version at both")
    return fine("service", found)


def judge_clock(ahead_s: float | None, *, what: str = "clock", of: str = "the service's") -> Check:
    """`ahead_s`: seconds that this machine's clock is ahead."""
    if ahead_s is None:
        return warn(what, f"{of} is not told", "compare them by hand: date -u")
    found = f"{abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} {of}"
    remedy = "set the clocks of both machines by NTP (timedatectl set-ntp true)"
    if abs(ahead_s) > CLOCK_S_MAX:
        return fault(what, found, remedy)
    return warn(what, found, remedy) if abs(ahead_s) > CLOCK_S_WARNED else fine(what, found)


def judge_caller(me: Whoami, settings: SiteSettings, *, now: float) -> Check:
    """Who the agent is to the service."""
    found = f"the service takes this agent for {me.name}, with the roles {', '.join(me.roles) or '(none)'}"
    if ROLE not in me.roles:
        return fault(
            "sign-in", f"{found}; it needs {ROLE}", f"have the identity provider give it {ROLE}, or use another token"
        )
    if me.expires_at is not None and not settings.oidc_client_id:
        left_s = me.expires_at - now
        if left_s < LAST_S_WARNED:
            remedy = "client credentials renew themselves: MUSTER_SITE_OIDC_CLIENT_ID (docs/how-to/sign-in.md)"
            return warn("sign-in", f"{found}; the token ends in {left_s / 60:.0f} min", remedy)
    return fine("sign-in", found)


def judge_locations(asked: Sequence[str], known: Sequence[LocationView], *, schedd: str) -> Iterator[Check]:
    """Are the agent's locations there, and are its agents asked for their workers?"""
    by_name = {name: one for one in known for name in (one.name, *one.aliases)}
    for name in asked:
        one = by_name.get(name)
        if one is None:
            names = ", ".join(sorted(by_name)) or "none"
            remedy = "MUSTER_SITE_LOCATIONS names those of this agent, MUSTER_LOCATIONS those of the service"
            yield fault("location", f"{name} is not known to the service, which has {names}", remedy)
        elif one.agent != OF_MUSTER:
            remedy = f'"agent": "{OF_MUSTER}" for {name} in MUSTER_LOCATIONS of the service'
            yield fault("location", f"{name} is served by {one.agent}, and not by a Muster agent", remedy)
        elif schedd and one.schedd != schedd:
            found = f"{name} has the schedd {one.schedd} at the service, and the one here is {schedd}"
            yield warn(
                "location",
                found,
                f'"schedd": "{schedd}" for {name} in MUSTER_LOCATIONS, or MUSTER_SITE_CONDOR_SCHEDD={one.schedd}',
            )
        else:
            yield fine("location", f"{name} is known (schedd {one.schedd}); {_render_waiting(one)}")


def _render_waiting(one: LocationView) -> str:
    return f"{one.taskforces.waiting} taskforces wait for its agent, {one.taskforces.running} run"


def _name_token_remedy(settings: SiteSettings) -> str:
    if settings.oidc_client_id:
        return "MUSTER_SITE_OIDC_… name the client, its secret's file and the provider (docs/how-to/sign-in.md)"
    return f"MUSTER_SITE_TOKEN_FILE names a file with a token of the role {ROLE}: sudo install -D -m 600 TOKEN {settings.token_file}"
