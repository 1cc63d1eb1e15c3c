"""What if memory, pool and service disagree? The pool says what runs, the service what should, and nothing runs unwatched."""

from collections.abc import Container
from dataclasses import replace

from muster.client.shapes.sites import Expected
from muster.domain.errors import ConflictError, NotFoundError
from muster.domain.taskforce_phase import ENDING
from muster.site.ports.journal import Record, Stage
from muster.site.services.parts import Parts
from muster.site.services.stop import intend_stop


async def adopt_orphans(parts: Parts, remembered: Container[str]) -> list[Record]:
    """Take up clusters that the journal does not know: its record was damaged, or somebody deleted it.

    Each is taken for submitted: confirming it, which the service allows again and again, tells whether it may stay.
    """
    adopted = []
    for placed in await parts.pool.list_placed():
        if placed.tag in remembered or await parts.pool.find(placed.tag) != placed.cluster:
            continue  # watched already; or forgotten while we looked
        record = Record(placed.tag, Stage.SUBMITTED, placed.fence, n_workers=placed.n_workers, cluster=placed.cluster)
        await parts.journal.put(record)
        adopted.append(record)
    return adopted


class ElsewhereError(ConflictError):
    """Workers of a taskforce that should be here live somewhere else."""


async def find_expected(parts: Parts, expected: Expected) -> Record:
    """Make a record of a taskforce that the service thinks is here, and of which the agent has none.

    The service may have been restored from a backup: then this one ended after it was made, and was forgotten here when the service
    had been told. It is told again; but not while its workers live: whoever says that they have ended ends them.

    Raises ElsewhereError.
    """
    uuid = expected.taskforce_uuid
    placed = [one for one in await parts.pool.list_placed() if one.tag == uuid]
    if placed and await parts.pool.find(uuid) == placed[0].cluster:
        record = Record(uuid, Stage.SUBMITTED, expected.fence, n_workers=placed[0].n_workers, cluster=placed[0].cluster)
    elif await _has_workers(parts, uuid):
        raise ElsewhereError(
            f"its workers live, and not in this agent's pool: another agent has the name {parts.agent!r}, too (MUSTER_SITE_NAME), or this "
            "one had another MUSTER_SITE_DIRECTORY when it started them"
        )
    else:
        record = Record(uuid, Stage.ENDED, expected.fence, ended_at=parts.now())
    await parts.journal.put(record)
    return record


async def _has_workers(parts: Parts, uuid: str) -> bool:
    try:
        return (await parts.service.get_taskforce(uuid)).workers > 0
    except NotFoundError:
        return False


async def settle_lost(parts: Parts, record: Record) -> Record | None:
    """Decide on a taskforce whose claim is not ours any more, by asking the service what became of it.

    It is over, or unknown: its workers are taken away. Another agent has confirmed another cluster: ours is one too many,
    so it is taken away. The claim is ours under a newer number, which a record made again from the pool does not know: it goes
    on under that number. Otherwise it stays as it is, unconfirmed: the other agent may have found our cluster by its tag, or the
    next claim gives it to us again. One of which nothing was placed here is simply dropped (None).
    """
    cluster = await parts.pool.find(record.taskforce_uuid)
    if cluster is None:
        await parts.journal.delete(record.taskforce_uuid)
        return None
    try:
        view = await parts.service.get_taskforce(record.taskforce_uuid)
    except NotFoundError:
        return await intend_stop(parts, record)
    is_others = view.claim_agent != parts.agent and view.cluster_id not in (None, cluster)
    if view.phase in ENDING or is_others:
        return await intend_stop(parts, record)
    is_newer = view.claim_agent == parts.agent and view.claim_fence > record.fence
    if record.cluster is None or is_newer:
        fence = view.claim_fence if is_newer else record.fence
        record = replace(record, stage=Stage.SUBMITTED, fence=fence, cluster=cluster, order=None)
        await parts.journal.put(record)
    return record
