"""How are single procs of a cluster held, released, removed and read about? By constraints that name only those of which it can be said.

A factory's own ad is meant where all procs are: held, it makes no more of them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import anyio
import anyio.to_thread

from muster.domain.errors import ConflictError, RejectedError
from muster.domain.worker_order import OrderAction, WorkerLog
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.htcondor.elsewhere import Elsewhere
from muster.site.adapters.htcondor.folder import PoolFolder
from muster.site.adapters.htcondor.held import OFF_ITS_MACHINE
from muster.site.adapters.htcondor.peek import add_running
from muster.site.adapters.htcondor.placing import Known
from muster.site.adapters.htcondor.queue import JobStatus, name_cluster
from muster.site.adapters.htcondor.schedd import Action, Schedd
from muster.site.adapters.htcondor.worker_logs import find_worker_logs

SPANS_MAX = 100
"""Spans of procs that one call names."""
OFF_S = 20.0
"""Seconds that procs which are to be released may take to get off the machine on which they were held."""
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
        """See `Pool.act`. Raises UnavailableError: another schedd has the cluster."""
        if known.placed is None or known.placed.is_removing:
            raise ConflictError(f"cluster {known.asked.tag} is being removed")
        await self._elsewhere.check(known)
        return await act_on(self._schedd, known.placed.cluster, known.asked.tag, action, procs, reason=reason)

    async def read_logs(self, known: Known | None, tag: str, proc: int) -> Sequence[WorkerLog]:
        """See `Pool.read_logs`. `known`: None for a cluster that was forgotten."""
        place = None if known is None else known.find_place()
        with disk_errors(self._folder.path):
            found = await anyio.to_thread.run_sync(find_worker_logs, self._folder, place, tag, proc)
        return found if place is None else await add_running(self._schedd, place.cluster, proc, found)


async def act_on(
    schedd: Schedd, cluster: int, tag: str, action: OrderAction, procs: Collection[int], *, reason: str
) -> int:
    """See `Pool.act`. Raises RejectedError: HTCondor forbids it to this user."""
    ours = name_cluster(cluster, tag)
    fits = f"{ours} && {_name_states(_OF[action])}"
    done = 0
    for named in _name_procs(procs):
        found = await schedd.query(f"{fits} && {named}", ["ProcId"])
        done += len(found)
        if found and action is OrderAction.RELEASE:
            # Released while its machine still has it, one may wait for minutes, unmatched.
            await _await_off(schedd, f"{fits} && {named}")
        everything = "" if procs else f" || ({ours} && ProcId =?= undefined)"
        acted = await schedd.act(_ACTIONS[action], f"({fits} && {named}){everything}", reason=reason)
        if acted.denied:
            raise RejectedError(
                f"cluster {cluster}: HTCondor does not let this user {action} {acted.denied} procs; "
                "only their owner and queue super users may"
            )
    return done


async def _await_off(schedd: Schedd, those: str) -> None:
    with anyio.move_on_after(OFF_S):
        while await schedd.query(f"{those} && !({OFF_ITS_MACHINE})", ["ProcId"], limit=1):  # noqa: ASYNC110 - a queue rings no bell
            await anyio.sleep(LOOK_S)


def _name_states(states: Iterable[JobStatus]) -> str:
    return f"member(JobStatus, {{{', '.join(str(int(one)) for one in states)}}})"


def _name_procs(procs: Collection[int]) -> list[str]:
    """Constraints for these, or for all: one, or more where they are scattered."""
    if not procs:
        return ["ProcId =!= undefined"]
    spans: list[list[int]] = []
    for proc in sorted(set(procs)):
        if spans and proc == spans[-1][1] + 1:
            spans[-1][1] = proc
        else:
            spans.append([proc, proc])
    terms = [f"(ProcId >= {first} && ProcId <= {last})" for first, last in spans]
    return [f"({' || '.join(terms[at : at + SPANS_MAX])})" for at in range(0, len(terms), SPANS_MAX)]
