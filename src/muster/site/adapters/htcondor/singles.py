"""How are single procs of a cluster held, released, removed and read about? By constraints that name only those of which it can be said.

A factory's own ad is meant where all procs are: held, it makes no more of them.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import anyio
import anyio.to_thread

from muster.domain.errors import ConflictError, RejectedError, UnavailableError
from muster.domain.worker_order import OrderAction, WorkerLog, find_spans, render_procs
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.htcondor.elsewhere import Elsewhere
from muster.site.adapters.htcondor.folder import PoolFolder
from muster.site.adapters.htcondor.held import OFF_ITS_MACHINE
from muster.site.adapters.htcondor.hold_policy import BY_HAND, LACKING_SUBCODE, PAUSED_SUBCODE
from muster.site.adapters.htcondor.peek import add_running
from muster.site.adapters.htcondor.placing import Known
from muster.site.adapters.htcondor.queue import JobStatus, name_cluster
from muster.site.adapters.htcondor.schedd import Action, Schedd
from muster.site.adapters.htcondor.worker_logs import find_worker_logs

SPANS_MAX = 100
"""Spans of procs that one call names."""
OFF_S = 5.0
"""Seconds that one call waits for procs to get off the machine on which they were held, before they are released."""
_NEXT = "JobMaterializeNextProcId"
LOOK_S = 0.2
_ACTIONS: Mapping[OrderAction, Action] = {
    OrderAction.HOLD: Action.HOLD,
    OrderAction.RELEASE: Action.RELEASE,
    OrderAction.REMOVE: Action.REMOVE,
}
_THERE = (JobStatus.IDLE, JobStatus.RUNNING, JobStatus.TRANSFERRING_OUTPUT, JobStatus.SUSPENDED)
_OF: Mapping[OrderAction, Collection[JobStatus]] = {
    OrderAction.HOLD: _THERE,
    OrderAction.RELEASE: (JobStatus.HELD,),
    OrderAction.REMOVE: (*_THERE, JobStatus.HELD),
}
"""In which states a proc must be."""


class Singles:
    """What may be done with single procs of a pool's clusters."""

    def __init__(self, schedd: Schedd, folder: PoolFolder, elsewhere: Elsewhere) -> None:
        self._schedd = schedd
        self._folder = folder
        self._elsewhere = elsewhere

    async def act(self, known: Known, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
        """See `Pool.act`. Raises UnavailableError: another schedd has the cluster, or procs to be released are on their machines still."""
        placed = known.placed
        if placed is None or placed.is_removing:
            raise ConflictError(f"cluster {known.asked.tag} is being removed")
        if placed.gone_at is not None:
            return 0
        await self._elsewhere.check(known)
        return await _Action(self._schedd, placed.cluster, known.asked.tag, action, reason).do(procs)

    async def read_logs(self, known: Known | None, tag: str, proc: int) -> Sequence[WorkerLog]:
        """See `Pool.read_logs`. `known`: None for a cluster that was forgotten."""
        place = None if known is None else known.find_place()
        with disk_errors(self._folder.path):
            found = await anyio.to_thread.run_sync(find_worker_logs, self._folder, place, tag, proc)
        if known is None or place is None or not await self._is_running(known, place.cluster, proc):
            return found
        return await add_running(self._schedd, place.cluster, proc, found)

    async def _is_running(self, known: Known, cluster: int, proc: int) -> bool:
        """Does it run, at this schedd, as of that cluster? Where the schedd does not answer, nothing more is asked."""
        try:
            if await self._elsewhere.has(known):
                return False
            ours = await name_cluster(self._schedd, cluster, known.asked.tag)
            running = f"{ours} && ProcId == {proc} && JobStatus == {JobStatus.RUNNING:d}"
            return bool(await self._schedd.query(running, ["ProcId"], limit=1))
        except UnavailableError:
            return False


@dataclass(frozen=True)
class _Action:
    """One action at one cluster."""

    schedd: Schedd
    cluster: int
    tag: str
    action: OrderAction
    reason: str

    async def do(self, procs: Collection[int]) -> int:
        """With how many it was done. `procs`: empty: all. Raises as `Singles.act`."""
        ours = await name_cluster(self.schedd, self.cluster, self.tag)
        await self._check_made(ours, procs)
        pages = [f"{ours} && {named}" for named in _name_procs(procs)]
        if self.action is OrderAction.RELEASE:
            await self._await_off(pages)
        done = 0
        for page in pages:
            if self.action is OrderAction.HOLD:
                await self._take_over(page)
            done += await self._act(f"{page} && {_name_states(_OF[self.action])}")
        if not procs:
            await self.schedd.act(_ACTIONS[self.action], f"{ours} && ProcId =?= undefined", reason=self.reason)
        return done

    async def _check_made(self, ours: str, procs: Collection[int]) -> None:
        """Raises ConflictError for procs that HTCondor has not made yet: it would make them later, as if nothing had been said."""
        if not procs:
            return
        ads = await self.schedd.query(f"{ours} && ProcId =?= undefined", [_NEXT], limit=1, factories=True)
        made = int(ads[0].get(_NEXT, sys.maxsize)) if ads else sys.maxsize
        if late := [proc for proc in procs if proc >= made]:
            raise ConflictError(
                f"{render_procs(late)} of {self.tag}: not made by HTCondor yet, which makes those of large taskforces bit by bit (so far "
                f"{made}): say it again when they are there, or say it of all"
            )

    async def _take_over(self, page: str) -> None:
        """Those that are held for something else are released, to be held for this with those that wait: a policy would release them."""
        by_hand = f"HoldReasonCode =?= {BY_HAND} && !member(HoldReasonSubCode, {{{PAUSED_SUBCODE}, {LACKING_SUBCODE}}})"
        others = f"{page} && JobStatus == {JobStatus.HELD:d} && !({by_hand}) && {OFF_ITS_MACHINE}"
        if await self.schedd.query(others, ["ProcId"], limit=1):
            await self.schedd.act(Action.RELEASE, others, reason=f"to be held: {self.reason}")

    async def _await_off(self, pages: Sequence[str]) -> None:
        """Released while its machine still has it, one may wait for minutes, unmatched. Raises UnavailableError: some are there still."""
        deadline = anyio.current_time() + OFF_S
        for page in pages:
            on = f"{page} && JobStatus == {JobStatus.HELD:d} && !({OFF_ITS_MACHINE})"
            while await self.schedd.query(on, ["ProcId"], limit=1):
                if anyio.current_time() >= deadline:
                    raise UnavailableError(
                        f"workers of cluster {self.cluster} that are held still end what they have in hand"
                    )
                await anyio.sleep(LOOK_S)

    async def _act(self, those: str) -> int:
        found = await self.schedd.query(those, ["ProcId"])
        acted = await self.schedd.act(_ACTIONS[self.action], those, reason=self.reason)
        if acted.denied:
            raise RejectedError(acted.explain_denied(self.action, self.cluster))
        return len(found)


def _name_states(states: Iterable[JobStatus]) -> str:
    return f"member(JobStatus, {{{', '.join(str(int(one)) for one in states)}}})"


def _name_procs(procs: Collection[int]) -> list[str]:
    """Constraints for these, or for all: one, or more where they are scattered."""
    if not procs:
        return ["ProcId =!= undefined"]
    terms = [f"(ProcId >= {first} && ProcId <= {last})" for first, last in find_spans(procs)]
    return [f"({' || '.join(terms[at : at + SPANS_MAX])})" for at in range(0, len(terms), SPANS_MAX)]
