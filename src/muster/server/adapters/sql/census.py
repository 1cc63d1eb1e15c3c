"""Sums over the tables, by indexes that hold what is active."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, func, or_, select

from muster.domain.event_state import EventState
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import WorkflowState
from muster.server.adapters.sql.outbox import count_held_back
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import counter, delayed, holder, holder_live, leased, queue, taskforce, workflow
from muster.server.ports.census import HELD_BACK_MAX, Counted, PlaceCounts

_STATES = tuple(state.value for state in EventState)
_UNDER_WAY = tuple(phase for phase in Phase if phase is not Phase.CONDOR_COMPLETE)
_IS_UNDER_WAY = (
    taskforce.c.phase.in_(_UNDER_WAY),
    # Ended before it had a cluster: there is nothing to stop, and it stays where it is.
    or_(taskforce.c.phase != Phase.PENDING_STOPPER, taskforce.c.cluster_id.is_not(None)),
)
_WORD_OF = {
    Phase.PENDING_STARTER: "waiting",
    Phase.CONDOR_SUBMIT: "running",
    Phase.PENDING_STOPPER: "stopping",
    Phase.CONDOR_RM: "stopping",
}
"""What a taskforce in a phase that its agent knows of counts as, unless it is held."""


class SqlCensus:
    """See `muster.server.ports.census.Census`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def count(self) -> Counted:
        run = self._session.execute
        workflows = run(select(workflow.c.state, func.count()).group_by(workflow.c.state))
        taskforces = run(
            select(taskforce.c.phase, taskforce.c.location, func.count())
            .where(*_IS_UNDER_WAY)
            .group_by(taskforce.c.phase, taskforce.c.location)
        )
        events = run(
            select(queue.c.is_input, *(func.sum(counter.c[state]) for state in _STATES))
            .select_from(workflow)
            .join(queue, queue.c.workflow_id == workflow.c.workflow_id)
            .join(counter, counter.c.queue == queue.c.number)
            .where(workflow.c.state == WorkflowState.ACTIVE)
            .group_by(queue.c.is_input)
        )
        sessions = run(
            select(holder.c.taskforce_uuid.is_not(None), func.count())
            .select_from(holder_live)
            .join(holder, holder.c.number == holder_live.c.number)
            .group_by(holder.c.taskforce_uuid.is_not(None))
        )
        return Counted(
            workflows={state: int(count) for state, count in workflows},
            taskforces={(phase, location): int(count) for phase, location, count in taskforces},
            events={
                ("tasks" if is_input else "people", state): int(count)
                for is_input, *counts in events
                for state, count in zip(_STATES, counts, strict=True)
            },
            pausing=self._ask(select(func.count()).select_from(delayed)),
            leases=self._ask(select(func.count()).select_from(leased)),
            sessions={"workers" if is_worker else "consumers": int(count) for is_worker, count in sessions},
            held_back=count_held_back(self._session, limit=HELD_BACK_MAX),
        )

    def count_places(self) -> Mapping[tuple[str, str], PlaceCounts]:
        place, is_held = (taskforce.c.location, taskforce.c.schedd), taskforce.c.held_reason.is_not(None)
        taskforces = self._session.execute(
            select(*place, taskforce.c.phase, is_held, func.count())
            .where(*_IS_UNDER_WAY)
            .group_by(*place, taskforce.c.phase, is_held)
        )
        sessions = self._session.execute(
            select(*place, func.count())
            .select_from(holder_live)
            .join(holder, holder.c.number == holder_live.c.number)
            .join(taskforce, taskforce.c.taskforce_uuid == holder.c.taskforce_uuid)
            .group_by(*place)
        )
        found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for location, schedd, phase, held, count in taskforces:
            if held:
                found[location, schedd]["held"] += int(count)
            elif (word := _WORD_OF.get(Phase(phase))) is not None:
                found[location, schedd][word] += int(count)
        for location, schedd, count in sessions:
            found[location, schedd]["sessions"] += int(count)
        return {at: PlaceCounts(**counts) for at, counts in found.items()}

    def _ask(self, query: Select[Any]) -> int:
        return int(self._session.connection.scalar(query) or 0)
