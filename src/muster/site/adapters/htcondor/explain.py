"""Why do the procs of a cluster wait? The schedd says what they ask for and which are held, the collector what there is.

Sentences are for a cluster's user, and then for an operator: the fact with its numbers, then what to change.
"""

import time
from collections.abc import Callable, Sequence

import anyio.to_thread

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.classads import Values
from muster.site.adapters.htcondor.collector import Collector
from muster.site.adapters.htcondor.describe import Policy, render_excluded
from muster.site.adapters.htcondor.event_log.events import IDLE
from muster.site.adapters.htcondor.event_log.statuses import ClusterReport
from muster.site.adapters.htcondor.held_reasons import HeldProc, explain_held
from muster.site.adapters.htcondor.match_reasons import explain_refusal, explain_unmet
from muster.site.adapters.htcondor.matching import Matching, list_slot_attributes, match, split_requirements
from muster.site.adapters.htcondor.queue import JobStatus
from muster.site.adapters.htcondor.schedd import Ad, Schedd
from muster.site.adapters.htcondor.turn_reasons import (
    PATIENCE_S,
    REJECTED_S,
    Waiting,
    explain_negotiator,
    explain_no_slots,
    explain_turn,
)

HELD_MAX, IDLE_MAX = 5000, 100
"""Procs that are looked at: of those that are held, to count causes; of those that are idle, which all ask for the same."""
AGAIN = 3
"""Times that a worker was taken away, or could not be started, from which on it is told."""
BEGUN_S = 60
"""Seconds of the schedd's for which one that runs counts as one that is only tried again, where it was before."""
ERROR = "Error from "
"""How HTCondor's reason begins where a machine could not start it."""
_OF_HELD = ("ProcId", "HoldReason", "HoldReasonCode", "HoldReasonSubCode", "NumJobCompletions")
_OF_IDLE = (
    "ProcId",
    "EnteredCurrentStatus",
    "LastMatchTime",
    "NumJobStarts",
    "NumJobCompletions",
    "NumShadowStarts",
    "VacateReason",
)
_OF_REJECTED = ("LastRejMatchReason", "LastRejMatchTime", "LastMatchTime")


