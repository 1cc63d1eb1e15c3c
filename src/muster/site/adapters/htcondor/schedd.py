"""How is the schedd asked? Through HTCondor's own bindings; plain values and our errors come out.

The bindings have one error for everything (htcondor-notes.md 1). So whoever changes something and is answered by an error cannot know
whether it was done: `UnavailableError` says so, and the caller asks the queue. What the schedd itself refused is told by what it says.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import classad2
import htcondor2

from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.htcondor.classads import Values, read_ads

T = TypeVar("T")

Ad = Mapping[str, Any]
"""Attributes by name, as asked for; those that an ad does not have, or that are undefined, are left out."""

SUBMIT_REFUSED = ("Failed to create job ad", "expected next ProcId", "Failed to create new proc", "errmsg=Submit")
"""How HTCondor's texts begin when a description, or the number of procs, was refused: then nothing was placed."""


class Action(Enum):
    """What may be done to procs."""

    HOLD = htcondor2.JobAction.Hold
    RELEASE = htcondor2.JobAction.Release
    REMOVE = htcondor2.JobAction.Remove
    REMOVE_FORCED = htcondor2.JobAction.RemoveX
    VACATE_FAST = htcondor2.JobAction.VacateFast


@dataclass(frozen=True)
class Acted:
    """What an action did: procs it was done to, those that forbid it to this user, those in a state that does not allow it."""

    done: int
    denied: int
    refused: int


class Schedd:
    """One schedd. `name`: as the collector knows it; empty: the one of this machine. One call at a time, in a thread."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._limiter = anyio.CapacityLimiter(1)

    async def submit(self, description: Mapping[str, str], *, count: int) -> int:
        """Place a cluster of so many procs, in one transaction; returns its number.

        Raises RejectedError in HTCondor's own words: nothing was placed. Raises UnavailableError: perhaps it was.
        """

        def call(schedd: htcondor2.Schedd) -> int:
            try:
                return int(schedd.submit(htcondor2.Submit(dict(description)), count=count).cluster())
            except htcondor2.HTCondorException as error:
                text = str(error)
                if any(words in text for words in SUBMIT_REFUSED):
                    raise RejectedError(explain_refusal(text, count)) from error
                raise

        return await self._call("submit", call)

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        """Ads of the queue. `factories`: those of clusters too that make their procs as they go; they have no ProcId."""
        options = htcondor2.QueryOpt.IncludeClusterAd if factories else htcondor2.QueryOpt.Default
        return await self._call(
            "query",
            lambda schedd: _plain(schedd.query(constraint, list(attributes), limit=limit, opts=options), attributes),
        )

    async def find_whole(self, constraint: str) -> Values | None:
        """The whole ad of one proc that meets the constraint, expressions too."""

        def call(schedd: htcondor2.Schedd) -> Values | None:
            return next(iter(read_ads(schedd.query(constraint, limit=1))), None)

        return await self._call("query", call)

    async def history(
        self, constraint: str, attributes: Sequence[str], *, match: int = -1, since: str = ""
    ) -> list[Ad]:
        """Ads of ended procs, the newest first, as far back as the schedd keeps them. `since`: an expression at which to stop."""
        further = {"since": since} if since else {}
        return await self._call(
            "history",
            lambda schedd: _plain(schedd.history(constraint, list(attributes), match=match, **further), attributes),
        )

    async def act(self, action: Action, constraint: str, *, reason: str) -> Acted:
        """Do something to procs. Nothing that fits is no error."""

        def call(schedd: htcondor2.Schedd) -> Acted:
            # A plain text would be lost: the bindings pass on only a pair (htcondor-notes.md 4).
            told = schedd.act(action.value, constraint, reason=(reason, "0"))
            return Acted(
                int(told["TotalSuccess"]),
                int(told["TotalPermissionDenied"]),
                int(told["TotalBadStatus"]) + int(told["TotalError"]),
            )

        return await self._call(action.name.lower(), call)

    async def _call(self, what: str, work: Callable[[htcondor2.Schedd], T]) -> T:
        def run() -> T:
            with schedd_errors(what, self._name):
                # Made anew for each call: it remembers an address, and a schedd that was started again has another.
                return work(self._locate())

        return await anyio.to_thread.run_sync(run, limiter=self._limiter)

    def _locate(self) -> htcondor2.Schedd:
        if not self._name:
            return htcondor2.Schedd()
        found = htcondor2.Collector().locate(htcondor2.DaemonType.Schedd, self._name)
        if not found:
            raise UnavailableError(f"the collector knows no schedd {self._name!r}: MUSTER_SITE_CONDOR_SCHEDD")
        return htcondor2.Schedd(found)


@contextlib.contextmanager
def schedd_errors(what: str, name: str) -> Iterator[None]:
    """HTCondor's errors in; UnavailableError out, naming the call and the schedd."""
    try:
        yield
    except (htcondor2.HTCondorException, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnavailableError(f"{what}: the schedd {name or 'of this machine'} says: {said}") from error


def explain_refusal(text: str, count: int) -> str:
    """HTCondor's words in one line, and what they mean where they do not say it."""
    said = " ".join(text.split())
    if "expected next ProcId" in said or "Failed to create new proc" in said:
        return (
            f"n_workers {count}: the schedd takes no more procs in one submission, or of one owner: MAX_JOBS_PER_SUBMISSION and "
            f"MAX_JOBS_PER_OWNER of its configuration (it says: {said})"
        )
    return said


def check_expression(text: str) -> str | None:
    """Why a text is no ClassAd expression; None: it is one."""
    try:
        classad2.ExprTree(text)
    except classad2.ClassAdException as error:
        return str(error)
    return None


def _plain(ads: Sequence[Any], attributes: Sequence[str]) -> list[Ad]:
    plain: list[Ad] = []
    for ad in ads:
        values = ((name, ad.get(name)) for name in attributes)
        plain.append({name: value for name, value in values if isinstance(value, (str, int, float, bool))})
    return plain
