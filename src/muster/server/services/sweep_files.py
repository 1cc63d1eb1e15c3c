"""Which files may go? Those to which no event refers, some hours after anybody used them.

A file's row is marked before it is deleted, and goes after it: wherever a pass breaks off, the next one goes on. What is in the store and
has no row is counted, and left: this database may have been restored, or emptied, or be a second one over the same folder by mistake.
"""

from dataclasses import dataclass

from muster.domain.file import GRACE_S
from muster.server.ports.store import Transaction
from muster.server.services.keep_files import get_store
from muster.server.services.parts import Parts

AT_ONCE = 200
STRAY_S = 24 * 3600.0
"""Seconds after which drafts of uploads are nobody's, and files without a row are told."""


@dataclass(frozen=True)
class FilesSwept:
    """What a pass removed: files, and drafts. `strays`: files without a row, which it left."""

    files: int
    strays: int
    drafts: int


async def sweep_files(parts: Parts) -> FilesSwept:
    """One pass through all that nobody has used lately. Two services may make one at once. Raises RejectedError, UnavailableError."""
    return FilesSwept(
        files=await _remove_unreferred(parts),
        strays=await _count_strays(parts),
        drafts=await get_store(parts).sweep(older_s=STRAY_S),
    )


async def _remove_unreferred(parts: Parts) -> int:
    store = get_store(parts)
    after: str | None = ""
    count = 0

    def claim(tx: Transaction) -> tuple[list[str], str | None]:
        before = tx.now() - GRACE_S
        rows = tx.files.list_idle(before=before, after=after or "", limit=AT_ONCE)
        going = tx.files.claim_unreferred(rows, before=before)
        return list(going), rows[-1].ref.file if len(rows) == AT_ONCE else None

    while after is not None:
        going, after = await parts.store.write(claim)
        for file in going:
            await store.delete(file)
        if going:
            await parts.store.write(lambda tx, gone=tuple(going): tx.files.delete(gone))  # type: ignore[misc]
        count += len(going)
    return count


async def _count_strays(parts: Parts) -> int:
    store = get_store(parts)
    after = ""
    count = 0
    while page := await store.list_page(after=after, older_s=STRAY_S, limit=AT_ONCE):
        names = [one.file for one in page]
        known = await parts.store.read(lambda tx, names=tuple(names): tx.files.find_known(names))  # type: ignore[misc]
        count += sum(file not in known for file in names)
        after = names[-1]
    return count
