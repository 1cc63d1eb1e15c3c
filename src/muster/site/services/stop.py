"""How is a taskforce stopped so that nothing of it is left, and the service told once that is seen?"""

import contextlib
from dataclasses import replace

from muster.client.shapes.sites import Removed, SiteFailure, StopOrder
from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.site.ports.journal import Record, Stage
from muster.site.services.parts import Parts
from muster.worker import crash_points

LEAVE_S = 8.0
"""Seconds beyond the grace that workers may use to hand in what they ended, before they are killed."""


async def accept_stop(parts: Parts, record: Record | None, order: StopOrder) -> Record:
    """Write down that a taskforce is to be stopped; also one that nobody here remembers: `stop` asks the pool.

    One of an older claim changes nothing. The same order again can only shorten the grace.
    """
    if record is None:
        return await intend_stop(
            parts, Record(order.taskforce_uuid, Stage.STOPPING, order.fence), grace_s=order.grace_s
        )
    if order.fence < record.fence:
        return record
    if record.stage is Stage.ENDED:
        if order.fence > record.fence:
            record = replace(record, fence=order.fence)
            await parts.journal.put(record)
        return record
    if record.stage is not Stage.STOPPING:
        return await intend_stop(parts, replace(record, fence=order.fence), grace_s=order.grace_s)
    if order.fence == record.fence and order.grace_s >= record.grace_s:
        return record
    return await intend_stop(parts, replace(record, fence=order.fence), grace_s=min(order.grace_s, record.grace_s))


async def intend_stop(parts: Parts, record: Record, *, grace_s: float = 0.0) -> Record:
    """Write down that a taskforce's workers are to be taken away."""
    record = replace(record, stage=Stage.STOPPING, grace_s=grace_s, order=None)
    await parts.journal.put(record)
    crash_points.reach("site.stop.intended")
    return record


async def stop(parts: Parts, record: Record) -> Record:
    """Take the workers away, see that they are gone, and tell the service.

    A pool that forbids it is told of as well; then the taskforce is watched on, until it ends or another order comes.
    Raises UnavailableError: the same again later.
    """
    cluster = await parts.pool.find(record.taskforce_uuid)
    if cluster is not None:
        try:
            await parts.pool.remove(cluster, grace_s=record.grace_s + LEAVE_S if record.grace_s else 0.0)
        except RejectedError as error:
            return await _tell_refused(parts, replace(record, cluster=cluster), error)
    ended_at = parts.now()
    crash_points.reach("site.stop.acted")
    with contextlib.suppress(ConflictError, NotFoundError):  # then nobody is waiting to hear it
        await parts.service.removed(record.taskforce_uuid, Removed(parts.agent, record.fence))
    crash_points.reach("site.stop.confirmed")
    record = replace(record, stage=Stage.ENDED, cluster=cluster, ended_at=ended_at)
    await parts.journal.put(record)
    return record


async def _tell_refused(parts: Parts, record: Record, error: RejectedError) -> Record:
    with contextlib.suppress(ConflictError, NotFoundError):
        failure = SiteFailure(parts.agent, record.fence, str(error))
        await parts.service.remove_failed(record.taskforce_uuid, failure)
    record = replace(record, stage=Stage.CONFIRMED)
    await parts.journal.put(record)
    return record
