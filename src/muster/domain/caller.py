"""Who is asking, and what may they do?"""

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """What a caller may do. The first three are upstream's words (wms.md section 3, mqs.md section 3)."""

    USER = "user"
    SYSTEM_TMS = "system-tms"  # a site agent, ours or upstream's
    SYSTEM_WMS = "system-wms"  # a workflow service that has its queues here
    OPERATOR = "operator"  # everything, everybody's


@dataclass(frozen=True)
class Caller:
    """A person or a program that a token was checked for.

    Args:
        name: what owns things; unique among all who can sign in here.
        groups: what the provider says that the caller belongs to, in its words.
        issuer: who said all of this: the provider's address, or the way of signing in that knows no provider.
        expires_at: when the token ends, seconds since the epoch; None: it does not. It says nothing of who the caller is.
    """

    name: str
    roles: frozenset[Role]
    groups: frozenset[str] = frozenset()
    issuer: str = ""
    expires_at: float | None = field(default=None, compare=False)

    def has(self, *roles: Role) -> bool:
        """True for a caller with one of the roles, or an operator."""
        return Role.OPERATOR in self.roles or any(role in self.roles for role in roles)
