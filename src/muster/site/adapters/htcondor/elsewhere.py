"""What of clusters that another schedd has? The queue of this one says nothing of them: they stay as their logs tell, and people are told.

The operator has pointed the agent at another schedd while clusters lived. One whose number and tag are in this queue is no such cluster:
its schedd has only got another name.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

import anyio.to_thread
import msgspec

from muster.domain.errors import UnavailableError
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.htcondor.placing import Known
from muster.site.adapters.htcondor.queue import has_cluster
from muster.site.adapters.htcondor.schedd import Schedd

NAMED_MAX = 3
"""Clusters of one schedd that a sentence names."""


class NumberTakenError(UnavailableError):
    """A cluster has the number of another one here: each schedd numbers its own."""


class Elsewhere:
    """Tells clusters of other schedds from those of this one."""

    def __init__(self, schedd: Schedd) -> None:
        self._schedd = schedd

    async def has(self, known: Known) -> bool:
        """Does another schedd have it, and is it not over? Where it is not written down, this one has it. Raises UnavailableError."""
        if not known.asked.schedd or (known.placed is not None and known.placed.gone_at is not None):
            return False
        return known.asked.schedd != (await self._schedd.identify()).schedd

    async def check(self, known: Known) -> None:
        """Raises UnavailableError, with the remedy, where another schedd has it."""
        if (sentence := await self.explain([known])) is not None:
            raise UnavailableError(sentence)

    async def explain(self, all_known: Iterable[Known]) -> str | None:
        """Which of these are not this schedd's, and what mends it; None: there is none."""
        by_schedd: dict[str, list[Known]] = defaultdict(list)
        for known in all_known:
            if await self.has(known):
                by_schedd[known.asked.schedd].append(known)
        if not by_schedd:
            return None
        here = (await self._schedd.identify()).schedd
        return "; ".join(_explain(schedd, clusters, here) for schedd, clusters in sorted(by_schedd.items()))

    async def bring_home(self, known: Known) -> Known:
        """One that is in this schedd's queue after all: the schedd has another name now. Written down. Raises UnavailableError."""
        placed, account = known.placed, await self._schedd.identify()
        if placed is None or not await self.has(known):
            return known
        if not await has_cluster(self._schedd, placed.cluster, known.asked.tag):
            return known
        asked = msgspec.structs.replace(known.asked, schedd=account.schedd)

        def note() -> None:
            with disk_errors(known.folder.path):
                known.folder.note_asked(asked)

        await anyio.to_thread.run_sync(note)
        return replace(known, asked=asked)


def _explain(schedd: str, clusters: list[Known], here: str) -> str:
    numbers = [str(known.placed.cluster) if known.placed else known.asked.tag for known in clusters]
    named = ", ".join(numbers[:NAMED_MAX]) + (", ..." if len(numbers) > NAMED_MAX else "")
    is_one = len(clusters) == 1
    return (
        f"{'cluster' if is_one else f'{len(clusters)} clusters:'} {named} {'was' if is_one else 'were'} placed at the schedd {schedd}, and "
        f"this agent asks {here}, which knows nothing of {'it' if is_one else 'them'}: MUSTER_SITE_CONDOR_SCHEDD={schedd} again, or remove "
        f"{'it' if is_one else 'them'} by hand (condor_rm -name {schedd} ...; then, with the agent stopped, the folder "
        f"{clusters[0].folder.path})"
    )
