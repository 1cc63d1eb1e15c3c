"""Where do files lie in a folder? Each in a folder of a folder (`ab/cd/abcd…`), written beside its place and renamed into it.

So a file is whole or not there, at whatever moment the process, or the machine, ends. Folders are 0700 and files 0600: they hold bodies.
"""

import errno
import os
import re
import secrets
import shlex
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar

import anyio
import anyio.to_thread

from muster.domain.errors import (
    Finding,
    InvalidError,
    NoRoomError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from muster.domain.file import FILE_ID, begin_checksum, render_checksum
from muster.server.ports.files import MismatchError, StoredFile

WRITE_BYTES = 1 << 20
"""What is gathered before a thread writes it."""
READ_BYTES = 1 << 18
DRAFTS = "drafts"
_FIELD = "files_dir"
_SHELF = re.compile(r"[0-9a-f]{2}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})

T = TypeVar("T")


class FolderFileStore:
    """See `muster.server.ports.files.FileStore`."""

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        """`root` has been looked at by `open_folder`. `reserve_bytes`: what stays free of its disk, for whatever else lives there."""
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._drafts = root / DRAFTS

    async def put(self, file: str, chunks: AsyncIterator[bytes], *, size_bytes: int, checksum: str) -> None:
        place = self._place(file)
        await _in_thread(partial(self._require_room, size_bytes))
        draft = self._drafts / f"{file}.{secrets.token_hex(8)}"
        written = await _in_thread(partial(_Draft, draft))
        try:
            await self._fill(written, chunks, size_bytes)
            await _in_thread(partial(written.publish, place, size_bytes=size_bytes, checksum=checksum))
        finally:
            with anyio.CancelScope(shield=True):
                await _in_thread(written.discard)

    async def _fill(self, draft: "_Draft", chunks: AsyncIterator[bytes], size_bytes: int) -> None:
        gathered = bytearray()
        received_bytes = 0
        async for chunk in chunks:
            received_bytes += len(chunk)
            if received_bytes > size_bytes:
                raise MismatchError(f"more than the {size_bytes} bytes came that were promised")
            gathered += chunk
            if len(gathered) >= WRITE_BYTES:
                await _in_thread(partial(self._write, draft, bytes(gathered)))
                gathered.clear()
        await _in_thread(partial(self._write, draft, bytes(gathered)))

    def _write(self, draft: "_Draft", data: bytes) -> None:
        self._require_room(len(data))  # again: others write meanwhile
        draft.write(data)

    def _require_room(self, size_bytes: int) -> None:
        """Raises NoRoomError. The disk is that of the service's database, often, which nothing may fill."""
        if self._reserve_bytes == 0:
            return
        found = os.statvfs(self._root)
        free_bytes = found.f_bavail * found.f_frsize
        if free_bytes - size_bytes < self._reserve_bytes:
            raise NoRoomError(
                f"the file store has no room: {free_bytes} bytes of its disk are free, {self._reserve_bytes} stay so "
                f"(MUSTER_FILE_RESERVE_BYTES), and {size_bytes} were to be written"
            )

    @asynccontextmanager
    async def get(self, file: str) -> AsyncIterator[AsyncIterator[bytes]]:
        opened = await _in_thread(partial(_open_to_read, self._place(file)), file)
        try:
            async with aclosing(self._read(opened)) as chunks:
                yield chunks
        finally:
            with anyio.CancelScope(shield=True):
                await _in_thread(opened.close)

    async def _read(self, opened: BinaryIO) -> AsyncGenerator[bytes, None]:
        while chunk := await _in_thread(partial(opened.read, READ_BYTES)):
            yield chunk

    async def head(self, file: str) -> StoredFile:
        found = await _in_thread(self._place(file).lstat, file)
        return StoredFile(file, found.st_size)

    async def delete(self, file: str) -> None:
        if FILE_ID.fullmatch(file):
            await _in_thread(partial(_remove, self._place(file)))

    async def list_page(self, *, after: str, older_s: float, limit: int) -> Sequence[StoredFile]:
        return await _in_thread(partial(self._list_page, after, time.time() - older_s, limit))

    def _list_page(self, after: str, before: float, limit: int) -> list[StoredFile]:
        page: list[StoredFile] = []
        for shelf in _list_shelves(self._root, after[:2]):
            start = after[2:4] if shelf.name == after[:2] else ""
            for board in _list_shelves(shelf, start):
                for name in sorted(one.name for one in board.iterdir()):
                    if name <= after or not FILE_ID.fullmatch(name):
                        continue
                    with suppress(FileNotFoundError):  # somebody else has removed it
                        found = (board / name).lstat()
                        if stat.S_ISREG(found.st_mode) and found.st_mtime < before:
                            page.append(StoredFile(name, found.st_size))
                    if len(page) == limit:
                        return page
        return page

    async def sweep(self, *, older_s: float) -> int:
        return await _in_thread(partial(self._sweep, time.time() - older_s))

    def _sweep(self, before: float) -> int:
        count = 0
        for draft in sorted(self._drafts.iterdir()):
            with suppress(FileNotFoundError):  # its upload has ended
                if draft.lstat().st_mtime < before:
                    draft.unlink()
                    count += 1
        return count

    def _place(self, file: str) -> Path:
        """Raises NotFoundError: nothing else than an id may become a path."""
        if not FILE_ID.fullmatch(file):
            raise NotFoundError(f"there is no file {file[:100]!r}")
        return self._root / file[:2] / file[2:4] / file


class _Draft:
    """A file that is being written, and nobody finds. Methods are called one at a time, in threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._checksum = begin_checksum()
        self._size_bytes = 0
        self._is_published = False

    def write(self, data: bytes) -> None:
        self._checksum.update(data)
        self._size_bytes += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def publish(self, place: Path, *, size_bytes: int, checksum: str) -> None:
        if self._size_bytes != size_bytes:
            raise MismatchError(f"{self._size_bytes} bytes came, and {size_bytes} were promised")
        if (taken := render_checksum(self._checksum)) != checksum:
            raise MismatchError(f"the checksum of what came is {taken}, and {checksum} was promised")
        os.fsync(self._descriptor)
        _make_shelves(place.parent)
        os.replace(self._path, place)  # noqa: PTH105 - beside os.fsync
        self._is_published = True
        _sync(place.parent)

    def discard(self) -> None:
        """Close it; it goes, unless it was published."""
        os.close(self._descriptor)
        if not self._is_published:
            self._path.unlink(missing_ok=True)


def open_folder(root: Path, *, reserve_bytes: int = 0) -> FolderFileStore:
    """The store in a folder, which is made (0700) where it is missing. Raises InvalidError with the remedy; NoRoomError.

    Args:
        reserve_bytes: what stays free of its disk.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(root)
        (root / DRAFTS).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoomError(f"the file store has no room: {root}: {error.strerror}") from error
        raise _make_unusable(root, error) from error
    return FolderFileStore(root, reserve_bytes=reserve_bytes)


def check_folder(root: Path) -> None:
    """Look at a folder, and make nothing; one that is missing is made when it is opened. Raises InvalidError with the remedy."""
    try:
        mode = root.stat().st_mode
        is_usable = stat.S_ISDIR(mode) and os.access(root, os.R_OK | os.W_OK | os.X_OK)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _make_unusable(root, error) from error
    if not is_usable:
        raise InvalidError([Finding(_FIELD, f"{root} cannot be used: name a folder that this user may write")])
    if mode & 0o077:
        remedy = shlex.join(["chmod", "700", str(root)])
        raise InvalidError(
            [Finding(_FIELD, f"others may look into {root}, and it holds events' bodies: say `{remedy}`")]
        )


def _make_unusable(root: Path, error: OSError) -> InvalidError:
    reason = f"{error.filename or root} cannot be used: {error.strerror}: name a folder that this user may write"
    return InvalidError([Finding(_FIELD, reason)])


async def _in_thread(work: Callable[[], T], file: str = "") -> T:
    """Work that waits for a disk. Its errors are the store's; `file`: which one is asked for, where it may not be there."""
    with _store_errors(file):
        return await anyio.to_thread.run_sync(work)


@contextmanager
def _store_errors(file: str) -> Iterator[None]:
    """OSError in; NotFoundError, NoRoomError, TooLargeError or UnavailableError out."""
    try:
        yield
    except OSError as error:
        if file and error.errno in _NOTHING_THERE:
            raise NotFoundError(f"there is no file {file}") from None
        if error.errno in _FULL:
            raise NoRoomError(f"the file store has no room: {error.strerror}") from error
        if error.errno == errno.EFBIG:
            raise TooLargeError("the file store's disk takes no file of this size") from error
        raise UnavailableError(f"the file store does not answer: {error.strerror or error}") from error


def _open_to_read(place: Path) -> BinaryIO:
    descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "no regular file")
    return os.fdopen(descriptor, "rb", buffering=0)


def _remove(place: Path) -> None:
    with suppress(FileNotFoundError):
        place.unlink()
        _sync(place.parent)


def _list_shelves(folder: Path, start: str) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.name >= start and _SHELF.fullmatch(one.name))


def _make_shelves(folder: Path) -> None:
    """Both folders of a file. They stay: one that was removed while another file came into it would lose that."""
    for one in (folder.parent, folder):
        try:
            one.mkdir(mode=0o700)
        except FileExistsError:
            continue
        _sync(one.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
