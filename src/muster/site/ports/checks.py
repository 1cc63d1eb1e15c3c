"""What does a look at one thing find, and what is to be done about it?"""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How it stands with a thing that was looked at."""

    OK = "ok"
    WARNING = "warning"  # the agent works, but not well, or not for long
    ERROR = "error"  # the agent cannot work like this


@dataclass(frozen=True)
class Check:
    """One look.

    Args:
        what: the thing, in a word or two.
        found: the fact, with its numbers.
        remedy: the setting or the command that mends it; empty where nothing is to be mended.
    """

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def as_fields(self) -> dict[str, str]:
        """For programs."""
        return {name: str(value) for name, value in asdict(self).items()}


def fine(what: str, found: str) -> Check:
    """A thing that is as it should be."""
    return Check(what, Verdict.OK, found)


def warn(what: str, found: str, remedy: str) -> Check:
    """A thing that should be mended."""
    return Check(what, Verdict.WARNING, found, remedy)


def fault(what: str, found: str, remedy: str) -> Check:
    """A thing that must be mended."""
    return Check(what, Verdict.ERROR, found, remedy)
