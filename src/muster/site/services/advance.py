"""What is the next step of a taskforce? One step at a time, each safe to repeat from the record that it began with."""

from dataclasses import dataclass

from muster.domain.errors import ConflictError
from muster.site.ports.journal import NEXT, Record, Stage
from muster.site.services.claim_and_start import confirm, place
from muster.site.services.parts import Parts
from muster.site.services.reconcile import settle_lost
from muster.site.services.stop import stop
from muster.site.services.watch import complete, watch


@dataclass(frozen=True)
class Step:
    """What a step led to.

    Args:
        record: None: there is nothing left to remember.
        is_lost: the claim is not ours now; nothing is to be done before an order or the service's word changes that.
    """

    record: Record | None
    is_lost: bool = False

    def may_follow(self, before: Record) -> bool:
        """Does the table of stages allow it?"""
        return self.record is None or self.record.stage in NEXT[before.stage]


async def advance(parts: Parts, record: Record) -> Step:
    """Do the next step. The same record comes back when there is nothing to do now.

    Raises UnavailableError: the same step again later; nothing was lost.
    """
    match record.stage:
        case Stage.INTENDED:
            return Step(await place(parts, record))
        case Stage.SUBMITTED:
            try:
                return Step(await confirm(parts, record))
            except ConflictError:
                return await advance_lost(parts, record)
        case Stage.CONFIRMED:
            return Step(await watch(parts, record))
        case Stage.STOPPING:
            return Step(await stop(parts, record))
        case Stage.ENDED:
            await complete(parts, record)
            return Step(None)


async def advance_lost(parts: Parts, record: Record) -> Step:
    """Do what is to be done when the service says that the claim of a taskforce that is not on its way out is lost."""
    after = await settle_lost(parts, record)
    if after is None or after.stage is Stage.STOPPING:
        return Step(after)
    return Step(after, is_lost=after.fence == record.fence)
