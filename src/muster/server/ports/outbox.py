"""What does the server keep of notices to the world? Each as it was written with what it tells of, in commit order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.domain.outbox import BEGINNING, Cursor, Notice


@dataclass(frozen=True)
class Newest:
    """The end of a subject's notices.

    Args:
        notices: the newest that `list_after` gives, oldest first.
        is_whole: there are no others before them.
        is_held_back: newer ones are committed, and can be told once an older transaction has ended. No topic is woken by that.
    """

    notices: Sequence[tuple[Cursor, Notice]]
    is_whole: bool
    is_held_back: bool

    @property
    def cursor(self) -> Cursor:
        """Of the newest; the beginning where there is none."""
        return self.notices[-1][0] if self.notices else BEGINNING


@dataclass(frozen=True)
class Horizon:
    """The oldest transaction that is still open: no notice of a younger one can be told before it ends.

    Args:
        transaction: its number.
        holder: who has it open, for operators, as far as the database tells.
    """

    transaction: int
    holder: str


class Outbox(Protocol):
    """Notices to the world, written with what they tell of."""

    def insert(self, *notices: Notice) -> None:
        """At least one, in this order."""

    def list_after(self, cursor: Cursor, *, subject: str | None, limit: int) -> Sequence[tuple[Cursor, Notice]]:
        """Committed notices behind the cursor in commit order. Never passes a transaction that might still commit in front."""

    def list_newest(self, subject: str, *, limit: int) -> Newest:
        """The last `limit` notices of a subject."""

    def find(self, cursor: Cursor) -> Notice | None:
        """The notice that was given with this cursor; None where it is not kept, or never was."""

    def find_horizon(self) -> Horizon | None:
        """What holds notices back at the moment; None where nothing does."""
