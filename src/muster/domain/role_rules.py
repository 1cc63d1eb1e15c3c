"""Which roles do the claims of a token give? Rules of the operator's, over claims whose shape nobody can promise.

A claim of another type than a rule expects gives no role, and is no error. Source of `UPSTREAM_RULES`: wms.md section 3, mqs.md
section 3.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from muster.domain.caller import Role
from muster.domain.safe_pattern import find_flaw

TEXT_CHARS_MAX = 256
"""A longer text in a claim is passed over: together with `find_flaw` it bounds what a pattern can cost."""

Path: TypeAlias = tuple[str, ...]
"""Where in the claims: the names of nested objects, from the outside."""
Claims: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class RoleRule:
    """One way to come by a role: a text in the claim at `path` that is `equals`, or that `matches` fits from end to end.

    Args:
        path: leads to a text, or to a list of which any element will do.
        equals, matches: exactly one is given; `matches` is a regular expression without flaw.
    """

    role: Role
    path: Path
    equals: str | None = None
    matches: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        if (self.equals is None) == (self.matches is None):
            raise ValueError("a rule has either `equals` or `matches`")
        if self.matches is not None and (flaw := find_flaw(self.matches.pattern)) is not None:
            raise ValueError(f"the pattern {self.matches.pattern!r} {flaw}")

    def gives(self, claims: Claims) -> bool:
        """Does a token with these claims have the role?"""
        texts = list_texts(claims, self.path)
        if self.matches is None:
            return self.equals in texts
        return any(self.matches.fullmatch(text) for text in texts)


UPSTREAM_RULES = (
    RoleRule(Role.USER, ("groups",), matches=re.compile("/institutions/IceCube.*")),
    RoleRule(Role.USER, ("groups",), equals="/tokens/ewms-dev"),
    RoleRule(Role.USER, ("ewms_role",), equals="user"),
    RoleRule(Role.SYSTEM_TMS, ("ewms_role",), equals="system-tms"),
    RoleRule(Role.SYSTEM_WMS, ("ewms_role",), equals="system-wms"),
)
"""What the services that Muster replaces go by. Nobody is an operator by them."""


def find_roles(rules: Iterable[RoleRule], claims: Claims) -> frozenset[Role]:
    """Every role that a rule gives."""
    return frozenset(rule.role for rule in rules if rule.gives(claims))


def list_texts(claims: Claims, path: Path) -> list[str]:
    """The texts of a claim: itself, or the elements of a list that are texts. None for what is missing or of another type."""
    found: object = claims
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    values = found if isinstance(found, list) else [found]
    return [value for value in values if isinstance(value, str) and len(value) <= TEXT_CHARS_MAX]


def parse_path(path: str | Iterable[str]) -> Path:
    """A path as it is written: `realm_access.roles`, or the names one by one where they have dots themselves.

    Raises ValueError for a path without a name.
    """
    names = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
    if not names or not all(names):
        raise ValueError(f"the path {path!r} has an empty name in it")
    return names