class Explainer:
    """Explains clusters of one schedd.

    Args:
        patience_s: seconds for which nothing is said of workers that may run and were not matched yet.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        schedd: Schedd,
        policy: Policy,
        *,
        collector: Collector | None = None,
        patience_s: float = PATIENCE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._schedd = schedd
        self._policy = policy
        self._collector = collector or Collector()
        self._patience_s = patience_s
        self._now = now

    async def explain(self, cluster: int, report: ClusterReport | None, *, n_workers: int) -> Sequence[str]:
        """Sentences, the most telling first; none where nothing is known to keep its procs. Raises UnavailableError: the schedd is silent.

        Args:
            report: of its log; None: nothing was heard of it yet.
            n_workers: of the cluster.
        """
        of_held = await self._schedd.query(_constrain(cluster, JobStatus.HELD), _OF_HELD, limit=HELD_MAX)
        of_idle = await self._schedd.query(_constrain(cluster, JobStatus.IDLE), _OF_IDLE, limit=IDLE_MAX)
        procs = [_read_held(ad) for ad in of_held]
        held = explain_held(procs, cluster=cluster, n_workers=n_workers, starts_max=self._policy.starts_max)
        begun = await self._schedd.query(
            f"{_constrain(cluster, JobStatus.RUNNING)} && time() - EnteredCurrentStatus < {BEGUN_S}",
            _OF_IDLE,
            limit=IDLE_MAX,
        )
        again = explain_again([*of_idle, *map(_before_this_start, begun)], n_workers=n_workers)
        idle = await self._explain_idle(cluster, of_idle, again) if of_idle else again
        paused = []
        if report is not None and report.paused:
            sentence = (
                f"HTCondor makes no more of the {n_workers} workers: {report.paused}; ask the operator to release them"
            )
            paused = [f"{sentence} (condor_release {cluster})."]
        n_idle = max(len(of_idle), report.states.get(IDLE, 0) if report is not None and of_idle else 0)
        first, then = (held, idle) if len(of_held) >= n_idle else (idle, held)
        return (*first, *then, *paused)

    async def _explain_idle(self, cluster: int, idle: Sequence[Ad], again: Sequence[str]) -> list[str]:
        job = await self._schedd.find_whole(_constrain(cluster, JobStatus.IDLE))
        if job is None:
            return [*again]  # they run by now
        try:
            return await self._explain_match(job, idle, again)
        except UnavailableError as error:
            sentence = f"Nobody can tell what there is, and nothing new is matched: {error}; ask the pool's operator"
            return [f"{sentence} (condor_collector; COLLECTOR_HOST)."]

    async def _explain_match(self, job: Values, idle: Sequence[Ad], again: Sequence[str]) -> list[str]:
        texts = [text for text, _ in split_requirements(job)]
        look = await self._collector.look(list_slot_attributes(job, texts))
        if not look.slots:
            return explain_no_slots(look)
        matching = await anyio.to_thread.run_sync(self._match, job, look.slots)
        if not matching.fits:
            names = await self._collector.list_attributes() if _has_absent(matching) else frozenset()
            return [*explain_unmet(matching, names), *again, *explain_negotiator(look)]
        if not matching.accepts:
            return [*explain_refusal(matching), *again, *explain_negotiator(look)]
        waiting = await self._ask_waiting(job, idle)
        turn = explain_turn(waiting, matching, look, now=self._now(), patience_s=self._patience_s)
        return [*again, *turn]

    def _match(self, job: Values, slots: Sequence[Values]) -> Matching:
        excluded = [render_excluded(site) for site in self._policy.excluded_sites]
        return match(job, slots, operators=self._policy.requirements, sites=excluded)

    async def _ask_waiting(self, job: Values, idle: Sequence[Ad]) -> Waiting:
        since = min(float(ad.get("EnteredCurrentStatus", self._now())) for ad in idle)
        alike: list[Ad] = []
        if isinstance(number := job.get("autoclusterid"), int):
            alike = await self._schedd.query(
                f"AutoClusterId == {number} && (LastRejMatchTime > {self._now() - REJECTED_S:.0f} || "
                f"LastMatchTime > {self._now() - REJECTED_S:.0f})",
                _OF_REJECTED,
            )
        rejections = [
            (str(ad.get("LastRejMatchReason", "")), float(ad["LastRejMatchTime"]))
            for ad in alike
            if "LastRejMatchTime" in ad
        ]
        matched = [float(ad["LastMatchTime"]) for ad in alike if "LastMatchTime" in ad]
        return Waiting(
            job,
            since,
            rejection=max(rejections, key=lambda one: one[1], default=("", 0.0)),
            matched_at=max(matched, default=0.0),
        )


def explain_again(idle: Sequence[Ad], *, n_workers: int) -> list[str]:
    """What was begun again and again, and came to nothing.

    Args:
        idle: ads of procs that wait.
    """
    sentences = []
    lost = [ad for ad in idle if _count_lost(ad) >= AGAIN]
    if broken := [ad for ad in lost if str(ad.get("VacateReason")).startswith(ERROR)]:
        sentences.append(
            f"{_tell(broken, n_workers)} given to machines that began and failed, up to {max(map(_count_lost, broken))} times (the last "
            f"time: {broken[0]['VacateReason']}); where it says nothing to you, ask the operator of this site, or of the pool (StarterLog)."
        )
    if evicted := [ad for ad in lost if ad not in broken]:
        reason = next((f" (the last time: {ad['VacateReason']})" for ad in evicted if ad.get("VacateReason")), "")
        whose = "its machine" if len(evicted) == 1 else "their machines"
        sentences.append(
            f"{_tell(evicted, n_workers)} started and taken away from {whose} again, up to {max(map(_count_lost, evicted))} times{reason}; "
            "shorter starts have better chances (max_worker_runtime), or ask the pool's operator which machines keep their workers "
            "(condor_requirements)."
        )
    if failed := [ad for ad in idle if _count_failed(ad) >= AGAIN]:
        sentences.append(
            f"{_tell(failed, n_workers)} given to a machine that could not start {'it' if len(failed) == 1 else 'them'}, up to "
            f"{max(map(_count_failed, failed))} times; keep away from the machine (condor_requirements), or ask the pool's operator "
            "(StarterLog)."
        )
    return sentences


def _constrain(cluster: int, status: JobStatus) -> str:
    return f"ClusterId == {cluster} && JobStatus == {status:d} && ProcId >= 0"


def _read_held(ad: Ad) -> HeldProc:
    return HeldProc(
        int(ad.get("HoldReasonCode", 0)),
        int(ad.get("HoldReasonSubCode", 0)),
        str(ad.get("HoldReason", "")),
        int(ad.get("NumJobCompletions", 0)),
    )


def _has_absent(matching: Matching) -> bool:
    return any(
        not any(name in slot for slot in matching.slots)
        for clause in matching.find_unmet()
        for name in clause.attributes
    )


def _count_lost(ad: Ad) -> int:
    """Starts that did not come to their end."""
    return int(ad.get("NumJobStarts", 0)) - int(ad.get("NumJobCompletions", 0))


def _before_this_start(ad: Ad) -> Ad:
    """What had come of one that runs, before it was started the last time."""
    counts = {name: int(ad[name]) - 1 for name in ("NumJobStarts", "NumShadowStarts") if name in ad}
    return {**ad, **counts}


def _count_failed(ad: Ad) -> int:
    """Machines at which it did not start."""
    return int(ad.get("NumShadowStarts", 0)) - int(ad.get("NumJobStarts", 0))


def _tell(ads: Sequence[Ad], n_workers: int) -> str:
    return f"{len(ads)} of {n_workers} {'worker' if n_workers == 1 else 'workers'} {'was' if len(ads) == 1 else 'were'}"
