"""What can be set of signing in? Identity providers, the rules by which their tokens give roles, and a program's own credentials.

The settings of the parts (`muster.settings.parts`) take these in.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from muster.domain.caller import Role
from muster.domain.loopback import is_loopback
from muster.domain.role_rules import UPSTREAM_RULES, RoleRule, parse_path
from muster.domain.safe_pattern import find_flaw
from muster.settings.variables import FromVariables


class SignIn(StrEnum):
    """How people and programs sign in to the service."""

    LOCAL = "local"  # one token in a file
    OIDC = "oidc"  # tokens of identity providers
    OFF = "off"  # not at all: for tests


def _check_provider(url: str) -> str:
    """A provider's address without the slash at its end. Raises PydanticCustomError."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in ("http", "https") or parts.username is not None or parts.query or parts.fragment:
        raise PydanticCustomError(
            "provider", "must look like https://keycloak.example.org/realms/IceCube, without user name and query"
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise PydanticCustomError(
            "provider", "is plain http to another machine, where keys could be exchanged on the way: use https"
        )
    return url.rstrip("/")


def _check_path(path: str | tuple[str, ...]) -> str | tuple[str, ...]:
    try:
        parse_path(path)
    except ValueError as error:
        raise PydanticCustomError("path", "{flaw}", {"flaw": str(error)}) from None
    return path


def _check_pattern(pattern: str) -> str:
    if (flaw := find_flaw(pattern)) is not None:
        raise PydanticCustomError("pattern", "{flaw}", {"flaw": flaw})
    return pattern


ProviderUrl = Annotated[str, AfterValidator(_check_provider)]
"""https, or http to this machine."""
ClaimName = Annotated[str | tuple[str, ...], AfterValidator(_check_path)]
"""`realm_access.roles`, or a list of names where they have dots themselves."""


class RoleRuleSettings(BaseModel):
    """One rule in `roles` of an issuer: a text in the claim that is `equals`, or that the pattern `matches` fits from end to end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    claim: ClaimName
    equals: str | None = None
    matches: Annotated[str, AfterValidator(_check_pattern)] | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if (self.equals is None) == (self.matches is None):
            raise PydanticCustomError("rule", "a rule has either `equals` or `matches`: give one of them")
        return self

    def make_rule(self) -> RoleRule:
        """The rule as the domain knows it."""
        pattern = None if self.matches is None else re.compile(self.matches)
        return RoleRule(self.role, parse_path(self.claim), self.equals, pattern)


class IssuerSettings(BaseModel):
    """One issuer in `MUSTER_OIDC_ISSUERS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: ProviderUrl
    """The provider's address, as its tokens have it in `iss`."""

    audience: str | tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """What a token must have been made for (`aud`), one of these; none: that is not looked at."""

    label: str = Field(default="", pattern="^[a-z0-9-]{0,30}$")
    """Stands before the names of those who sign in here, `label:name`; one of several issuers may do without."""

    name_claim: ClaimName = "sub"
    """Claim that names the caller. Whoever can choose its value chooses whose things are theirs."""

    groups_claim: ClaimName = "groups"
    """Claim that lists the caller's groups."""

    operator_group: str = ""
    """Members of this group are operators; empty: nobody is."""

    roles: tuple[RoleRuleSettings, ...] | None = None
    """Rules by which roles are given; without them those of the EWMS services hold."""

    def list_audiences(self) -> frozenset[str]:
        """What a token may have been made for; empty: anything."""
        if isinstance(self.audience, tuple):
            return frozenset(self.audience)
        return frozenset([self.audience] if self.audience else [])

    def list_rules(self) -> tuple[RoleRule, ...]:
        """The rules as the domain knows them."""
        given = UPSTREAM_RULES if self.roles is None else tuple(one.make_rule() for one in self.roles)
        if not self.operator_group:
            return given
        return (*given, RoleRule(Role.OPERATOR, parse_path(self.groups_claim), self.operator_group))


class SignInSettings(FromVariables):
    """How callers of the service sign in."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_")

    sign_in: SignIn | None = Field(default=None)
    """How callers sign in: oidc (where a provider is named), local (else: one token in a file), or off (test switch: nobody has to)."""

    oidc_url: ProviderUrl | None = Field(default=None)
    """Address of the identity provider whose tokens are taken, by the role rules of the EWMS services."""

    oidc_audience: str = Field(default="")
    """What that provider's tokens must have been made for (`aud`); empty: that is not looked at."""

    oidc_operator_group: str = Field(default="")
    """Members of this group of that provider are operators; empty: nobody is."""

    oidc_issuers: tuple[IssuerSettings, ...] = Field(default=())
    """Several providers, or one with rules of its own, as a JSON list (docs/how-to/sign-in.md)."""

    oidc_ca_file: Path | None = Field(default=None)
    """File with the certificates (PEM) that vouch for the providers, in place of the usual ones."""

    @property
    def way_in(self) -> SignIn:
        """How callers sign in. Looked at by every request."""
        return self.sign_in or (SignIn.OIDC if self.oidc_url or self.oidc_issuers else SignIn.LOCAL)

    def all_issuers(self) -> tuple[IssuerSettings, ...]:
        """The identity providers whose tokens are taken."""
        if self.oidc_url is None:
            return self.oidc_issuers
        one = IssuerSettings(url=self.oidc_url, audience=self.oidc_audience, operator_group=self.oidc_operator_group)
        return (one, *self.oidc_issuers)

    @model_validator(mode="after")
    def _signs_in_one_way(self) -> Self:
        if faults := "; ".join(self._list_faults()):
            raise PydanticCustomError("sign_in", "{faults}", {"faults": faults})
        return self

    def _list_faults(self) -> Iterator[str]:
        """What does not go together, in sentences."""
        of_one = [f"MUSTER_{one.upper()}" for one in _OF_ONE_PROVIDER if getattr(self, one)]
        named = ["MUSTER_OIDC_ISSUERS", *of_one] if self.oidc_issuers else of_one
        if self.way_in is SignIn.OIDC and not named:
            yield "MUSTER_SIGN_IN is oidc and no provider is named: name it with MUSTER_OIDC_URL (or MUSTER_OIDC_ISSUERS)"
        elif self.oidc_issuers and of_one:
            yield f"{of_one[0]} stands beside MUSTER_OIDC_ISSUERS: put what it says into that list, and take it away"
        elif named and self.sign_in in (SignIn.LOCAL, SignIn.OFF):
            yield f"{named[0]} is set, but MUSTER_SIGN_IN is {self.sign_in}: say MUSTER_SIGN_IN=oidc, or take {named[0]} away"
        elif named and not self.all_issuers():
            yield f"{named[0]} is set and no provider is named: name it with MUSTER_OIDC_URL"
        issuers = self.all_issuers()
        for what, values in (("url", [one.url for one in issuers]), ("label", [one.label for one in issuers])):
            if twice := [one for one in values if values.count(one) > 1]:
                yield (
                    f"MUSTER_OIDC_ISSUERS has the {what} {twice[0]!r} twice: give each issuer its own, so that callers of one "
                    "are not taken for those of another"
                )


_OF_ONE_PROVIDER = ("oidc_url", "oidc_audience", "oidc_operator_group")


def list_defaults(settings: type[BaseSettings]) -> dict[str, Any]:
    """Every field at its default, for a part that is not to look into the environment."""
    return {name: field.get_default(call_default_factory=True) for name, field in settings.model_fields.items()}


def render_open_door(host: str) -> str:
    """What is said to who would let everybody in."""
    return (
        f"MUSTER_SIGN_IN is off and the service would listen on {host}: without sign-in only this machine may be listened to "
        "(MUSTER_HOST=127.0.0.1)"
    )


class CredentialSettings(FromVariables):
    """How a program gets tokens of an identity provider: by client credentials (RFC 6749, section 4.4)."""

    oidc_client_id: str = Field(default="")
    """Name that an identity provider knows this program by: it gets its tokens there, and uses no token file."""

    oidc_client_secret_file: Path | None = Field(default=None)
    """File that holds the program's secret; others must not be able to read it."""

    oidc_url: ProviderUrl | None = Field(default=None)
    """Address of the identity provider, which says there where it gives tokens."""

    oidc_token_url: ProviderUrl | None = Field(default=None)
    """Where the identity provider gives tokens, if it does not say so itself."""

    oidc_request: dict[str, str] = Field(default_factory=dict)
    """Further fields of the request for a token, as a JSON object: scope, audience or resource, as the provider wants them."""

    oidc_ca_file: Path | None = Field(default=None)
    """File with the certificates (PEM) that vouch for the provider, in place of the usual ones."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if faults := "; ".join(self._list_faults()):
            raise PydanticCustomError("credentials", "{faults}", {"faults": faults})
        return self

    def _list_faults(self) -> Iterator[str]:
        prefix = self.model_config["env_prefix"]
        names = {one: f"{prefix}{one.upper()}" for one in CredentialSettings.model_fields}
        client, secret = names["oidc_client_id"], names["oidc_client_secret_file"]
        if not self.oidc_client_id:
            if needless := [name for one, name in names.items() if getattr(self, one)]:
                yield f"{needless[0]} is set and no client is named: name it with {client}"
            return
        if self.oidc_client_secret_file is None:
            yield f"{client} is set and no secret: name its file with {secret}"
        if (self.oidc_url is None) == (self.oidc_token_url is None):
            yield f"{client} is set: name the provider by either {names['oidc_url']} or {names['oidc_token_url']}"
