"""When is a taskforce at its end, and how does the service learn of it?"""

import contextlib
from dataclasses import replace

from muster.client.shapes.sites import Completed
from muster.domain.errors import ConflictError, NotFoundError
from muster.site.ports.journal import Record, Stage
from muster.site.services.parts import Parts
from muster.site.services.report import report_end
from muster.worker import crash_points


async def watch(parts: Parts, record: Record) -> Record:
    """Look whether any proc is left; the same record while one is."""
    if record.cluster is None:
        raise ValueError(f"{record.taskforce_uuid} is confirmed and its cluster is not in the journal")
    try:
        seen = await parts.pool.observe(record.cluster)
    except NotFoundError:
        ended_at: float | None = parts.now()  # somebody took it away behind our back
    else:
        ended_at = seen.ended_at
    if ended_at is None:
        return record
    record = replace(record, stage=Stage.ENDED, ended_at=ended_at)
    await parts.journal.put(record)
    return record


async def complete(parts: Parts, record: Record) -> None:
    """Tell the service how a taskforce ended and that it did, then forget it.

    May be repeated: the pool keeps the cluster, and the journal the record, until the service has answered.
    """
    crash_points.reach("site.complete.observed")
    if record.cluster is not None:
        with contextlib.suppress(NotFoundError):
            seen = await parts.pool.observe(record.cluster)
            await report_end(parts, record.taskforce_uuid, seen)
    with contextlib.suppress(ConflictError, NotFoundError):  # then it is over already, or another's
        completed = Completed(parts.agent, record.fence, record.ended_at or parts.now())
        await parts.service.completed(record.taskforce_uuid, completed)
    crash_points.reach("site.complete.confirmed")
    if record.cluster is not None:
        await parts.pool.forget(record.cluster)
    await parts.journal.delete(record.taskforce_uuid)
