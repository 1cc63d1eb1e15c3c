"""How long is kept what clusters left that are over? By a table of rules: small after a while, gone later, and never more than so much.

Only folders of clusters that have left the queue, and of which the service was told, are here: no job names anything in them.
"""

import gzip
import math
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from muster.domain import pool_defaults
from muster.site.adapters.durable import TEMPORARY, disk_errors, sync_file
from muster.site.adapters.htcondor.folder import PoolFolder
from muster.site.adapters.log_ends import PACKED

log = structlog.get_logger("muster.site")

TIDY_S = 600.0
"""Seconds between two looks at what is kept of clusters that are over."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class KeepingRules:
    """What an operator wants kept.

    Args:
        packed_after_s: files are compressed so long after a cluster's end.
        kept_s: everything is deleted so long after it.
        bytes_max: of all together; the oldest go first.
    """

    packed_after_s: float = pool_defaults.PACKED_AFTER_S
    kept_s: float = pool_defaults.KEPT_S
    bytes_max: int = pool_defaults.KEPT_MIB << 20


@dataclass(frozen=True)
class Tidied:
    """What one pass has done."""

    packed: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class _Ended:
    path: Path
    at: float
    size_bytes: int


class Tidier:
    """Sees to what is kept, every `TIDY_S` seconds. `now`: seconds since the epoch."""

    def __init__(self, folder: PoolFolder, rules: KeepingRules, *, now: Callable[[], float]) -> None:
        self._folder = folder
        self._rules = rules
        self._now = now
        self._due_at = -math.inf

    async def run_if_due(self) -> None:
        """Raises UnavailableError when the disk refuses."""
        if anyio.current_time() < self._due_at:
            return
        self._due_at = anyio.current_time() + TIDY_S

        def work() -> Tidied:
            with disk_errors(self._folder.path):
                return tidy(self._folder, self._rules, now=self._now())

        done = await anyio.to_thread.run_sync(work)
        if done != Tidied():
            log.info("what is over", packed=done.packed, deleted=done.deleted)


def tidy(folder: PoolFolder, rules: KeepingRules, *, now: float) -> Tidied:
    """One pass over what is kept. `now`: seconds since the epoch. Raises OSError."""
    ended = sorted(_list_ended(folder.ended), key=lambda one: one.at, reverse=True)
    packed = deleted = total = 0
    kept = []
    for one in ended:  # the newest first; what goes makes room for packing
        if now - one.at > rules.kept_s or total + one.size_bytes > rules.bytes_max:
            shutil.rmtree(one.path, ignore_errors=True)
            deleted += 1
        else:
            total += one.size_bytes
            kept.append(one)
    for one in kept:
        if now - one.at > rules.packed_after_s:
            packed += sum(_pack(path) for path in list(_list_files(one.path)))
    for path in folder.list_forgotten_files():
        if now - path.stat().st_mtime > rules.kept_s:
            path.unlink()
    return Tidied(packed, deleted)


def _list_ended(folder: Path) -> Iterator[_Ended]:
    for path in folder.iterdir():
        files = list(_list_files(path))
        # Packing leaves a file's time as it is; the folder's own is that of the last name in it.
        at = max((file.stat().st_mtime for file in files), default=path.stat().st_mtime)
        yield _Ended(path, at, sum(file.stat().st_size for file in files))


def _list_files(folder: Path) -> Iterator[Path]:
    found = (path for path in folder.rglob("*") if not path.name.startswith(TEMPORARY))
    return (path for path in found if path.is_file() and not path.is_symlink())


def _pack(path: Path) -> bool:
    """Compress a file; an empty one is deleted. False: it is packed already."""
    if path.suffix == PACKED:
        return False
    status = path.stat()
    if status.st_size:
        draft = path.with_name(f"{TEMPORARY}{path.name}")
        try:
            with path.open("rb") as plain, gzip.open(draft, "wb", compresslevel=6) as packed:
                shutil.copyfileobj(plain, packed, _CHUNK)
            sync_file(draft)  # before the plain one goes
        except OSError:  # no room, say: it stays as it is
            draft.unlink(missing_ok=True)
            return False
        os.utime(draft, (status.st_atime, status.st_mtime))
        draft.chmod(0o600)
        draft.replace(path.with_name(f"{path.name}{PACKED}"))
    path.unlink()
    return True
