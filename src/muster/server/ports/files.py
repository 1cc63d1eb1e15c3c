"""What does the server need of a file store? Whole files under ids of its own: there, checked, or not there at all.

What a file is for, and who may have it, stands in the database; a store knows ids and bytes. Ids are those of `domain.file.FILE_ID`;
whatever else is asked for is not there. Each method raises UnavailableError when the store does not answer, and may be called again then.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from muster.domain.errors import RejectedError


class MismatchError(RejectedError):
    """What came is not what was promised: fewer bytes, more of them, or others."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is there."""

    file: str
    size_bytes: int


class FileStore(Protocol):
    """Files, whole or not there."""

    async def put(self, file: str, chunks: AsyncIterator[bytes], *, size_bytes: int, checksum: str) -> None:
        """Store what comes under an id. Never more than a few chunks of it are in memory. When this returns, the file outlives a crash.

        The same file put again is the same file; whoever reads it meanwhile reads on in what was there.

        Raises:
            MismatchError: it is not of that size, or has another checksum. Reading ends with the first byte too many.
            NoRoomError: the store has no room for it, now.
            TooLargeError: nor ever.

        After these, after an error of `chunks` (which passes through), and when it is cancelled, nothing is there that was not before.
        After UnavailableError the file is there, whole, or not. A crash may leave a draft, which nobody finds, and `sweep` removes.
        """

    def get(self, file: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read a file, a chunk after another; one that is deleted meanwhile is read to its end.

        Raises NotFoundError, when it is entered. The bytes are not checked: whoever knows the checksum does that.
        """

    async def head(self, file: str) -> StoredFile:
        """Raises NotFoundError."""

    async def delete(self, file: str) -> None:
        """Remove a file; nothing happens where there is none."""

    async def list_page(self, *, after: str, older_s: float, limit: int) -> Sequence[StoredFile]:
        """Files with an id above `after` that were put longer ago than that, by the store's clock, in the order of their ids."""

    async def sweep(self, *, older_s: float) -> int:
        """Remove drafts that crashes have left, those that nobody has written to for so long; returns how many."""
