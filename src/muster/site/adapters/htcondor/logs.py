"""What is known of every cluster? Its job event log, read as it grows, with what queue and history had to correct.

A cluster's counts are exact for the procs that its log has named; those that a factory has not made yet are idle, and stand in no log.
"""

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from muster.domain.pool_facts import PoolFacts
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally, Correction
from muster.site.adapters.htcondor.event_log.events import COMPLETED, ENDED, HELD, IDLE, REMOVED, RUNNING, SUSPENDED
from muster.site.adapters.htcondor.event_log.log_reader import LogReader
from muster.site.adapters.htcondor.event_log.proc_entries import read_exit
from muster.site.adapters.htcondor.event_log.statuses import ClusterReport, look_at
from muster.site.adapters.htcondor.queue import JobStatus, ProcAd, QueuedProcs, read_row
from muster.site.ports.pool import Observation, PilotStatus, ProcState

log = structlog.get_logger("muster.site")

SAVE_S = 10.0
"""Seconds between two checkpoints of a log that grows."""
SETTLED_S = 5.0
"""Seconds for which the queue must have said the same before it is believed against the log: an event may be on its way."""
_STATES: Mapping[JobStatus, int] = {
    JobStatus.IDLE: IDLE,
    JobStatus.RUNNING: RUNNING,
    JobStatus.TRANSFERRING_OUTPUT: RUNNING,
    JobStatus.REMOVED: REMOVED,
    JobStatus.COMPLETED: COMPLETED,
    JobStatus.HELD: HELD,
    JobStatus.SUSPENDED: SUSPENDED,
}


@dataclass
class _Followed:
    reader: LogReader
    n_workers: int
    is_saved: bool = True
    saved_at: float = -math.inf
    trouble: str = ""
    damage_told: int = 0

    def find_tally(self, cluster: int) -> ClusterTally | None:
        return self.reader.clusters.get(cluster)


