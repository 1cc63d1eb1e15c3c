"""How does a large body come into the file store, and out again? Promised, sent, and read by whoever may have it.

First a row that says what will come, then the bytes, then the row says that they are there: a crash in between leaves a row, which
`sweep_files` finds. The same promise of the same workflow is the same file, so every call may arrive twice.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace

from muster.domain.caller import Caller
from muster.domain.errors import (
    ConflictError,
    NotFoundError,
    RejectedError,
    TooLargeError,
    UnavailableError,
)
from muster.domain.file import (
    UNPUBLISHED_MAX,
    UNPUBLISHED_OF_TASKFORCE_MAX,
    FileRef,
    FileState,
    begin_checksum,
    render_checksum,
)
from muster.server.ports.file_rows import FileRow
from muster.server.ports.files import FileStore
from muster.server.ports.queue_engine import SessionEndedError
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.server.services.worker_token import WorkerClaims
from muster.worker.crash_points import reach

NO_STORE = "this service keeps no bodies over 1 MiB: MUSTER_FILES_DIR is not set there"


@dataclass(frozen=True)
class Uploader:
    """Who uploads, and to which workflow, as a transaction has found.

    Args:
        files_max: how many files of theirs may be there to which no event refers.
    """

    workflow_id: str
    name: str
    files_max: int


Enter = Callable[[Transaction], Uploader]
"""Finds out whether somebody may upload. Raises what `get_owned_workflow` does; SessionEndedError of a worker."""


def as_owner(caller: Caller, workflow_id: str) -> Enter:
    """A person, to one of their workflows while it is active. Locked, so that the same promise twice at once is one file."""

    def enter(tx: Transaction) -> Uploader:
        workflow = get_owned_workflow(tx, caller, workflow_id, lock=True)
        if not workflow.is_active:
            raise ConflictError(f"workflow {workflow_id} is over ({workflow.state}): it takes no more files")
        return Uploader(workflow_id, caller.name, UNPUBLISHED_MAX)

    return enter


def as_worker(claims: WorkerClaims) -> Enter:
    """A worker, to the workflow of its taskforce, as long as its session lives: what it has in hand at the workflow's end still counts."""

    def enter(tx: Transaction) -> Uploader:
        try:
            is_over = tx.holders.get(claims.session).ended is not None
            workflow_id = tx.taskforces.get(claims.taskforce_uuid).workflow_id
            tx.workflows.get(workflow_id, lock=True)
        except NotFoundError:
            raise SessionEndedError from None
        if is_over:
            raise SessionEndedError
        return Uploader(workflow_id, claims.taskforce_uuid, UNPUBLISHED_OF_TASKFORCE_MAX)

    return enter


async def promise_file(parts: Parts, enter: Enter, promised: FileRef) -> FileRow:
    """Say what will be sent; gives the file that it is to be sent as, which may be there already.

    Args:
        promised: its id is not known yet, and is not looked at.

    Raises:
        RejectedError: this service keeps no files.
        TooLargeError: over `MUSTER_FILE_BYTES_MAX`.
        ConflictError: the workflow is over, or too many files of this uploader wait for their events.
    """
    get_store(parts)
    if promised.size_bytes > (bytes_max := parts.settings.file_bytes_max):
        raise TooLargeError(
            f"size_bytes: is {promised.size_bytes}; a file may have {bytes_max} (MUSTER_FILE_BYTES_MAX)"
        )
    file = parts.random(32)

    def promise(tx: Transaction) -> FileRow:
        uploader = enter(tx)
        same = tx.files.find_same(uploader.workflow_id, promised)
        if same is not None and tx.files.touch(same.ref.file):  # else it is on its way out
            return same
        unreferred = tx.files.count_unreferred(uploader.workflow_id, uploader.name, limit=uploader.files_max)
        if unreferred >= uploader.files_max:
            raise ConflictError(
                f"{uploader.name} has promised {uploader.files_max} files to which no event refers: publish those, or wait "
                "until they are removed"
            )
        row = FileRow(
            ref=replace(promised, file=file),
            workflow_id=uploader.workflow_id,
            made_by=uploader.name,
            state=FileState.PROMISED,
            touched_at=tx.now(),
            is_referred=False,
        )
        tx.files.insert(row)
        return row

    row = await parts.store.write(promise)
    if row.state is FileState.STORED and not await _is_there(parts, row.ref):
        row = await _take_back(parts, row.ref)
    reach("server.file.promised")
    return row


