"""What does the server keep of files? Whose each is, what it was promised to be, and how far it has come; not its bytes (`ports.files`)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.domain.file import FileRef, FileState


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file of a workflow.

    Args:
        made_by: who promised it: a caller's name, or a taskforce.
        touched_at: when somebody promised, stored or referred to it last, by the database's clock.
        is_referred: some event has referred to it.
    """

    ref: FileRef
    workflow_id: str
    made_by: str
    state: FileState
    touched_at: float
    is_referred: bool


class FileRows(Protocol):
    """Rows of files."""

    def insert(self, row: FileRow) -> None:
        """Keep a new file."""

    def get(self, file: str) -> FileRow:
        """Raises NotFoundError."""

    def find_same(self, workflow_id: str, ref: FileRef) -> FileRow | None:
        """A file of the workflow, that is not going, with the size, checksum and content of `ref`."""

    def touch(self, file: str, *, state: FileState | None = None) -> bool:
        """Note that it was used now, and that it is stored if `state` says so. False: it is not there, or going."""

    def refer(self, workflow_id: str, files: Collection[str]) -> Sequence[FileRow]:
        """Those of the files that are stored and the workflow's; noted to be used now and to be referred to, to the end of the transaction
        and for the grace after it safe from being removed.
        """

    def has_in_hand(self, session: int, ref: FileRef) -> bool:
        """Does the session hold an event that refers to the file?"""

    def count_unreferred(self, workflow_id: str, made_by: str, *, limit: int) -> int:
        """How many files of one who uploads no event has referred to; counted up to the limit."""

    def list_idle(self, *, before: float, after: str, limit: int) -> Sequence[FileRow]:
        """Files with an id above `after` that were not used since, by id; those that are going, too."""

    def claim_unreferred(self, rows: Sequence[FileRow], *, before: float) -> Sequence[str]:
        """Let those go that were not used since and to which no event refers, kept result or body. Gives the ids of all that are going."""

    def delete(self, files: Collection[str]) -> None:
        """Forget files that are gone."""

    def find_known(self, files: Collection[str]) -> Collection[str]:
        """Those of the ids that have a row."""
