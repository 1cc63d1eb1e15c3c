"""Which procs does HTCondor hold, and what is done about it? The queue says which and why; the policy says what.

Since when one is held is counted from the first look that finds it so: the schedd's time of day may not be ours, and either may be set.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import anyio
import anyio.to_thread
import structlog

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.hold_policy import LEFT_CODES, HoldPolicy, Verdict
from muster.site.adapters.htcondor.queue import JobStatus
from muster.site.adapters.htcondor.schedd import Action, Ad, Schedd

log = structlog.get_logger("muster.site")

LOOK_S = 1.0
"""Seconds between two looks at held procs, at least."""
LOOK_S_MAX = 10.0
"""At most, as long as there are any: one may be released when the pause that its policy gives is over."""
NO_TROUBLES = frozenset({"userrequest", "spoolinginput", "jobdurationexceeded", "jobexecuteexceeded"})
"""Reasons of NumHoldsByReason, in lower case, that are no failures: codes 1, 16, 46 and 47."""
OFF_ITS_MACHINE = "RemoteHost =?= undefined"
"""One that was held while it ran has its time to end. Released before that is over it may wait for minutes, unmatched."""
PROCS_MAX = 200
"""Procs named in one call."""
PAGE = 10_000
"""Procs of a cluster that are asked for at once: to take in what is told of them keeps all else waiting for a hundredth of a second."""
_ATTRIBUTES = (
    "ClusterId",
    "ProcId",
    "HoldReason",
    "HoldReasonCode",
    "HoldReasonSubCode",
    "NumHolds",
    "NumHoldsByReason",
    "EnteredCurrentStatus",
)


@dataclass(frozen=True)
class GivenUp:
    """Procs that were taken out of the queue because they were held again and again. `errors`: how many for which reason."""

    cluster: int
    errors: Mapping[str, int]


@dataclass
class _Due:
    release: list[int] = field(default_factory=list)
    give_up: dict[int, str] = field(default_factory=dict)


_Hold = tuple[object, object]
"""What makes a hold of a proc unlike its others: how many there were before, and the schedd's time of it."""


class HeldProcs:
    """Sees to the held procs of one agent. `now`: seconds that only count on."""

    def __init__(self, schedd: Schedd, policy: HoldPolicy, *, now: Callable[[], float] = anyio.current_time) -> None:
        self._schedd = schedd
        self._policy = policy
        self._now = now
        self._holding: frozenset[int] = frozenset()
        self._look_at = -math.inf
        self._seen: dict[tuple[int, int], tuple[_Hold, float]] = {}  # by cluster and proc: which hold, seen since when

    async def tend(self, holding: Mapping[int, int]) -> list[GivenUp]:
        """Release and give up what is due.

        Args:
            holding: clusters of which procs are held, as far as is known, and how many procs each has.

        Raises UnavailableError: the same again later.
        """
        clusters = frozenset(holding)
        if not clusters or (self._now() < self._look_at and clusters <= self._holding):
            return []
        self._look_at = self._now() + LOOK_S
        pages = _list_pages(clusters, max(holding.values()))
        ads = [ad for page in pages for ad in await self._schedd.query(page, _ATTRIBUTES)]
        # In a thread: of a hundred thousand it takes half a second.
        due, wait_s = await anyio.to_thread.run_sync(self._judge, ads, self._now())
        given_up: list[GivenUp] = []
        try:
            for cluster, what in due.items():
                await self._do(cluster, what, given_up)
        except UnavailableError:
            if not given_up:
                raise
            return (
                given_up  # they are gone, and nobody would be told of them again; the others are due at the next look
            )
        self._holding = clusters
        self._look_at = self._now() + min(LOOK_S_MAX, max(LOOK_S, wait_s))
        return given_up

    def _judge(self, ads: list[Ad], now: float) -> tuple[dict[int, _Due], float]:
        """What is due, by cluster, and the seconds until more will be."""
        due: dict[int, _Due] = defaultdict(_Due)
        before, self._seen = self._seen, {}
        wait_s = LOOK_S_MAX
        for ad in ads:
            if "ProcId" not in ad:
                continue
            code = int(ad.get("HoldReasonCode", 0))
            place: tuple[int, int] = (int(ad["ClusterId"]), int(ad["ProcId"]))
            hold: _Hold = (ad.get("NumHolds"), ad.get("EnteredCurrentStatus"))
            known = before.get(place)
            since = known[1] if known is not None and known[0] == hold else now
            self._seen[place] = (hold, since)
            verdict, delay_s = self._policy.judge(
                code=code,
                n_holds=count_troubles(ad),
                held_s=now - since,
            )
            if verdict is Verdict.RELEASE and delay_s <= 0:
                due[int(ad["ClusterId"])].release.append(int(ad["ProcId"]))
            elif verdict is Verdict.RELEASE:
                wait_s = min(wait_s, delay_s)
            elif verdict is Verdict.GIVE_UP:
                due[int(ad["ClusterId"])].give_up[int(ad["ProcId"])] = str(ad.get("HoldReason", f"hold code {code}"))
        return due, wait_s

    async def _do(self, cluster: int, due: _Due, given_up: list[GivenUp]) -> None:
        for procs in _cut(due.release):
            await self._schedd.act(Action.RELEASE, _name(cluster, procs), reason="Muster tries again")
        by_reason: dict[str, list[int]] = defaultdict(list)
        for proc, reason in due.give_up.items():
            by_reason[reason].append(proc)
        for reason, all_procs in by_reason.items():
            for procs in _cut(all_procs):
                await self._schedd.act(Action.REMOVE, _name(cluster, procs), reason=f"given up by Muster: {reason}")
                given_up.append(GivenUp(cluster, {reason: len(procs)}))
        if due.release or due.give_up:
            log.info("held workers", cluster=cluster, released=len(due.release), given_up=len(due.give_up))


def _list_pages(clusters: Collection[int], n_procs: int) -> list[str]:
    """Constraints for held procs of these clusters that a policy is to judge, some thousand at a time."""
    named = ", ".join(map(str, sorted(clusters)))
    held = f"JobStatus == {JobStatus.HELD:d} && {OFF_ITS_MACHINE} && member(ClusterId, {{{named}}})"
    left = " && ".join(f"HoldReasonCode =!= {code}" for code in sorted(LEFT_CODES))
    if n_procs <= PAGE:
        return [f"{held} && {left}"]
    return [f"{held} && {left} && ProcId >= {first} && ProcId < {first + PAGE}" for first in range(0, n_procs, PAGE)]


def count_troubles(ad: Ad) -> int:
    """How often a proc was held for trouble; at least once. Where HTCondor does not count by reason: how often at all."""
    by_reason = ad.get("NumHoldsByReason")
    if not isinstance(by_reason, Mapping):
        return max(1, int(ad.get("NumHolds", 1)))
    return max(1, sum(int(count) for reason, count in by_reason.items() if str(reason).lower() not in NO_TROUBLES))


def _cut(procs: list[int]) -> list[list[int]]:
    return [procs[first : first + PROCS_MAX] for first in range(0, len(procs), PROCS_MAX)]


def _name(cluster: int, procs: Collection[int]) -> str:
    """A constraint for these procs, as long as they are held."""
    named = " || ".join(f"ProcId == {proc}" for proc in procs)
    return f"ClusterId == {cluster} && ({named}) && JobStatus == {JobStatus.HELD:d}"
