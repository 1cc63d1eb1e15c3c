"""Which workflows wait to be let in, and how much do the others use? Read by the few statements of admission.

What is in use are the active workflows of which a taskforce has come past activation.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select

from muster.domain.admission import AGE_S, Use, Waiting
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import WorkflowState
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import counter, delta, queue, taskforce, workflow
from muster.server.ports.store import Uses

_OVER = (Phase.CONDOR_RM, Phase.CONDOR_COMPLETE)


def list_waiting(session: Session, phase: Phase, *, limit: int) -> Sequence[Waiting]:
    """See `muster.server.ports.store.Workflows.list_waiting`."""
    waiting = (
        select(
            taskforce.c.workflow_id,
            func.max(taskforce.c.priority).label("priority"),
            func.min(taskforce.c.created_at).label("since"),
        )
        .where(taskforce.c.phase == phase)
        .group_by(taskforce.c.workflow_id)
        .subquery()
    )
    # The same at any time: who has waited longer stays ahead by as much.
    urgency = (waiting.c.priority - waiting.c.since / AGE_S).desc()
    place = func.row_number().over(partition_by=workflow.c.owner, order_by=(urgency, waiting.c.workflow_id))
    ranked = (
        select(waiting, workflow.c.owner, place.label("place"), urgency.element.label("urgency"))
        .join(workflow, workflow.c.workflow_id == waiting.c.workflow_id)
        .subquery()
    )
    query = (
        select(ranked.c.workflow_id, ranked.c.owner, ranked.c.priority, ranked.c.since)
        .where(ranked.c.place <= max(1, limit // 4))
        .order_by(ranked.c.urgency.desc(), ranked.c.workflow_id)
        .limit(limit)
    )
    return [Waiting(*row) for row in session.execute(query)]


def measure_use(session: Session, workflow_id: str, owner: str) -> Uses:
    """See `muster.server.ports.store.Workflows.measure_use`."""
    is_own = workflow.c.owner == owner
    is_this = workflow.c.workflow_id == workflow_id
    has_come_past = exists().where(
        taskforce.c.workflow_id == workflow.c.workflow_id, taskforce.c.phase != Phase.PRE_MQ_ACTIVATION
    )
    in_use = and_(workflow.c.state == WorkflowState.ACTIVE, has_come_past)
    queues = _by_owner(session, _join_queues(func.count(queue.c.number)), is_own, in_use)
    events = _by_owner(session, _join_queues(func.coalesce(func.sum(_left()), 0)), is_own, in_use)
    at_work = taskforce.c.phase.not_in((Phase.PRE_MQ_ACTIVATION, *_OVER))
    workers = _by_owner(session, _join_taskforces(), is_own, and_(at_work, _may_run()))
    new = and_(is_this, ~has_come_past)
    return Uses(
        own=Use(queues[0], workers[0], events[0]),
        every=Use(queues[1], workers[1], events[1]),
        wanted=Use(
            _scalar(session, _join_queues(func.count(queue.c.number)).where(new)),
            _scalar(session, _join_taskforces().where(is_this, taskforce.c.phase == Phase.PRE_MQ_ACTIVATION)),
            _scalar(session, _join_queues(func.coalesce(func.sum(_left()), 0)).where(new)),
        ),
    )


def _join_queues(what: ColumnElement[int]) -> Select[Any]:
    return select(what).select_from(workflow).join(queue, queue.c.workflow_id == workflow.c.workflow_id)


def _join_taskforces() -> Select[Any]:
    joined = workflow.join(taskforce, taskforce.c.workflow_id == workflow.c.workflow_id)
    return select(func.coalesce(func.sum(taskforce.c.n_workers), 0)).select_from(joined)


def _may_run() -> ColumnElement[bool]:
    """A taskforce that was told to stop before it had a cluster never ran, and never will."""
    return or_(taskforce.c.phase != Phase.PENDING_STOPPER, taskforce.c.cluster_id.is_not(None))


def _left() -> ColumnElement[int]:
    """Events of a queue that wait or are in work."""
    changes = (
        select(func.coalesce(func.sum(delta.c.waiting + delta.c.in_work), 0))
        .where(delta.c.queue == queue.c.number)
        .scalar_subquery()
    )
    kept = (
        select(func.coalesce(func.sum(counter.c.waiting + counter.c.in_work), 0))
        .where(counter.c.queue == queue.c.number)
        .scalar_subquery()
    )
    return kept + changes


def _by_owner(
    session: Session, query: Select[Any], is_own: ColumnElement[bool], counts: ColumnElement[bool]
) -> tuple[int, int]:
    """Of the owner, and of all."""
    every = query.where(counts)
    return _scalar(session, every.where(is_own)), _scalar(session, every)


def _scalar(session: Session, query: Select[Any]) -> int:
    return int(session.connection.scalar(query) or 0)
