"""What does the server keep of what failed attempts printed? A bounded number of them, as examples of each cause."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.domain.attempt_output import AttemptOutput, OutputsKept


@dataclass(frozen=True, slots=True)
class NewLog:
    """What one attempt printed, as it was handed in."""

    event: int
    fence: int
    output: AttemptOutput


class AttemptLogs(Protocol):
    """Rows of outputs."""

    def keep(self, logs: Sequence[NewLog], kept: OutputsKept) -> int:
        """Keep those of attempts that failed, are known, and of whose cause and queue not enough are kept. One that is kept already
        stays as it is. (Services that keep at once may keep a few more than that.) Returns how many were kept.
        """

    def find(self, event: int, fence: int) -> AttemptOutput | None: ...

    def list_fences(self, event: int) -> Sequence[int]:
        """Of which attempts of an event something is kept."""
