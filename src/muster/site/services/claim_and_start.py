"""How does an order become exactly one cluster that the service knows of? Write, then act, then confirm."""

import contextlib
from dataclasses import replace

from muster.client.shapes.sites import SiteFailure, StartOrder, Submitted
from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.domain.taskforce_phase import Phase
from muster.site.ports.journal import Record, Stage
from muster.site.ports.pool import Description
from muster.site.services.parts import Parts
from muster.site.services.plan_cluster import UnfitError, plan_cluster
from muster.site.services.stop import intend_stop
from muster.worker import crash_points

_OVER = frozenset({Phase.CONDOR_RM, Phase.CONDOR_COMPLETE})


async def accept_start(parts: Parts, record: Record | None, order: StartOrder) -> Record:
    """Write down that a taskforce is to be started.

    The same order again changes nothing, nor does one of an older claim, nor one that comes after the stop. One of a newer claim
    puts its fence in place of the old one; what is placed already is then only confirmed again.
    """
    if record is not None:
        is_news = order.fence > record.fence or (order.fence == record.fence and record.stage is Stage.CONFIRMED)
        if not is_news or record.stage in (Stage.STOPPING, Stage.ENDED):
            return record
    if record is None or record.cluster is None:
        record = Record(order.taskforce_uuid, Stage.INTENDED, order.fence, n_workers=order.n_workers, order=order)
    else:
        record = replace(record, stage=Stage.SUBMITTED, fence=order.fence)
    await parts.journal.put(record)
    crash_points.reach("site.submit.intended")
    return record


async def place(parts: Parts, record: Record) -> Record | None:
    """Place what is intended, unless the pool has it already. None: the pool refused, and the service was told.

    Raises UnavailableError: the same again later.
    """
    cluster = await parts.pool.find(record.taskforce_uuid)
    if cluster is None:
        if record.order is None:
            raise ValueError(f"{record.taskforce_uuid} is intended and its order is not in the journal")
        try:
            spec = plan_cluster(record.order, workers_max=parts.workers_max, has_containers=parts.has_containers)
            cluster = await parts.pool.submit(spec, tag=record.taskforce_uuid)
        except RejectedError as error:
            await _tell_refused(parts, record, error)
            return None
    crash_points.reach("site.submit.acted")
    # The order is dropped here: from now on the pool keeps the secret, and nobody else needs it.
    record = replace(record, stage=Stage.SUBMITTED, cluster=cluster, order=None)
    await parts.journal.put(record)
    crash_points.reach("site.submit.recorded")
    return record


async def _tell_refused(parts: Parts, record: Record, error: RejectedError) -> None:
    failure = SiteFailure(parts.agent, record.fence, str(error), final=isinstance(error, UnfitError))
    with contextlib.suppress(ConflictError, NotFoundError):  # nothing was placed here, so nothing is owed
        await parts.service.submit_failed(record.taskforce_uuid, failure)
    await parts.journal.delete(record.taskforce_uuid)


async def _describe(parts: Parts, cluster: int) -> Description:
    try:
        return await parts.pool.describe(cluster)
    except NotFoundError:  # somebody took it away behind our back: the next look tells
        return Description()


async def confirm(parts: Parts, record: Record) -> Record:
    """Tell the service of the cluster. A taskforce that is over, or that the service never heard of, is stopped.

    Raises ConflictError when the claim is no longer ours: see `settle_lost`.
    """
    if record.cluster is None:
        raise ValueError(f"{record.taskforce_uuid} is submitted and its cluster is not in the journal")
    placed = await _describe(parts, record.cluster)
    submitted = Submitted(
        parts.agent,
        record.fence,
        record.cluster,
        record.n_workers,
        submit_dict=dict(placed.submit_dict),
        job_event_log_fpath=placed.log,
    )
    try:
        answer = await parts.service.submitted(record.taskforce_uuid, submitted)
    except NotFoundError:
        return await intend_stop(parts, record)
    crash_points.reach("site.submit.confirmed")
    if not answer.accepted and answer.phase in _OVER:
        return await intend_stop(parts, record)
    record = replace(record, stage=Stage.CONFIRMED)
    await parts.journal.put(record)
    return record
