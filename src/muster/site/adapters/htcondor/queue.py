"""Which clusters does the schedd have, and what became of their procs? Its queue and its history, in our words."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from muster.site.adapters.htcondor.describe import AGENT, FENCE, TAG, WORKERS, is_tag, quote
from muster.site.adapters.htcondor.schedd import Ad, Schedd

_IS_CLUSTER = "ProcId =?= undefined"
"""The ad of a cluster itself: there is one for each, however many procs it has."""
NOTHING = "false"
"""A constraint that nothing meets."""
_OF_CLUSTER = ("ClusterId", TAG, FENCE, WORKERS, "UserLog", "QDate")
_OF_PROC = (
    "ClusterId",
    "ProcId",
    "JobStatus",
    "HoldReason",
    "HoldReasonCode",
    "HoldReasonSubCode",
    "ExitBySignal",
    "ExitCode",
    "ExitSignal",
    "RemoveReason",
    "CompletionDate",
    "EnteredCurrentStatus",
)
_OF_QUEUED = ("ProcId", "JobStatus", "HoldReasonCode", "HoldReasonSubCode", "EnteredCurrentStatus")


CLOCKS_APART_S = 86_400.0
"""How far back the schedd's clock may be set behind that by which a submission was noted, and its cluster is found still."""


class JobStatus(IntEnum):
    """`JobStatus` of a proc's ad."""

    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5
    TRANSFERRING_OUTPUT = 6
    SUSPENDED = 7


@dataclass(frozen=True)
class QueuedCluster:
    """A cluster of which procs are in the queue. `submitted_at`: seconds since the epoch."""

    cluster: int
    tag: str
    fence: int
    n_workers: int
    log: str
    submitted_at: float


@dataclass(frozen=True)
class ProcAd:
    """What queue or history say of one proc.

    Args:
        status: None: it says something unknown.
        hold: reason, code and subcode, of one that is held.
        exit_code, exit_signal: of one that has ended; one of them.
        at: since when, seconds since the epoch.
    """

    proc: int
    status: JobStatus | None
    hold: tuple[str, int, int] = ("", 0, 0)
    exit_code: int | None = None
    exit_signal: int | None = None
    reason: str = ""
    at: float = 0.0


