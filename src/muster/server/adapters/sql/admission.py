"""Which workflows wait to be let in, and how much do the others use? Read by the few statements of admission.

What is in use are the active workflows of which a taskforce has come past activation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from muster.domain.admission import AGE_S, TURN, Waiting
from muster.domain.asking import SILENT_S
from muster.domain.location import Agent, Location
from muster.domain.occupancy import Occupant
from muster.domain.room import OVERTAKEN_S, InUse, Resource, Use, Wants
from muster.domain.standing import STUCK, Standing, Standings
from muster.domain.taskforce_phase import AT_WORK, ENDING, Phase
from muster.domain.workflow import WorkflowState
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import asking, counter, delta, queue, taskforce, workflow


def list_waiting(
    session: Session, phase: Phase, *, limit: int, of_each: int, without: Collection[str]
) -> Sequence[Waiting]:
    """See `muster.server.ports.store.Workflows.list_waiting`."""
    values = {"phase": phase, "limit": limit, "of_each": of_each, "without": list(without)}
    rows = session.execute(_WAITING, values)
    return [Waiting(*row) for row in rows]


def measure_use(session: Session, *, with_events: bool) -> Sequence[InUse]:
    """See `muster.server.ports.store.Workflows.measure_use`."""
    queues_used = [
        InUse(owner, since, Use(queues=queues, events=int(events)))
        for owner, since, queues, events in session.execute(_QUEUES_USED[with_events])
    ]
    return queues_used + [
        InUse(owner, since, Use(workers=int(workers))) for owner, since, workers in session.execute(_WORKERS_USED)
    ]


def measure_wants(session: Session, workflow_ids: Collection[str], *, with_events: bool) -> Wants:
    """See `muster.server.ports.store.Workflows.measure_wants`."""
    wanted: dict[str, Use] = {}
    these = {"workflow_ids": list(workflow_ids)}
    for workflow_id, queues, events in session.execute(_QUEUES_WANTED[with_events], these):
        wanted[workflow_id] = Use(queues=queues, events=int(events))
    for workflow_id, workers in session.execute(_WORKERS_WANTED, these):
        wanted[workflow_id] = wanted.get(workflow_id, Use()) + Use(workers=int(workers))
    new, stranded = (set(session.execute(which, these).scalars()) for which in (_NEW, _STRANDED))
    return Wants(wanted, new, stranded)


def list_occupants(session: Session, what: Resource, *, owner: str, limit: int) -> Sequence[Occupant]:
    """See `muster.server.ports.store.Workflows.list_occupants`."""
    rows = session.execute(_OCCUPANTS[what], {"owner": owner, "limit": limit})
    return [Occupant(workflow_id, int(amount)) for workflow_id, amount in rows]


def list_standing(
    session: Session, what: Resource, *, known: Mapping[str, Location], owner: str | None, of_each: int
) -> Standings:
    """See `muster.server.ports.store.Workflows.list_standing`."""
    values: dict[str, Any] = {
        "places": sorted({(one.name, one.schedd) for one in known.values()}),
        "ours": sorted(name for name, one in known.items() if one.agent is Agent.MUSTER),
        "now": session.now(),
        "heard": session.now() - SILENT_S[Agent.UPSTREAM],
        "of_each": of_each,
        **({} if owner is None else {"owner": owner}),
    }
    rows = list(session.execute(_STANDING[what, owner is not None], values))
    return Standings(
        by_owner={row.owner: int(row.theirs) for row in rows},
        most=[
            Standing(row.workflow_id, row.owner, int(row.amount), is_active=row.state == WorkflowState.ACTIVE)
            for row in rows
        ],
    )


# Built once: building them takes longer than carrying them out.


def _select_waiting() -> Select[Any]:
    waiting = (
        select(
            taskforce.c.workflow_id,
            func.max(taskforce.c.priority).label("priority"),
            func.min(taskforce.c.created_at).label("since"),
        )
        .where(taskforce.c.phase == bindparam("phase"))
        .group_by(taskforce.c.workflow_id)
        .subquery()
    )
    # The same at any time: who has waited longer stays ahead by as much.
    urgency = (waiting.c.priority - waiting.c.since / AGE_S).desc()
    # Among equals the older one, then any fixed order.
    place = func.row_number().over(
        partition_by=workflow.c.owner, order_by=(urgency, waiting.c.since, waiting.c.workflow_id)
    )
    # As `domain.admission.order` has it: else those of a few owners who have no room would be all that is looked at.
    turn = urgency.element - TURN * (place - 1)
    ranked = (
        select(waiting, workflow.c.owner, place.label("place"), turn.label("turn"))
        .join(workflow, workflow.c.workflow_id == waiting.c.workflow_id)
        .where(workflow.c.brake.is_(None), workflow.c.owner.not_in(bindparam("without", expanding=True)))
        .subquery()
    )
    return (
        select(ranked.c.workflow_id, ranked.c.owner, ranked.c.priority, ranked.c.since)
        .where(ranked.c.place <= bindparam("of_each"))
        .order_by(ranked.c.turn.desc(), ranked.c.since, ranked.c.workflow_id)
        .limit(bindparam("limit"))
    )


@dataclass(frozen=True)
class _By:
    """What is added up together: those of an owner that came at about the same time, or those of a workflow."""

    shown: Sequence[ColumnElement[Any]]
    group: Sequence[ColumnElement[Any]]


def _by_owner(time: ColumnElement[float]) -> _By:
    return _By((workflow.c.owner, func.min(time)), (workflow.c.owner, cast(time / OVERTAKEN_S, BigInteger)))


_WORKFLOWS = _By((workflow.c.workflow_id,), (workflow.c.workflow_id,))
_SHOWN = ("workflow_id", "owner", "state")
_WITH_OWNERS = _By(tuple(workflow.c[name] for name in _SHOWN), tuple(workflow.c[name] for name in _SHOWN))


def _select_queues(by: _By, which: ColumnElement[bool], *, with_events: bool) -> Select[Any]:
    """How many queues, and events in them that wait or are in work."""
    tables: FromClause = workflow.join(queue, queue.c.workflow_id == workflow.c.workflow_id)
    events: ColumnElement[Any] = literal(0)
    if with_events:
        # The changes are added up once, and not looked through for each queue: they have no index.
        changes = (
            select(delta.c.queue, func.sum(delta.c.waiting + delta.c.in_work).label("left"))
            .group_by(delta.c.queue)
            .subquery()
        )
        tables = tables.outerjoin(counter, counter.c.queue == queue.c.number)
        tables = tables.outerjoin(changes, changes.c.queue == queue.c.number)
        left = func.coalesce(counter.c.waiting + counter.c.in_work, 0) + func.coalesce(changes.c.left, 0)
        events = func.sum(left)
    return (
        select(*by.shown, func.count().label("queues"), events.label("events"))
        .select_from(tables)
        .where(which)
        .group_by(*by.group)
    )


def _select_workers(by: _By, which: ColumnElement[bool]) -> Select[Any]:
    joined = workflow.join(taskforce, taskforce.c.workflow_id == workflow.c.workflow_id)
    workers = func.sum(taskforce.c.n_workers).label("workers")
    return select(*by.shown, workers).select_from(joined).where(which).group_by(*by.group)


def _select_most(sums: Select[Any], amount: str) -> Select[Any]:
    """Of those that are added up by workflow, the ones that have most."""
    found = sums.subquery()
    most = found.c[amount]
    return (
        select(found.c.workflow_id, most)
        .where(most > 0)
        .order_by(most.desc(), found.c.workflow_id)
        .limit(bindparam("limit"))
    )


def _select_standing(what: Resource, which: ColumnElement[bool]) -> Select[Any]:
    """Of each owner those that keep most, each with what all of that owner keep."""
    if what == "workers":
        found = _select_workers(_WITH_OWNERS, and_(_IS_STUCK, which)).subquery()
    else:
        found = _select_queues(_WITH_OWNERS, and_(_STANDS, which), with_events=what == "events").subquery()
    amount, owner = found.c[what], found.c.owner
    place = func.row_number().over(partition_by=owner, order_by=(amount.desc(), found.c.workflow_id))
    theirs = func.sum(amount).over(partition_by=owner)
    shown = (*(found.c[name] for name in _SHOWN), amount.label("amount"), theirs.label("theirs"), place.label("place"))
    ranked = select(*shown).where(amount > 0).subquery()
    return (
        select(ranked)
        .where(ranked.c.place <= bindparam("of_each"))
        .order_by(ranked.c.amount.desc(), ranked.c.workflow_id)
    )


_HAS_COME_PAST = exists().where(
    taskforce.c.workflow_id == workflow.c.workflow_id, taskforce.c.phase != Phase.PRE_MQ_ACTIVATION
)
_THESE = workflow.c.workflow_id.in_(bindparam("workflow_ids", expanding=True))
_IN_USE = and_(workflow.c.state == WorkflowState.ACTIVE, _HAS_COME_PAST)
# A taskforce that was told to stop before it had a cluster never ran, and never will.
_RUNS = and_(
    taskforce.c.phase.in_(AT_WORK),
    or_(taskforce.c.phase != Phase.PENDING_STOPPER, taskforce.c.cluster_id.is_not(None)),
)
_WAITING = _select_waiting()
_NEW = select(workflow.c.workflow_id).where(_THESE, ~_HAS_COME_PAST)
_STRANDED = select(workflow.c.workflow_id).where(
    _THESE, _HAS_COME_PAST, ~exists().where(taskforce.c.workflow_id == workflow.c.workflow_id, _RUNS)
)
_QUEUES_USED = {
    with_events: _select_queues(_by_owner(workflow.c.created_at), _IN_USE, with_events=with_events)
    for with_events in (False, True)
}
_QUEUES_WANTED = {
    with_events: _select_queues(_WORKFLOWS, and_(_THESE, ~_HAS_COME_PAST), with_events=with_events)
    for with_events in (False, True)
}
_WORKERS_USED = _select_workers(_by_owner(taskforce.c.created_at), _RUNS)
_WORKERS_WANTED = _select_workers(_WORKFLOWS, and_(_THESE, taskforce.c.phase == Phase.PRE_MQ_ACTIVATION))
_OWNERS = workflow.c.owner == bindparam("owner")
_OCCUPANTS: Mapping[Resource, Select[Any]] = {
    "queues": _select_most(_select_queues(_WORKFLOWS, and_(_IN_USE, _OWNERS), with_events=False), "queues"),
    "workers": _select_most(_select_workers(_WORKFLOWS, and_(_RUNS, _OWNERS)), "workers"),
    "events": _select_most(_select_queues(_WORKFLOWS, and_(_IN_USE, _OWNERS), with_events=True), "events"),
}
# As `domain.displacement` has it.
_IS_SERVED = tuple_(taskforce.c.location, taskforce.c.schedd).in_(bindparam("places", expanding=True))
_IS_OFFERED = and_(
    taskforce.c.location.not_in(bindparam("ours", expanding=True)),
    taskforce.c.schedd.in_(
        select(asking.c.place).where(asking.c.kind == Agent.UPSTREAM, asking.c.at >= bindparam("heard"))
    ),
)
_IS_IN_HAND = func.coalesce(taskforce.c.claim_until, 0.0) > bindparam("now")
_IS_STUCK = and_(
    taskforce.c.phase.in_(STUCK),
    _RUNS,
    or_(taskforce.c.held_reason.is_not(None), ~or_(_IS_IN_HAND, _IS_SERVED, _IS_OFFERED)),
)
_IS_TRIED = and_(taskforce.c.phase.not_in(ENDING), ~_IS_STUCK)
_STANDS = and_(
    _IN_USE,
    exists().where(taskforce.c.workflow_id == workflow.c.workflow_id, taskforce.c.phase.not_in(ENDING)),
    ~exists().where(taskforce.c.workflow_id == workflow.c.workflow_id, _IS_TRIED),
)
_STANDING: Mapping[tuple[Resource, bool], Select[Any]] = {
    (what, is_owners): _select_standing(what, _OWNERS if is_owners else true())
    for what in get_args(Resource)
    for is_owners in (False, True)
}
