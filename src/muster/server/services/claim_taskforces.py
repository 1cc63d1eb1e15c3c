"""Which taskforces shall this agent start and stop? Claimed, so that no two agents do the same (rule 9 of the design).

A claim has a time and a fencing number. The agent's own claims are given again with the same number, after a crash too;
another agent gets the next number, once the time is over, and from then on the former one's reports are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import anyio

from muster.domain.errors import Finding, InvalidError
from muster.domain.location import Agent
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import TaskDirective, Taskforce, WorkflowState
from muster.server.ports.store import OurAgent, TaskforceState, Transaction
from muster.server.services.note_asking import note_asking
from muster.server.services.parts import Parts
from muster.server.services.plan_workflow import get_location
from muster.server.services.waiting import wait_for
from muster.worker.crash_points import reach

LIMIT_MAX = 256
LEASE_S_MAX = 3600.0
ROUNDS_MAX = 10
"""Tries of one look, while other agents are faster."""
LOST_S = 0.25
"""Seconds that an answer is held back that only tells of losses."""
KEPT_S = 10.0
"""Seconds for which the order to stop goes only to the agent that started the taskforce: it alone knows all of it."""

_PLACED = frozenset({Phase.CONDOR_SUBMIT, Phase.CONDOR_RM})
"""In these an agent has nothing to be told, and something to tell: how the taskforce ends."""
_Claimable = Taskforce | TaskforceState


@dataclass(frozen=True)
class ClaimRequest:
    """What an agent asks for; see `client.shapes.sites.Claim`."""

    agent: str
    locations: Sequence[str]
    limit: int
    wait_s: float
    lease_s: float
    held: frozenset[str]


@dataclass(frozen=True)
class ClaimedStart:
    """A taskforce to start."""

    taskforce: Taskforce
    directive: TaskDirective


@dataclass(frozen=True)
class ClaimedStop:
    """A taskforce to stop; `grace_s` is how long its workers may finish what they have in hand."""

    taskforce: Taskforce
    grace_s: float


@dataclass(frozen=True)
class Claimed:
    """Orders under claim.

    Args:
        lost: held before, now another agent's, or over.
        expected: placed by this agent at these locations, by our books, and not named by it.
        was_outrun: another agent took what this one was about to take; there may be more.
    """

    start: Sequence[ClaimedStart] = ()
    stop: Sequence[ClaimedStop] = ()
    lost: Sequence[str] = ()
    expected: Sequence[TaskforceState] = ()
    was_outrun: bool = False

    @property
    def is_empty(self) -> bool:
        """Is there nothing to tell?"""
        return not (self.start or self.stop or self.lost or self.expected)


async def claim_taskforces(parts: Parts, request: ClaimRequest) -> Claimed:
    """Claim what there is; wait for it when there is nothing.

    Raises InvalidError: an unknown location, or one that upstream's agent serves.
    """
    places = _find_places(parts, request)
    topics = [f"{word}:{schedd}" for schedd in places.schedds for word in ("start", "stop")]

    async def look() -> Claimed | None:
        # With every look, so also while the call is parked, however long that may be.
        await note_asking(parts.store, parts.noted, Agent.MUSTER, places.locations, request.agent)
        for _ in range(ROUNDS_MAX):
            # Looked at beside the writer, since an agent may have thousands: what is found is locked and judged again before it is taken.
            seen = await parts.store.read(partial(_look, request=request, places=places))
            if not seen.to_take:
                told = Claimed(lost=seen.lost, expected=seen.expected)
                return None if told.is_empty else told
            claimed = await parts.store.write(partial(_claim, parts=parts, request=request, seen=seen))
            reach("server.claim.committed")
            if not claimed.is_empty:
                return claimed
            if not claimed.was_outrun:
                break
        return None

    claimed = await wait_for(parts, look, topics=topics, wait_s=request.wait_s) or Claimed()
    if (claimed.lost or claimed.expected) and not (claimed.start or claimed.stop):
        # An agent that goes on naming what it has lost, or not what it has, must not ask in a tight loop.
        await anyio.sleep(min(LOST_S, request.wait_s))
    return claimed


def _find_places(parts: Parts, request: ClaimRequest) -> OurAgent:
    findings: list[Finding] = []
    found = []
    for index, name in enumerate(request.locations):
        field = f"locations[{index}]"
        try:
            location = get_location(parts.locations, name, field=field)
        except InvalidError as error:
            findings.extend(error.findings)
            continue
        if location.agent is not Agent.MUSTER:
            findings.append(Finding(field, f"location {location.name} is served by upstream's agent"))
        found.append(location)
    if not request.locations:
        findings.append(Finding("locations", "must have at least 1 items"))
    if findings:
        raise InvalidError(findings)
    return OurAgent(request.agent, sorted({one.name for one in found}), sorted({one.schedd for one in found}))


@dataclass(frozen=True)
class _Seen:
    """What there seems to be for an agent.

    Args:
        start, stop: to be claimed, or claimed and to be renewed.
        told: of those, the ones whose order to start the agent has.
        lost: held before, now another agent's, or over.
        expected: as in `Claimed`.
    """

    start: Sequence[_Claimable]
    stop: Sequence[_Claimable]
    told: frozenset[str]
    lost: Sequence[str]
    expected: Sequence[TaskforceState]

    @property
    def to_take(self) -> Sequence[_Claimable]:
        return (*self.start, *self.stop)


def _look(tx: Transaction, request: ClaimRequest, places: OurAgent) -> _Seen:
    now = tx.now()
    mine = {one.taskforce_uuid: one for one in tx.taskforces.find_claimed(request.agent)}
    renewed = [one for one in mine.values() if one.taskforce_uuid in request.held]
    start = _choose_starts(tx, request, places, renewed, now=now)
    stop = _choose_stops(tx, request, places, renewed, now=now)
    lost = [uuid for uuid in request.held if (one := mine.get(uuid)) is None or _has_nothing_to_stop(one)]
    expected = [
        one
        for one in mine.values()
        # At these locations: where two agents have the same name, by mistake, each would say of the other's that they have ended.
        if one.phase in _PLACED and one.location in places.locations and one.taskforce_uuid not in request.held
    ]
    told = frozenset(one.taskforce_uuid for one in renewed)
    return _Seen(start, stop, told, sorted(lost), expected[:LIMIT_MAX])


def _claim(tx: Transaction, parts: Parts, request: ClaimRequest, seen: _Seen) -> Claimed:
    now = tx.now()
    # In the order of their names, so that two agents that want the same wait for each other, and never both.
    workflows = {
        workflow_id: tx.workflows.get(workflow_id, lock=True)
        for workflow_id in sorted({one.workflow_id for one in seen.to_take})
    }
    start: list[ClaimedStart] = []
    stop: list[ClaimedStop] = []
    was_outrun = False
    for one in seen.to_take:
        claimed = _take(tx, one, request, now=now)
        if claimed is None:
            was_outrun = True
            continue
        if claimed.phase is Phase.PENDING_STOPPER:
            # One of a workflow that was reopened since is stopped as its finished workflow wanted: with grace.
            is_aborted = workflows[claimed.workflow_id].state is WorkflowState.ABORTED
            stop.append(ClaimedStop(claimed, 0.0 if is_aborted else parts.settings.stop_grace_s))
        elif claimed.taskforce_uuid not in seen.told:
            start.append(
                ClaimedStart(claimed, tx.workflows.get_directive(claimed.task_id).at_revision(claimed.revision))
            )
    given = {one.taskforce.taskforce_uuid for one in start} | {one.taskforce.taskforce_uuid for one in stop}
    return Claimed(start, stop, sorted(set(seen.lost) - given), seen.expected, was_outrun)


def _choose_starts(
    tx: Transaction, request: ClaimRequest, places: OurAgent, renewed: Sequence[TaskforceState], *, now: float
) -> Sequence[_Claimable]:
    """Those whose claim is renewed, and as many others as are wanted."""
    again = [one for one in renewed if one.phase is Phase.PENDING_STARTER and _is_at(places, one)]
    found = tx.taskforces.find_startable(places, now=now, limit=request.limit + len(again))
    others = [one for one in found if one.taskforce_uuid not in request.held or one.claim_agent != request.agent]
    return [*again, *others[: request.limit]]


def _choose_stops(
    tx: Transaction, request: ClaimRequest, places: OurAgent, renewed: Sequence[TaskforceState], *, now: float
) -> Sequence[_Claimable]:
    """As many as are wanted of those that the agent was not told of, or long ago."""
    # A held one is told again at half of its time: the order may have been lost with a crash, and twice is as once.
    half = now + request.lease_s / 2
    told = {one.taskforce_uuid for one in renewed if one.claim_until is not None and one.claim_until > half}
    found = tx.taskforces.find_stoppable(places, now=now, limit=request.limit + len(told), kept_s=KEPT_S)
    return [one for one in found if one.taskforce_uuid not in told][: request.limit]


def _is_at(places: OurAgent, taskforce: TaskforceState) -> bool:
    is_there = taskforce.location in places.locations and taskforce.schedd in places.schedds
    return is_there and taskforce.held_reason is None


def _take(tx: Transaction, seen: _Claimable, request: ClaimRequest, *, now: float) -> Taskforce | None:
    """Claim a taskforce of a workflow that is locked, or renew the claim. None: it was taken, or moved on, meanwhile."""
    taskforce = tx.taskforces.get(seen.taskforce_uuid)
    is_mine = taskforce.claim_agent == request.agent
    if taskforce.phase is not seen.phase or taskforce.held_reason is not None:
        return None
    if not (is_mine or taskforce.claim_until is None or taskforce.claim_until <= now):
        return None
    fence = taskforce.claim_fence if is_mine else taskforce.claim_fence + 1
    claimed = replace(taskforce, claim_agent=request.agent, claim_fence=fence, claim_until=now + request.lease_s)
    tx.taskforces.update(claimed)
    return claimed


def _has_nothing_to_stop(taskforce: TaskforceState) -> bool:
    """Was it ended before a cluster was known? Then its agent has nothing more to do, unless it placed one: it looks."""
    return taskforce.phase is Phase.PENDING_STOPPER and taskforce.cluster_id is None