class Logs:
    """The logs of all clusters, by cluster. Calls may block, and come from any thread. `now`: seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._followed: dict[int, _Followed] = {}
        self._now = now
        self._lock = threading.RLock()

    # -- following ---------------------------------------------------------------------------------------------------

    def follow(self, cluster: int, path: Path, *, checkpoint: Path, n_workers: int) -> None:
        """Read a log from now on, from its checkpoint if there is one. One that is followed already goes on."""
        with self._lock, disk_errors(path):
            if cluster not in self._followed:
                reader = LogReader(path, checkpoint=checkpoint)
                reader.expect(cluster, n_procs=n_workers)
                self._followed[cluster] = _Followed(reader, n_workers)

    def poll(self) -> set[int]:
        """Read what is new in all of them; returns the clusters that something happened to."""
        return {cluster for cluster in list(self._followed) if self.read(cluster)}

    def read(self, cluster: int) -> bool:
        """Read what is new in one log, and keep a checkpoint now and then. Did anything happen?

        A log that cannot be read is told once; then queue and history tell what becomes of its cluster.
        """
        with self._lock:
            if (followed := self._followed.get(cluster)) is None:
                return False
            try:
                while followed.reader.poll():
                    pass
                is_changed = cluster in followed.reader.take_changes()
                followed.is_saved = followed.is_saved and not is_changed
            except OSError as error:
                self._tell(followed, error)
                return False
            self._save_now_and_then(followed)
            if followed.reader.damage.count > followed.damage_told:
                followed.damage_told = followed.reader.damage.count
                told = {"path": str(followed.reader.path), "places": followed.damage_told}
                log.warning("a job event log is damaged: queue and history tell what it does not", **told)
            return is_changed

    def _save_now_and_then(self, followed: _Followed) -> None:
        """One that cannot be kept, on a full disk, say, costs nothing but to read more again: what was read holds."""
        if followed.is_saved:
            followed.trouble = ""
        elif time.monotonic() - followed.saved_at >= SAVE_S:
            followed.saved_at = time.monotonic()
            try:
                self._save(followed)
                followed.trouble = ""
            except OSError as error:
                self._tell(followed, error)

    def _tell(self, followed: _Followed, error: OSError) -> None:
        said = error.strerror or str(error)
        if said != followed.trouble:
            followed.trouble = said
            log.error(
                "a job event log cannot be read, or its checkpoint not be written",
                path=str(followed.reader.path),
                error=said,
            )

    def settle(self, cluster: int) -> None:
        """The cluster is over: nobody writes into its log any more. Keep what it came to."""
        with self._lock:
            if (followed := self._followed.get(cluster)) is not None:
                try:
                    followed.reader.settle()
                    self._save(followed)
                except OSError as error:
                    self._tell(followed, error)

    def drop(self, cluster: int) -> None:
        """Follow a log no more."""
        with self._lock:
            if (followed := self._followed.pop(cluster, None)) is not None:
                followed.reader.close()

    def close(self) -> None:
        """Keep a checkpoint of every log, as far as the disk takes them, and follow none."""
        with self._lock:
            for followed in self._followed.values():
                if not followed.is_saved:
                    try:
                        self._save(followed)
                    except OSError as error:
                        self._tell(followed, error)
                followed.reader.close()
            self._followed.clear()

    def _save(self, followed: _Followed) -> None:
        # Not synced: one that a power cut took, or half of it, only means to read more again.
        followed.reader.save(sync=False)
        followed.is_saved, followed.saved_at = True, time.monotonic()

    # -- seeing ------------------------------------------------------------------------------------------------------

    def report(self, cluster: int) -> ClusterReport | None:
        """Everything that the log told; None: nothing yet."""
        with self._lock:
            followed = self._followed.get(cluster)
            tally = None if followed is None else followed.find_tally(cluster)
            return None if followed is None or tally is None else look_at(tally)

    def observe(
        self, cluster: int, *, n_workers: int, gone_at: float | None, given_up: Mapping[str, int]
    ) -> Observation:
        """What became of a cluster so far.

        Args:
            gone_at: when it was over; None: it is not.
            given_up: procs that were given up, by reason.
        """
        with self._lock:
            report = self.report(cluster)
            counts: Counter[tuple[str, str | None]] = Counter(report.statuses if report else {})
            errors: Counter[str] = Counter(report.errors if report else {})
            if counts[ProcState.COMPLETED, None]:
                self._judge_silent(cluster, counts, errors)
            errors.update(given_up)
            n_ended = sum(count for (state, _), count in counts.items() if state in _ENDED_WORDS)
            unseen = n_workers - counts.total()
            if gone_at is None:
                counts[ProcState.IDLE, None] += unseen
            else:
                for status in [one for one in counts if one[0] not in _ENDED_WORDS]:
                    unseen += counts.pop(status)
                counts[ProcState.REMOVED, None] += unseen
        return Observation(
            {status: count for status, count in counts.items() if count > 0},
            {text: count for text, count in errors.items() if count > 0},
            # That all have ended is certain once the queue says so, too.
            n_left=0 if gone_at is not None else max(1, n_workers - n_ended),
            ended_at=gone_at,
            facts=None if report is None else _read_facts(report),
        )

    def _judge_silent(self, cluster: int, counts: Counter[tuple[str, str | None]], errors: Counter[str]) -> None:
        """Procs that ended and whose worker never said a word: their exit says how."""
        tally = self._followed[cluster].find_tally(cluster)
        if tally is None:
            return
        for (how, has_error), count in tally.silent.items():
            exit_code, signal = read_exit(how)
            is_well = exit_code == 0
            counts[ProcState.COMPLETED, None] -= count
            counts[ProcState.COMPLETED, PilotStatus.DONE if is_well else PilotStatus.FATAL] += count
            if not is_well and not has_error:
                errors[f"worker ended {f'with status {exit_code}' if signal is None else f'by signal {signal}'}"] += (
                    count
                )

    def list_holding(self) -> list[int]:
        """Clusters of which procs are held."""
        with self._lock:
            return [
                cluster
                for cluster, followed in self._followed.items()
                if (tally := followed.find_tally(cluster)) is not None and tally.is_any_held()
            ]

    def list_over(self) -> list[int]:
        """Clusters of which no proc is left, as far as their logs tell."""
        with self._lock:
            return [
                cluster
                for cluster, followed in self._followed.items()
                if (tally := followed.find_tally(cluster)) is not None and _is_over(tally, followed.n_workers)
            ]

    def find_end(self, cluster: int) -> float | None:
        """When its last proc ended, seconds since the epoch."""
        report = self.report(cluster)
        return None if report is None else report.ended_at

    def find_logged(self, path: Path, tag: str) -> int | None:
        """The number of the cluster with this tag that a log tells of. Raises UnavailableError."""
        with disk_errors(path):
            reader = LogReader(path)
            try:
                while reader.poll():
                    pass
                found = [number for number, tally in reader.clusters.items() if tally.taskforce == tag]
            finally:
                reader.close()
        return max(found, default=None)

    # -- correcting --------------------------------------------------------------------------------------------------

    def list_left(self, cluster: int, *, n_workers: int, with_unseen: bool) -> list[int]:
        """Procs that have not ended, as far as the log tells; with those that it has not named, if wanted."""
        with self._lock:
            followed = self._followed.get(cluster)
            tally = None if followed is None else followed.find_tally(cluster)
            if tally is None:
                return list(range(n_workers)) if with_unseen else []
            found = ((proc, tally.find_index(proc)) for proc in range(n_workers))
            return [
                proc for proc, index in found if (with_unseen if index is None else tally.states[index] not in ENDED)
            ]

    def correct(self, cluster: int, queued: QueuedProcs, ended: Mapping[int, ProcAd], lost: Sequence[int]) -> bool:
        """Let a cluster's procs be as queue and history say, where the log says something else. Was anything changed?

        Args:
            queued: those in the queue. ended: those in the history that the log thinks are left.
            lost: those of which neither knows, and that are over.
        """
        now = self._now()
        with self._lock:
            if (followed := self._followed.get(cluster)) is None:
                return False
            tally = followed.find_tally(cluster)
            corrections = {proc: _read_ended(ad) for proc, ad in ended.items()}
            corrections |= {proc: Correction(REMOVED, now, ended_at=now) for proc in lost if proc not in ended}
            for ad in _list_differing(tally, queued):
                if (known := _read_queued(ad, now)) is not None:
                    corrections[ad.proc] = known
            for proc, correction in corrections.items():
                with contextlib.suppress(ValueError):  # one that this cluster cannot have
                    followed.reader.correct(cluster, proc, correction)
            followed.is_saved = followed.is_saved and not corrections
            return bool(corrections)


def _read_facts(report: ClusterReport) -> PoolFacts:
    numbers = report.numbers
    return PoolFacts(
        restarts=numbers.get("restarts", 0),
        evictions=numbers.get("evictions", 0),
        disconnects=numbers.get("disconnects", 0),
        failed_starts=numbers.get("failed starts", 0),
        disconnected=numbers.get("disconnected", 0),
        holds=report.holds,
        transfers=report.phases,
        hosts=report.hosts,
        sites=report.sites,
    )


_ENDED_WORDS = frozenset({ProcState.COMPLETED, ProcState.REMOVED})


def _is_over(tally: ClusterTally, n_workers: int) -> bool:
    return tally.n_ended >= n_workers or (tally.removed_at is not None and tally.n_ended >= tally.n_procs)


def _read_ended(ad: ProcAd) -> Correction:
    state = COMPLETED if ad.status is JobStatus.COMPLETED else REMOVED
    return Correction(state, ad.at, exit_code=ad.exit_code, signal=ad.exit_signal, ended_at=ad.at)


def _read_queued(ad: ProcAd, now: float) -> Correction | None:
    """What the queue says, if it has said so for long enough. One that has ended, or is to be removed, is about to leave it."""
    if ad.status is None or ad.status in (JobStatus.REMOVED, JobStatus.COMPLETED):
        return None
    at = ad.at
    if at > now + SETTLED_S:  # the clock was set back since: for how long is not known, and events from now on are news
        at = now
    elif now - at < SETTLED_S:
        return None
    return Correction(_STATES[ad.status], at, hold=ad.hold[1:] if ad.status is JobStatus.HELD else (0, 0))


def _list_differing(tally: ClusterTally | None, queued: QueuedProcs) -> Iterator[ProcAd]:
    """Those of which the log says something else, or nothing."""
    states = {int(status): state for status, state in _STATES.items()}  # an enum's members take long to get at
    for row in queued.list_rows():
        index = None if tally is None else tally.find_index(row[0])
        if tally is None or index is None or tally.read_state(tally.states[index])[0] != states.get(row[1]):
            yield read_row(row)
