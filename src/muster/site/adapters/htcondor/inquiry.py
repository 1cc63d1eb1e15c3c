"""What do the daemons of a pool say of themselves, and whom do they take us for? Asked once, for the doctor; nothing is changed."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import htcondor2

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.bindings import check_expression, schedd_errors
from muster.site.adapters.htcondor.classads import Expression, Values
from muster.site.adapters.htcondor.collector import list_slots
from muster.site.adapters.htcondor.describe import AGENT, quote
from muster.site.adapters.htcondor.matching import list_slot_attributes, match, widen

T = TypeVar("T")

NO_CONFIG = "/dev/null"
"""What the bindings set CONDOR_CONFIG to, without a word, where they find none."""
LIMITS = ("MAX_JOBS_PER_SUBMISSION", "MAX_JOBS_PER_OWNER")
_RUNTIMES = ("HasContainer", "HasSingularity", "HasDocker")


@dataclass(frozen=True)
class Bindings:
    """HTCondor's library in this process.

    Args:
        config: the file that it read; None: it found none.
        collector: its host; empty: none.
        address_file: by which a schedd of this machine is found; None: none is named.
        tokens: the folder in which it looks for tokens.
    """

    version: str
    config: str | None
    collector: str
    address_file: Path | None
    tokens: Path = Path()


@dataclass(frozen=True)
class ScheddFacts:
    """What a schedd says. `ahead_s`: seconds that its clock is ahead of this machine's; None: it told no time."""

    name: str
    machine: str
    version: str
    address: str
    ahead_s: float | None
    running_max: int | None


@dataclass(frozen=True)
class Access:
    """Who we are to a schedd that is asked for the right to submit. `identity`: user@domain. `method`: by which it was proven."""

    identity: str
    method: str
    is_allowed: bool


@dataclass(frozen=True)
class NamedCluster:
    """A cluster in the queue that says that it is an agent's. `user`: who submitted it."""

    cluster: int
    log: str
    user: str


@dataclass(frozen=True)
class Slots:
    """Slots in the pool, the dynamic ones within their partitionable ones.

    Args:
        fitting: that meet what the operator requires.
        runtimes: that say of themselves that they have each of these.
    """

    count: int = 0
    cpus: int = 0
    fitting: int = 0
    fitting_cpus: int = 0
    runtimes: Mapping[str, int] = field(default_factory=dict)


def ask_bindings() -> Bindings:
    """Never fails; `reload` is the caller's business."""
    param = htcondor2.param
    config = os.environ.get("CONDOR_CONFIG", "")
    root = str(param.get("CONFIG_ROOT") or "")
    address_file = param.get("SCHEDD_ADDRESS_FILE")
    return Bindings(
        version=_shorten(htcondor2.version()),
        config=None if config == NO_CONFIG else config or root or None,
        collector=str(param.get("COLLECTOR_HOST") or ""),
        address_file=Path(str(address_file)) if address_file else None,
        tokens=_find_tokens(),
    )


def _find_tokens() -> Path:
    of_root = "SEC_TOKEN_SYSTEM_DIRECTORY" if os.geteuid() == 0 else ""
    named = htcondor2.param.get("SEC_TOKEN_DIRECTORY") or (htcondor2.param.get(of_root) if of_root else None)
    return Path(os.path.expanduser(str(named or "~/.condor/tokens.d")))  # noqa: PTH111 - there may be no home


class Inquiry:
    """Asks one schedd, and its collector. Every method raises UnavailableError in HTCondor's own words.

    Args:
        name: as the collector knows the schedd; empty: that of this machine.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._ad: Any = None

    def find_schedd(self) -> ScheddFacts:
        """Where it is, and what it says of itself at this moment."""

        def ask() -> ScheddFacts:
            collector = htcondor2.Collector()
            kind = htcondor2.DaemonType.Schedd
            self._ad = collector.locate(kind, self._name) if self._name else collector.locate(kind)
            if not self._ad:
                raise UnavailableError(f"the collector knows no schedd {self._name!r}")
            # Of a schedd's own ad the collector has what it was minutes ago: it is asked itself.
            told = collector.directQuery(kind, self._name or None, ["MyCurrentTime", "MaxJobsRunning"])
            now, theirs = time.time(), told.get("MyCurrentTime")
            return ScheddFacts(
                name=str(self._ad.get("Name", "")),
                machine=str(self._ad.get("Machine", "")),
                version=_shorten(str(self._ad.get("CondorVersion", ""))),
                address=str(self._ad.get("MyAddress", "")),
                # It tells whole seconds, so half of one has gone by on the average.
                ahead_s=theirs + 0.5 - now if isinstance(theirs, int | float) else None,
                running_max=_read_count(told.get("MaxJobsRunning")),
            )

        return self._ask("locate", ask)

    def ask_access(self) -> Access:
        """May we submit, and as whom?"""

        def ask() -> Access:
            told = htcondor2.ping(self._ad, "WRITE")
            is_allowed = told.get("AuthorizationSucceeded")
            return Access(
                str(told.get("MyRemoteUserName", "")), str(told.get("AuthMethods", "")), str(is_allowed) == "True"
            )

        return self._ask("ping", ask)

    def list_limits(self) -> Mapping[str, int]:
        """Those of `LIMITS` that it tells, by name."""

        def ask() -> Mapping[str, int]:
            told = htcondor2.RemoteParam(self._ad)
            found = {name: _read_count(told.get(name)) for name in LIMITS}
            return {name: count for name, count in found.items() if count is not None}

        return self._ask("limits", ask)

    def list_named(self, agent: str) -> Sequence[NamedCluster]:
        """Clusters in the queue that say that they are of an agent of this name, whoever submitted them."""

        def ask() -> Sequence[NamedCluster]:
            asked = f"{AGENT} == {quote(agent)} && ProcId =?= undefined"
            names = ["ClusterId", "UserLog", "User"]
            told = htcondor2.Schedd(self._ad).query(asked, names, opts=htcondor2.QueryOpt.IncludeClusterAd)
            return [
                NamedCluster(int(ad["ClusterId"]), str(ad.get("UserLog", "")), str(ad.get("User", ""))) for ad in told
            ]

        return self._ask("query", ask)

    def count_slots(self, requirements: str) -> Slots:
        """`requirements`: a ClassAd expression of a job, of which slots' attributes are those that it does not have itself."""
        asked = list_slot_attributes({}, [requirements])
        return count_slots(list_slots(asked | {name.lower() for name in _RUNTIMES}), requirements)

    def _ask(self, what: str, ask: Callable[[], T]) -> T:
        with schedd_errors(what, self._name):
            return ask()


def count_slots(slots: Sequence[Values], requirements: str) -> Slots:
    """Count slots as the explanation of waiting workers does: each by all that it has. Raises ValueError for what is no expression."""
    if (fault := check_expression(requirements)) is not None:
        raise ValueError(fault)
    matching = match({"requirements": Expression(requirements)}, slots, operators=requirements, sites=())
    fitting = matching.pick(matching.fits)
    return Slots(
        len(slots),
        _count_cpus(slots),
        len(fitting),
        _count_cpus(fitting),
        {name: sum(slot.get(name.lower()) is True for slot in slots) for name in _RUNTIMES},
    )


def _count_cpus(slots: Sequence[Values]) -> int:
    return sum(_read_count(widen(slot).get("cpus")) or 0 for slot in slots)


def _read_count(value: object) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdigit() else None


def _shorten(text: str) -> str:
    """`$CondorVersion: 25.14.1 2026-09-24 … $` is 25.14.1."""
    words = text.split()
    return words[1] if len(words) > 1 else text
