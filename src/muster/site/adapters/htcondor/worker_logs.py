"""What is there to read of one proc? What HTCondor's log says of it, and what its worker wrote, where that came back.

A log may hold the events of 10^5 procs: it is read from its end, until there is enough of the one.
"""

import gzip
import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from muster.domain.errors import NotFoundError
from muster.domain.worker_order import LOG_BYTES_MAX, WorkerLog
from muster.site.adapters.htcondor.folder import PoolFolder, TaskforceFolder
from muster.site.adapters.log_ends import PACKED, make_log, read_end, read_packed_blocks

EVENTS = "events"
_BLOCK = 4 << 20
_SCAN_BYTES_MAX = 256 << 20
"""Of a log that is looked through: it is the newest that tells what is wrong."""
_PACKED_BYTES_MAX = 64 << 20
"""The same of one that was compressed, which has to be read from its beginning, and is held in memory."""
_END = b"\n...\n"


@dataclass(frozen=True)
class LogPlace:
    """Where the logs of a cluster are."""

    folder: TaskforceFolder
    cluster: int
    n_workers: int
    log: Path


def find_worker_logs(pool: PoolFolder, place: LogPlace | None, tag: str, proc: int) -> list[WorkerLog]:
    """The texts that there are of a proc. `place`: None for a cluster that is not known any more. Raises NotFoundError, OSError."""
    if place is None:
        folder, cluster = pool.find_ended(tag)
        place = LogPlace(folder, cluster, folder.find_n_workers(), folder.log)
    if not 0 <= proc < place.n_workers:
        raise NotFoundError(f"the workers of {tag} are 0 to {place.n_workers - 1}")
    found = [
        read_events(place.log, place.cluster, proc),
        read_end(place.folder.outputs / f"{proc}.err", "stderr"),
    ]
    return [one for one in found if one is not None]


def read_events(log: Path, cluster: int, proc: int) -> WorkerLog | None:
    """The last events of a proc, as HTCondor wrote them. None: there are none. `size_bytes` is of those that were found."""
    is_of_proc = re.compile(rb"\d{3} \(0*%d\.0*%d\.\d+\) " % (cluster, proc))
    chosen: list[bytes] = []
    size = 0
    for event in _read_backwards(log):
        if is_of_proc.match(event):
            chosen.append(event)
            size += len(event) + len(_END)
            if size > LOG_BYTES_MAX:
                break
    text = b"".join(event + _END for event in reversed(chosen))
    return make_log(EVENTS, text[-LOG_BYTES_MAX:], len(text))


def _read_backwards(log: Path) -> Iterator[bytes]:
    """Events, the last one first."""
    rest = b""
    for block in _list_blocks(log):
        events = (block + rest).split(_END)
        rest = events[0]
        for event in reversed(events[1:]):
            yield event.lstrip(b"\n")
        # The first one may begin in the block before; so may the end of the one before that.
    yield rest.lstrip(b"\n")


def _list_blocks(log: Path) -> Iterator[bytes]:
    """The last one first."""
    try:
        with log.open("rb") as file:
            left = file.seek(0, os.SEEK_END)
            least = max(0, left - _SCAN_BYTES_MAX)
            while left > least:
                begin = max(least, left - _BLOCK)
                file.seek(begin)
                yield file.read(left - begin)
                left = begin
    except FileNotFoundError:
        packed = log.with_name(f"{log.name}{PACKED}")
        if packed.exists():
            with gzip.open(packed, "rb") as file:
                blocks = read_packed_blocks(cast("BinaryIO", file), _BLOCK)
                yield from reversed(deque(blocks, maxlen=_PACKED_BYTES_MAX // _BLOCK))
