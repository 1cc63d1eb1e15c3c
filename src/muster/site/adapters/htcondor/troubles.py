"""Which clusters need a person, and for what? Those of another schedd, and those whose workers lack a file that nobody can make again."""

from collections.abc import Collection

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.elsewhere import Elsewhere
from muster.site.adapters.htcondor.lacking import explain_lacking
from muster.site.adapters.htcondor.placing import Known

TROUBLES_MAX = 5
"""That are told at once."""


async def tell_troubles(all_known: Collection[Known], elsewhere: Elsewhere) -> None:
    """Raises UnavailableError where there is any, with what to do."""
    troubles = [
        explain_lacking(known.placed.cluster, known.asked.tag, known.asked.lacking)
        for known in all_known
        if known.placed is not None and known.placed.gone_at is None and known.asked.lacking
    ]
    if (sentence := await elsewhere.explain(all_known)) is not None:
        troubles.insert(0, sentence)
    if troubles:
        raise UnavailableError("; ".join(troubles[:TROUBLES_MAX]))
