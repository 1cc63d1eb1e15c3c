"""How does a restart go on where the last run stopped? Files with their offsets, and what they came to, in one file with a digest.

A checkpoint that is damaged, or of another form, is none: the log is read again. Whether the log is still the one that was read is the
reader's to see (inode, size, and the bytes before the offset).
"""

import contextlib
import gc
import hashlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from muster.site.adapters.durable import write_file
from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally
from muster.site.adapters.htcondor.event_log.log_file import LogFile
from muster.site.adapters.htcondor.event_log.log_tally import DamageReport, LogTally
from muster.site.adapters.htcondor.event_log.proc_entries import FIELDS
from muster.site.adapters.htcondor.event_log.split import Damage

_MAGIC = f"muster event log 2 {sys.byteorder}\n".encode()
_KIND = b"muster event log "
_DIGEST_BYTES = 32

log = structlog.get_logger("muster.site")


class SavedFile(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """See `LogFile`."""

    inode: int
    offset: int
    head: bytes
    mark: bytes


class SavedCluster(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """See `ClusterTally`; `entries` as in `FIELDS`."""

    cluster: int
    taskforce: str | None
    ads_to_ask: int
    n_procs: int
    n_ended: int
    in_line: int
    limit: int | None
    ended_at: float | None
    is_factory: bool
    removed_at: float | None
    paused: str | None
    numbers: dict[str, int]
    phases: bytes
    counts: dict[int, int]
    pilot_words: list[str | None]
    word_slots: dict[bytes, int]
    holds: list[tuple[int, int]]
    errors: list[tuple[bytes, int]]
    places: list[tuple[bytes, int]]
    apart: dict[int, int]
    corrected: dict[int, tuple[float, bool]]
    entries: list[bytes]
    silent: list[tuple[int, bool, int]]


class Saved(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Everything; the last file is that of the path."""

    files: list[SavedFile]
    clusters: list[SavedCluster]
    damage: tuple[int, int, list[tuple[int, int, str]]]
    changed: list[int]


def save(path: Path, files: Sequence[LogFile], tally: LogTally, *, sync: bool) -> None:
    """Write a checkpoint, whole or not at all. Raises OSError."""
    if not files:
        return
    damage = tally.damage
    payload = msgspec.msgpack.encode(
        Saved(
            files=[SavedFile(file.inode, file.offset, file.head, file.mark) for file in files],
            clusters=[_dump(one) for one in tally.clusters.values()],
            damage=(damage.count, damage.size_bytes, [(one.offset, one.size_bytes, one.why) for one in damage.first]),
            changed=[one.cluster for one in tally.changed],
        )
    )
    write_file(path, _MAGIC + hashlib.sha256(payload).digest() + payload, sync=sync)


def load(path: Path) -> Saved | None:
    """Read a checkpoint; None if there is none that can be believed."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("a checkpoint cannot be read, the log is read again", path=str(path), error=error.strerror)
        return None
    begin = len(_MAGIC) + _DIGEST_BYTES
    digest, payload = content[len(_MAGIC) : begin], content[begin:]
    if not content.startswith(_MAGIC) and content.startswith(_KIND):
        log.warning("a checkpoint is of another form, the log is read again", path=str(path))
        return None
    if not content.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
        log.warning("a checkpoint is damaged, the log is read again", path=str(path))
        return None
    try:
        saved = msgspec.msgpack.decode(payload, type=Saved)
    except msgspec.DecodeError as error:
        log.warning("a checkpoint is of another form, the log is read again", path=str(path), error=str(error))
        return None
    return saved if saved.files else None


def restore_tally(saved: Saved, tally: LogTally) -> None:
    """Put what was saved into an empty tally."""
    with _no_collection():
        for one in saved.clusters:
            tally.add(_restore(one))
    count, size_bytes, first = saved.damage
    tally.damage = DamageReport(count, size_bytes, [Damage(*one) for one in first])
    tally.changed.update(tally.clusters.values())  # what was told before is not known


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Many objects are made, none of which is garbage: to look for it again and again takes longer than to make them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _dump(tally: ClusterTally) -> SavedCluster:
    return SavedCluster(
        cluster=tally.cluster,
        taskforce=tally.taskforce,
        ads_to_ask=tally.ads_to_ask,
        n_procs=tally.n_procs,
        n_ended=tally.n_ended,
        in_line=tally.in_line,
        limit=tally.limit,
        ended_at=tally.ended_at,
        is_factory=tally.is_factory,
        removed_at=tally.removed_at,
        paused=tally.paused,
        numbers=dict(tally.numbers),
        phases=tally.phases.tobytes(),
        counts={key: count for key, count in tally.counts.items() if count},
        pilot_words=tally.pilot_words,
        word_slots=tally.word_slots,
        holds=tally.holds,
        errors=tally.error_texts.dump(),
        places=tally.place_texts.dump(),
        apart=tally.apart,
        corrected=tally.corrected,
        entries=[getattr(tally, name).tobytes() for name in FIELDS],
        silent=[(how, has_error, count) for (how, has_error), count in tally.silent.items() if count],
    )


def _restore(saved: SavedCluster) -> ClusterTally:
    tally = ClusterTally(saved.cluster)
    tally.taskforce = saved.taskforce
    tally.ads_to_ask = saved.ads_to_ask
    tally.n_procs, tally.n_ended = saved.n_procs, saved.n_ended
    tally.in_line, tally.limit = saved.in_line, saved.limit
    tally.ended_at = saved.ended_at
    tally.is_factory, tally.removed_at = saved.is_factory, saved.removed_at
    tally.paused = saved.paused
    tally.numbers.update(saved.numbers)
    tally.phases = array("q", saved.phases)
    tally.counts = saved.counts
    tally.pilot_words, tally.word_slots = saved.pilot_words, saved.word_slots
    tally.holds = saved.holds
    tally.hold_slots = {reason: slot for slot, reason in enumerate(saved.holds)}
    tally.error_texts.restore(saved.errors)
    tally.place_texts.restore(saved.places)
    tally.apart, tally.corrected = saved.apart, saved.corrected
    for name, entries in zip(FIELDS, saved.entries, strict=True):
        getattr(tally, name).frombytes(entries)
    tally.size = len(tally.states)
    tally.silent = Counter({one[:2]: one[2] for one in saved.silent})
    return tally
