"""What does the collector know of a pool? Its slots, its accounts, who matches, and the access point's own limits, as plain values.

What was asked a moment ago is told again: one look serves every cluster that waits.
"""

import contextlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import anyio
import htcondor2

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.beside import call_beside
from muster.site.adapters.htcondor.classads import Expression, Values, read_ads
from muster.site.adapters.htcondor.clauses import find_references
from muster.site.adapters.htcondor.resources import RESOURCES

FRESH_S = 9.0
"""Seconds for which a look serves."""
NAMES_FRESH_S = 300.0
"""The same for what slots call their attributes."""
ATTRIBUTES_MAX = 400
"""Of a slot, remembered for the next look; what a cluster that has gone asked for is forgotten then."""
_DEPTH = 4
"""Times that attributes are looked up of which others' values speak."""
_NOT_DYNAMIC = 'SlotType =!= undefined && SlotType =!= "Dynamic"'
"""A dynamic slot is a part of a partitionable one, which tells of it."""
_OF_SLOT = frozenset(
    {
        *("slottype", "state", "draining", "start"),
        *("accountinggroup", "remoteuser", "childaccountinggroup", "childremoteuser", "childcpus"),
        *RESOURCES,
        *(f"totalslot{name}" for name in RESOURCES),
    }
)
"""What is asked of every slot: its kind, what it has in all and left, whom it takes and who is there."""
_OF_ACCOUNT = (
    "Name",
    "IsAccountingGroup",
    "WeightedResourcesUsed",
    "EffectiveQuota",
)
_OF_SCHEDD = ("Name", "MaxJobsRunning", "TotalRunningJobs", "CurbMatchmaking")


@dataclass(frozen=True)
class PoolLook:
    """One look.

    Args:
        host: the collector's address, as it is configured.
        slots: of each that is not a part of another: what was asked for.
        accounts: of users and groups, as the negotiator keeps them.
        negotiators: how many.
        schedds: of the access points.
    """

    host: str
    slots: Sequence[Values]
    accounts: Sequence[Values]
    negotiators: int
    schedds: Sequence[Values]


class Collector:
    """The collector of this machine's configuration. One call at a time."""

    def __init__(self, *, fresh_s: float = FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._limiter = anyio.CapacityLimiter(1)
        self._turn = anyio.Lock()
        self._attributes: frozenset[str] = frozenset()
        self._looked: PoolLook | None = None
        self._looked_at = -math.inf
        self._failed: str | None = None
        self._names: frozenset[str] | None = None
        self._named_at = -math.inf

    async def look(self, attributes: Collection[str]) -> PoolLook:
        """The pool now, or a moment ago. Raises UnavailableError when the collector does not answer.

        Args:
            attributes: of slots, in lower case; those of which their values speak come too.
        """
        wanted = _OF_SLOT | frozenset(attributes)
        async with self._turn:
            is_fresh = anyio.current_time() - self._looked_at < self._fresh_s
            if is_fresh and self._failed is not None:  # one that is out of reach may take long to say so
                raise UnavailableError(self._failed)
            if self._looked is not None and is_fresh and wanted <= self._attributes:
                return self._looked
            asked = wanted | self._attributes
            if len(asked) > ATTRIBUTES_MAX:
                asked = wanted
            self._failed = None
            try:
                looked, self._attributes = await call_beside(look, asked, limiter=self._limiter)
            except UnavailableError as error:
                self._failed = str(error)
                raise
            finally:
                self._looked_at = anyio.current_time()
            self._looked = looked
            return looked

    async def list_attributes(self) -> frozenset[str]:
        """Names of all attributes that a slot has, as they are spelled; of one slot of each kind of machine."""
        async with self._turn:
            if self._names is None or anyio.current_time() - self._named_at >= NAMES_FRESH_S:
                self._names, self._named_at = (
                    await call_beside(list_attributes, limiter=self._limiter),
                    anyio.current_time(),
                )
            return self._names


def get_host() -> str:
    """Where the collector is, as HTCondor's configuration has it."""
    return str(htcondor2.param.get("COLLECTOR_HOST", "of this machine"))


def look(attributes: frozenset[str]) -> tuple[PoolLook, frozenset[str]]:
    """The pool, and which attributes of slots were asked for in the end; blocks. Raises UnavailableError."""
    with _collector_errors():
        collector = htcondor2.Collector()
        slots, attributes = _ask_slots(collector, attributes)
        pool = PoolLook(
            get_host(),
            slots,
            read_ads(collector.query(htcondor2.AdType.Accounting, projection=list(_OF_ACCOUNT))),
            len(collector.query(htcondor2.AdType.Negotiator, projection=["Name"])),
            read_ads(collector.query(htcondor2.AdType.Schedd, projection=list(_OF_SCHEDD))),
        )
        return pool, attributes


def list_slots(attributes: Collection[str]) -> list[Values]:
    """Slots, the dynamic ones within their partitionable ones, and what is asked of each; blocks. Raises UnavailableError."""
    with _collector_errors():
        return _ask_slots(htcondor2.Collector(), _OF_SLOT | frozenset(attributes))[0]


def _ask_slots(collector: "htcondor2.Collector", attributes: frozenset[str]) -> tuple[list[Values], frozenset[str]]:
    slots: list[Values] = []
    for _ in range(_DEPTH):
        ads = collector.query(htcondor2.AdType.Startd, constraint=_NOT_DYNAMIC, projection=sorted(attributes))
        slots = [*read_ads(ads)]
        further = _find_further(slots) - attributes
        if not further:
            break
        attributes |= further
    return slots, attributes


def list_attributes() -> frozenset[str]:
    """See `Collector.list_attributes`; blocks. Raises UnavailableError."""
    with _collector_errors():
        collector = htcondor2.Collector()
        names: dict[str, str] = {}
        for ad in collector.query(htcondor2.AdType.Startd, constraint=_NOT_DYNAMIC, projection=["Name", "OpSysAndVer"]):
            names.setdefault(str(ad.get("OpSysAndVer")), str(ad.get("Name")))
        chosen = " || ".join(f'Name == "{name}"' for name in list(names.values())[:10])
        found = collector.query(htcondor2.AdType.Startd, constraint=chosen) if chosen else []
        return frozenset(str(name) for ad in found for name in ad)


@contextlib.contextmanager
def _collector_errors() -> Iterator[None]:
    try:
        yield
    except (htcondor2.HTCondorException, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnavailableError(f"the collector {get_host()} says: {said}") from error


def _find_further(slots: Sequence[Values]) -> frozenset[str]:
    texts = {value.text for slot in slots for value in slot.values() if isinstance(value, Expression)}
    return frozenset(one.name for text in texts for one in find_references(text) if one.scope != "target")
