"""What may the caller do? The base classes answer that; a concrete error lives beside what raises it."""

from collections.abc import Sequence
from dataclasses import dataclass


class MusterError(Exception):
    """Base of every error that Muster raises on purpose. `str()` is fit for a user: what, where, remedy."""


class NotFoundError(MusterError):
    """The thing named does not exist."""


class ConflictError(MusterError):
    """It exists, but not in a state that allows this."""


@dataclass(frozen=True)
class Finding:
    """One fault of an input.

    Args:
        field: dotted path from the root of the input, e.g. `tasks[0].n_workers`; empty for the root itself.
        reason: what is wrong and what would be right, as half a sentence.
    """

    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason


class InvalidError(MusterError):
    """The input breaks the rules; `findings` names every fault at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(map(str, findings)))
        self.findings = tuple(findings)


class TooLargeError(MusterError):
    """The input is over a documented limit."""


class RejectedError(MusterError):
    """The other side refused; the same request will be refused again."""


class UnavailableError(MusterError):
    """The other side did not answer; the same request may succeed later."""


class NoRoomError(UnavailableError):
    """The other side has no room for it on its disk, and kept nothing of it; the same request may succeed when there is room."""


class UnauthenticatedError(MusterError):
    """Nobody known is asking: the token is missing, malformed, expired or revoked."""


class ForbiddenError(MusterError):
    """The caller is known and may not do this."""