class QueuedProcs:
    """Procs that are in the queue. Of a hundred thousand nobody makes objects, but of those that somebody looks at."""

    def __init__(self, rows: "array[int]") -> None:
        """`rows`: one after the other, of each the attributes `_OF_QUEUED`; 0: it has none."""
        self._rows = rows
        self.numbers = frozenset(rows[:: len(_OF_QUEUED)])

    def list_rows(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Of each what `read_row` takes."""
        wide = len(_OF_QUEUED)
        return zip(*(self._rows[place::wide] for place in range(wide)), strict=True)


def read_row(row: tuple[int, int, int, int, int]) -> ProcAd:
    """One of `QueuedProcs`."""
    proc, number, code, subcode, since = row
    return ProcAd(proc, read_status(number), ("", code, subcode), at=float(since))


def read_status(number: int) -> JobStatus | None:
    """None: it says something unknown."""
    return JobStatus(number) if number in set(JobStatus) else None


async def list_clusters(schedd: Schedd, *, agent: str) -> list[QueuedCluster]:
    """Every cluster of an agent."""
    return await _list(schedd, await name_agents(schedd, agent))


async def list_tagged(schedd: Schedd, tag: str) -> list[QueuedCluster]:
    """Every cluster of ours with a tag, whichever agent placed it."""
    return await _list(schedd, f"{TAG} == {quote(tag)} && {await name_ours(schedd)}")


async def name_ours(schedd: Schedd) -> str:
    """A constraint for what was submitted by the user that we are: anybody can give a job our attributes, and nobody our name."""
    users = (await schedd.identify()).users
    return f"({' || '.join(f'User =?= {quote(user)}' for user in users)})"


async def name_agents(schedd: Schedd, agent: str) -> str:
    """A constraint for everything of an agent."""
    return f"{AGENT} == {quote(agent)} && {await name_ours(schedd)}"


async def name_cluster(schedd: Schedd, cluster: int, tag: str) -> str:
    """A constraint for all of a cluster, or for nothing, where another has its number: a schedd that lost its spool begins anew.

    The tag is looked for in the cluster's own ad: what stands in a proc's, its job can change.
    """
    if not await has_cluster(schedd, cluster, tag):
        return NOTHING
    return f"ClusterId == {cluster} && {await name_ours(schedd)}"


async def has_cluster(schedd: Schedd, cluster: int, tag: str) -> bool:
    """Is any of its procs, or what makes them, in the queue? Then its own ad is."""
    own_ad = f"{_name_tagged(cluster, tag)} && {_IS_CLUSTER}"
    return bool(await schedd.query(own_ad, ["ClusterId"], limit=1, factories=True))


def _name_tagged(cluster: int, tag: str) -> str:
    return f"ClusterId == {cluster} && {TAG} == {quote(tag)}"


async def find_ended(schedd: Schedd, tag: str, *, after: float, not_among: Iterable[int]) -> int | None:
    """The number of a cluster of ours with this tag that has left the queue. `after`: seconds since the epoch; it was not submitted before.

    The history is read from its end up to what ended well before that, so that a long one takes no longer.
    """
    forgotten = "".join(f" && ClusterId =!= {number}" for number in not_among)
    ads = await schedd.history(
        f"{TAG} == {quote(tag)}{forgotten} && {await name_ours(schedd)}",
        ["ClusterId"],
        match=1,
        since=f"EnteredCurrentStatus < {after - CLOCKS_APART_S:.0f}",
    )
    return int(ads[0]["ClusterId"]) if ads else None


async def list_procs(schedd: Schedd, cluster: int, tag: str) -> QueuedProcs:
    """Those that are in the queue. Raises UnavailableError."""
    asked = f"{await name_cluster(schedd, cluster, tag)} && ProcId >= 0"
    return QueuedProcs(await schedd.query_numbers(asked, _OF_QUEUED))


async def list_ended_procs(schedd: Schedd, cluster: int, tag: str, *, match: int) -> list[ProcAd]:
    """Those that have left it, as far back as the schedd remembers."""
    ads = await schedd.history(_name_tagged(cluster, tag), _OF_PROC, match=match)
    return [read_proc(ad) for ad in ads if "ProcId" in ad]


async def _list(schedd: Schedd, constraint: str) -> list[QueuedCluster]:
    ads = await schedd.query(f"{constraint} && {_IS_CLUSTER}", _OF_CLUSTER, factories=True)
    found = (_read_cluster(ad) for ad in ads)
    return [one for one in found if one is not None]


def _read_cluster(ad: Ad) -> QueuedCluster | None:
    """None: somebody else's, who has given it our attributes, for it says what no agent does."""
    cluster, tag, fence, n_workers = (ad.get(name) for name in ("ClusterId", TAG, FENCE, WORKERS))
    is_ours = isinstance(tag, str) and all(type(one) is int for one in (cluster, fence, n_workers))
    if not is_ours or not is_tag(str(tag)) or int(n_workers or 0) < 1:
        return None
    log, submitted_at = str(ad.get("UserLog", "")), ad.get("QDate", 0)
    return QueuedCluster(
        int(cluster or 0), str(tag), int(fence or 0), int(n_workers or 1), log, float(submitted_at or 0)
    )


def read_proc(ad: Ad) -> ProcAd:
    """An ad with the attributes that are asked for here."""
    status = read_status(int(ad.get("JobStatus", 0)))
    by_signal = ad.get("ExitBySignal") is True
    has_ended = status is JobStatus.COMPLETED
    return ProcAd(
        int(ad["ProcId"]),
        status,
        (str(ad.get("HoldReason", "")), int(ad.get("HoldReasonCode", 0)), int(ad.get("HoldReasonSubCode", 0))),
        int(ad.get("ExitCode", 0)) if has_ended and not by_signal else None,
        int(ad.get("ExitSignal", 0)) if has_ended and by_signal else None,
        str(ad.get("RemoveReason", "")),
        float(ad.get("CompletionDate") or ad.get("EnteredCurrentStatus") or 0),
    )
