"""Workflows whose time is over, and rows that are old by themselves.

A queue that is removed is written into `removed_queue`: from then on nobody finds it, and its rows go later (`removed`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    tuple_,
    update,
)

from muster.domain.attempt import FAILED_ENDS, AttemptEnd
from muster.domain.ids import first_id_at
from muster.domain.location import Agent
from muster.domain.retention import GONE_S, Kept
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import WorkflowState
from muster.server.adapters.sql.file_schema import file
from muster.server.adapters.sql.hosts_schema import host_record
from muster.server.adapters.sql.mq_schema import jwk, mq_group, mq_profile
from muster.server.adapters.sql.removed import MARGIN
from muster.server.adapters.sql.replicas import find_last_number
from muster.server.adapters.sql.retention_schema import PURGED_PARTS, USAGE_SUMMED, attempt_log, purged, removed_queue
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import (
    asking,
    attempt,
    counter,
    dead,
    delayed,
    delta,
    event,
    finished,
    holder,
    holder_live,
    metadata,
    outbox,
    phase_log,
    queue,
    ready,
    replica,
    secret,
    task_directive,
    taskforce,
    workflow,
)
from muster.server.adapters.sql.usage_sums import USAGE, sum_parts, sum_rows
from muster.server.adapters.sql.worker_orders_schema import worker_order
from muster.server.ports.queue_engine import BodyKind
from muster.server.ports.retention import After, Due, Manner, Standing, Swept

_ENDED = (WorkflowState.FINISHED, WorkflowState.ABORTED)
_OF_WORK = tuple(table for table in metadata.sorted_tables if table not in {jwk, replica, secret, asking, file})
"""All but what a service is known by, who looked for work, and what is in the file store: that goes as what no event refers to."""
_IS_NOT_NEWEST = outbox.c.number < select(func.max(outbox.alias("every").c.number)).scalar_subquery()
"""The newest notice stays: SQLite counts on from the highest number that is there, and a place must never come again."""


class SqlRetention:
    """See `muster.server.ports.retention.Retention`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- workflows -----------------------------------------------------------------------------------------------

    def find_due(self, before: float, *, after: int, limit: int) -> Sequence[Due]:
        query = (
            select(workflow.c.number, workflow.c.workflow_id, workflow.c.ended_at)
            .where(workflow.c.state.in_(_ENDED), workflow.c.ended_at < before, workflow.c.number > after)
            .order_by(workflow.c.number)
            .limit(limit)
        )
        return [Due(*row) for row in self._session.execute(query)]

    def look_at(self, workflow_id: str) -> Standing:
        of_this = select(queue.c.number).where(queue.c.workflow_id == workflow_id)
        of_results = of_this.where(queue.c.is_output, ~queue.c.is_input, queue.c.is_public)
        of_taskforces = select(taskforce.c.taskforce_uuid).where(taskforce.c.workflow_id == workflow_id)
        of_taskforces_left = of_taskforces.where(taskforce.c.phase != Phase.CONDOR_COMPLETE)
        clusters = of_taskforces_left.where(taskforce.c.cluster_id.is_not(None), self._is_heard_of())
        orders = of_taskforces_left.where(taskforce.c.cluster_id.is_(None), _was_ordered())
        living = select(holder.c.number)
        workers = living.where(holder.c.taskforce_uuid.in_(of_taskforces), holder.c.ended.is_(None))
        consumers = living.join(holder_live, holder_live.c.number == holder.c.number).where(
            holder.c.consumer_queue.in_(of_this)
        )
        return Standing(
            events=self._sum(counter.c.published, of_this)
            + self._sum(delta.c.published, of_this)
            - self._sum(purged.c.published, of_this),
            unread=self._count(ready, of_results) + self._count(delayed, of_results),
            has_clusters=self._finds(clusters),
            has_orders=self._finds(orders),
            has_sessions=self._finds(workers) or self._finds(consumers),
        )

    def _find_span(self, workflow_id: str) -> tuple[int, int]:
        """No event of the workflow has a lower number than the first, nor a higher one than the second.

        Nobody publishes after its end, and workers hand in until their taskforce is complete: then their sessions end. Numbers never go
        back, and a clock that was set back does: so what was numbered counts as well as when it was.
        """
        of_this = workflow.c.workflow_id == workflow_id
        taskforces = select(taskforce.c.taskforce_uuid).where(taskforce.c.workflow_id == workflow_id)
        of_changes = phase_log.c.taskforce_uuid.in_(taskforces)
        made = select(workflow.c.number, workflow.c.created_at, workflow.c.ended_at).where(of_this)
        launched = select(func.max(taskforce.c.number)).where(taskforce.c.workflow_id == workflow_id)
        changed = select(func.min(phase_log.c.at), func.max(phase_log.c.at)).where(of_changes)
        number, *times = self._session.execute(made).one()
        times += self._session.execute(changed).one()
        numbers = [number, self._session.connection.scalar(launched)]
        known = [one for one in numbers if one] + [first_id_at(at) for at in times if at is not None]
        started = or_(taskforce.c.cluster_id.is_not(None), _was_ordered())
        may_work = self._finds(taskforces.where(taskforce.c.phase != Phase.CONDOR_COMPLETE, started))
        newest = max(self._session.take_number(), find_last_number(self._session.connection))
        if may_work or newest > first_id_at(self._session.now()) + MARGIN:  # the clock has not caught up with them
            known.append(newest)
        return min(known) - MARGIN, max(known) + MARGIN

    def _is_heard_of(self) -> ColumnElement[bool]:
        """Does an agent of the taskforce's site ask for work?"""
        return exists().where(
            or_(
                and_(asking.c.kind == Agent.MUSTER, asking.c.place == taskforce.c.location),
                and_(asking.c.kind == Agent.UPSTREAM, asking.c.place == taskforce.c.schedd),
            ),
            asking.c.at > self._session.now() - GONE_S,
        )

    def remove_workflow(self, workflow_id: str) -> None:
        of_this = workflow.c.workflow_id == workflow_id
        first, last = self._find_span(workflow_id)
        uuids = select(taskforce.c.taskforce_uuid).where(taskforce.c.workflow_id == workflow_id)
        tasks = select(task_directive.c.task_id).where(task_directive.c.workflow_id == workflow_id)
        removed = select(
            queue.c.number,
            queue.c.workflow_id,
            literal(self._session.now()),
            literal(first),
            literal(last),
        ).where(queue.c.workflow_id == workflow_id)
        self._session.execute(
            insert(removed_queue).from_select(["number", "workflow_id", "removed_at", "first", "last"], removed)
        )
        for table, condition in (
            (phase_log, phase_log.c.taskforce_uuid.in_(uuids)),
            (worker_order, worker_order.c.taskforce_uuid.in_(uuids)),
            (host_record, host_record.c.task_id.in_(tasks)),
            (taskforce, taskforce.c.workflow_id == workflow_id),
            (task_directive, task_directive.c.workflow_id == workflow_id),
            (queue, queue.c.workflow_id == workflow_id),
            (mq_profile, mq_profile.c.workflow_id == workflow_id),
            (mq_group, mq_group.c.workflow_id == workflow_id),
            (outbox, and_(outbox.c.subject == workflow_id, _IS_NOT_NEWEST)),
            (workflow, of_this),
        ):
            self._session.execute(delete(table).where(condition))

    def _sum(self, column: ColumnElement[int], queues: Select[Any]) -> int:
        query = select(func.coalesce(func.sum(column), 0)).where(column.table.c.queue.in_(queues))
        return int(self._session.connection.scalar(query) or 0)

    def _count(self, table: Table, queues: Select[Any]) -> int:
        query = select(func.count()).select_from(table).where(table.c.queue.in_(queues))
        return self._session.connection.scalar(query) or 0

    def _finds(self, query: Select[Any]) -> bool:
        return self._session.connection.scalar(query.limit(1)) is not None

    # -- single events -------------------------------------------------------------------------------------------

    def sweep_done(self, kept: Kept, after: After, cut: float, *, limit: int, manner: Manner) -> Swept:
        query = (
            select(finished.c.event, finished.c.at)
            .join(queue, queue.c.number == finished.c.queue)
            .where(finished.c.event > after[0], finished.c.event < first_id_at(cut))
            .where(queue.c.workflow_id.not_in(_going(manner)))
            .order_by(finished.c.event)
            .limit(limit)
        )
        rows = self._session.execute(query).all()
        whole_before = 0.0 if kept is Kept.EVENTS else manner.whole_before or 0.0
        due = [row.event for row in rows if whole_before <= row.at < cut]
        waiting = next((row.event for row in rows if row.at >= cut), None)
        passed = after[1] or int(waiting is not None)
        settled = None
        if rows and not after[1]:
            settled = rows[-1].event if waiting is None else waiting - 1
        return Swept(
            (rows[-1].event, passed) if len(rows) == limit else None,
            self._remove_done(kept, due, is_dry=manner.is_dry),
            settled,
        )

    def _remove_done(self, kept: Kept, due: Sequence[int], *, is_dry: bool) -> Mapping[Kept, int]:
        if kept is Kept.BODIES:
            return {kept: self._empty(due, is_dry=is_dry)}
        attempts = self._remove_attempts(due, is_dry=is_dry)
        if kept is Kept.ATTEMPTS:
            return {kept: attempts}
        if not is_dry:
            self._remove_events(due, part="done", table=finished)
        return {Kept.EVENTS: len(due), Kept.ATTEMPTS: attempts}

    def sweep_dead_letters(self, after: After, cut: float, *, limit: int, manner: Manner) -> Swept:
        query = (
            select(dead.c.queue, dead.c.event, dead.c.at)
            .join(queue, queue.c.number == dead.c.queue)
            .where(tuple_(dead.c.queue, dead.c.event) > tuple_(literal(after[0]), literal(after[1])))
            .where(dead.c.event < first_id_at(cut))
            .order_by(dead.c.queue, dead.c.event)
            .limit(limit)
        )
        query = query.where(queue.c.workflow_id.not_in(_going(manner)))
        rows = self._session.execute(query).all()
        old = [row.event for row in rows if row.at < cut]
        removed = len(old)
        if not manner.is_dry:
            gone = self._remove_events(old, part="dead", table=dead)
            self._remove_attempts(gone, is_dry=False)
            removed = len(gone)
        place = (rows[-1].queue, rows[-1].event) if len(rows) == limit else None
        return Swept(place, {Kept.DEAD_LETTERS: removed})

    def _remove_events(self, events: Sequence[int], *, part: str, table: Table) -> list[int]:
        """Those that were in this table still, which is what says that they are to go."""
        if not events:
            return []
        told = [table.c.event, table.c.queue, *(finished.c[name] for name in USAGE if table is finished)]
        rows = self._session.execute(delete(table).where(table.c.event.in_(events)).returning(*told)).all()
        gone = [row.event for row in rows]
        self._session.execute(delete(event).where(event.c.id.in_(gone)))
        for number in sorted({row.queue for row in rows}):
            of_queue = [row for row in rows if row.queue == number]
            counts = {"published": len(of_queue), part: len(of_queue)}
            self._note(number, counts | (sum_rows(of_queue) if table is finished else {}))
        return gone

    def _remove_attempts(self, events: Sequence[int], *, is_dry: bool) -> int:
        """Attempts of these events; returns how many."""
        if not events:
            return 0
        of_these = attempt.c.event.in_(events)
        count = func.count()
        failed = func.sum(case((attempt.c.end.in_(FAILED_ENDS), 1), else_=0))
        duplicates = func.sum(case((attempt.c.end == AttemptEnd.DUPLICATE, 1), else_=0))
        query = select(attempt.c.queue, count, failed, duplicates, *sum_parts(attempt)).where(of_these)
        query = query.group_by(attempt.c.queue)
        rows = self._session.execute(query.order_by(attempt.c.queue)).all()
        if not is_dry and rows:
            self._session.execute(delete(attempt).where(of_these))
            self._session.execute(delete(attempt_log).where(attempt_log.c.event.in_(events)))
            for number, _, of_failed, of_duplicates, *taken in rows:
                usage = dict(zip(USAGE_SUMMED, map(int, taken), strict=True))
                self._note(number, {"failed": int(of_failed), "duplicates": int(of_duplicates)} | usage)
        return sum(row[1] for row in rows)

    def _empty(self, events: Sequence[int], *, is_dry: bool) -> int:
        """Take the bodies of these events away; returns how many had one."""
        if not events:
            return 0
        has_body = and_(event.c.id.in_(events), event.c.kind != BodyKind.PURGED.value)
        if is_dry:
            return self._session.connection.scalar(select(func.count()).select_from(event).where(has_body)) or 0
        emptied = self._session.execute(update(event).where(has_body).values(kind=BodyKind.PURGED.value, body=b""))
        self._session.execute(
            update(finished)
            .where(finished.c.event.in_(events), finished.c.result.is_not(None))
            .values(kind=null(), result=null())
        )
        return int(emptied.rowcount)

    def _note(self, number: int, counts: Mapping[str, int]) -> None:
        """So many more rows of a queue are not kept any more, and still count."""
        added = {part: purged.c[part] + count for part, count in counts.items()}
        changed = self._session.execute(update(purged).where(purged.c.queue == number).values(added))
        if changed.rowcount == 0:
            self._session.execute(insert(purged), {"queue": number} | dict.fromkeys(PURGED_PARTS, 0) | dict(counts))

    # -- notices -------------------------------------------------------------------------------------------------

    def sweep_notices(self, after: After, cut: float, *, limit: int, manner: Manner) -> Swept:
        query = select(outbox.c.number, outbox.c.at).where(outbox.c.number > after[0])
        rows = self._session.execute(query.order_by(outbox.c.number).limit(limit)).all()
        old = [row.number for row in rows if row.at < cut]
        if not old:  # numbers grow with time, but for transactions that took long
            return Swept(None)
        chosen = outbox.c.number.in_(old), outbox.c.subject.not_in(_going(manner)), _IS_NOT_NEWEST
        if manner.is_dry:
            count = self._session.connection.scalar(select(func.count()).select_from(outbox).where(*chosen)) or 0
        else:
            count = self._session.execute(delete(outbox).where(*chosen)).rowcount
        return Swept((rows[-1].number, 0) if len(rows) == limit else None, {Kept.NOTICES: count})

    # -- everything ----------------------------------------------------------------------------------------------

    def remove_all(self) -> int:
        count = self._session.connection.scalar(select(func.count()).select_from(workflow)) or 0
        highest = self._session.connection.scalar(select(func.max(queue.c.number)))
        if self._session.is_postgres:
            self._session.execute(text(f"TRUNCATE {', '.join(table.name for table in _OF_WORK)}"))
            return count
        if highest is not None:  # numbers count on from there
            row = {"number": highest, "workflow_id": "", "removed_at": 0.0, "first": 0, "last": 0, "swept": True}
            self._session.execute(delete(removed_queue).where(removed_queue.c.number == highest))
            self._session.execute(insert(removed_queue), row)
        self._session.execute(delete(outbox).where(_IS_NOT_NEWEST))
        for table in _OF_WORK:
            if table not in {removed_queue, outbox}:
                self._session.execute(delete(table))
        return count


def _was_ordered() -> ColumnElement[bool]:
    """May a site have started the taskforce?"""
    return exists().where(
        phase_log.c.taskforce_uuid == taskforce.c.taskforce_uuid,
        phase_log.c.target_phase == Phase.PENDING_STARTER,
        phase_log.c.was_successful,
    )


def _going(manner: Manner) -> Select[Any]:
    """Workflows whose time is over."""
    ended = select(workflow.c.workflow_id).where(workflow.c.state.in_(_ENDED))
    return ended.where(false() if manner.due_before is None else workflow.c.ended_at < manner.due_before)