async def _is_there(parts: Parts, ref: FileRef) -> bool:
    """Does the store have a file of that length under its id? It may have been restored without it."""
    try:
        return (await get_store(parts).head(ref.file)).size_bytes == ref.size_bytes
    except NotFoundError:
        return False


async def _take_back(parts: Parts, ref: FileRef) -> FileRow:
    """The bytes of a file are not what they were: whoever has them may send them again."""

    def take_back(tx: Transaction) -> FileRow:
        tx.files.touch(ref.file, state=FileState.PROMISED)
        return tx.files.get(ref.file)

    return await parts.store.write(take_back)


async def store_file(parts: Parts, enter: Enter, file: str, chunks: AsyncIterator[bytes]) -> FileRow:
    """Take the bytes of a file that was promised. Once is as good as twice.

    Raises:
        NotFoundError: it was not promised to this workflow, or was removed meanwhile. ConflictError: the workflow is over.
        MismatchError: what came is not what was promised. NoRoomError, UnavailableError: of the store.
    """
    store = get_store(parts)

    def begin(tx: Transaction) -> FileRow:
        row = _get_of_workflow(tx, enter(tx).workflow_id, file)
        tx.files.touch(file)
        return row

    def confirm(tx: Transaction) -> FileRow:
        if not tx.files.touch(file, state=FileState.STORED):
            raise NotFoundError(f"file {file} was removed while it was sent: promise it again")
        return tx.files.get(file)

    row = await parts.store.write(begin)
    await store.put(file, chunks, size_bytes=row.ref.size_bytes, checksum=row.ref.checksum)
    reach("server.file.put")
    row = await parts.store.write(confirm)
    reach("server.file.stored")
    return row


async def find_file(parts: Parts, caller: Caller, workflow_id: str, file: str) -> FileRow:
    """A file that a person may read. Raises NotFoundError, ForbiddenError, RejectedError."""

    def look(tx: Transaction) -> FileRow:
        return _get_of_workflow(tx, get_owned_workflow(tx, caller, workflow_id).workflow_id, file)

    return await _find_stored(parts, look)


async def find_held_file(parts: Parts, claims: WorkerClaims, file: str) -> FileRow:
    """A file of an event that a worker holds. Raises NotFoundError also for a file that there is, if it does not; RejectedError."""

    def look(tx: Transaction) -> FileRow:
        row = tx.files.get(file)
        if not tx.files.has_in_hand(claims.session, row.ref):
            raise NotFoundError(f"no event that this worker holds refers to a file {file}")
        return row

    return await _find_stored(parts, look)


async def read_file(parts: Parts, ref: FileRef) -> AsyncGenerator[bytes, None]:
    """The bytes of a file. They are compared with its checksum, and the last of them come only if it is the right one.

    Raises NotFoundError, UnavailableError; the latter also where the bytes are not what was stored.
    """
    taken = begin_checksum()
    kept_back = b""
    async with get_store(parts).get(ref.file) as chunks:
        async for chunk in chunks:
            taken.update(chunk)
            if kept_back:
                yield kept_back
            kept_back = chunk
    if render_checksum(taken) != ref.checksum:
        await _take_back(parts, ref)
        raise UnavailableError(f"file {ref.file} is damaged in the file store")
    if kept_back:
        yield kept_back


def get_store(parts: Parts) -> FileStore:
    """Raises RejectedError where this service has none."""
    if parts.files is None:
        raise RejectedError(NO_STORE)
    return parts.files


async def _find_stored(parts: Parts, look: Callable[[Transaction], FileRow]) -> FileRow:
    """A row whose file is in the store. Its bytes may be gone all the same: that is seen before the first of them is sent."""
    store = get_store(parts)
    row = await parts.store.read(look)
    if row.state is not FileState.STORED:
        raise NotFoundError(f"there is no file {row.ref.file}: it was not sent whole, was damaged, or is being removed")
    if (await store.head(row.ref.file)).size_bytes != row.ref.size_bytes:
        raise NotFoundError(f"file {row.ref.file} is damaged in the file store: it is not as long as it was")
    return row


def _get_of_workflow(tx: Transaction, workflow_id: str, file: str) -> FileRow:
    row = tx.files.get(file)
    if row.workflow_id != workflow_id:
        raise NotFoundError(f"workflow {workflow_id} has no file {file}")
    return row
