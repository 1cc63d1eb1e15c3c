"""How is the schedd asked? By calls that park only their caller; plain values and our errors come out."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import anyio

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor import bindings
from muster.site.adapters.htcondor.beside import call_beside
from muster.site.adapters.htcondor.classads import Values

IDENTIFY_S = 20.0
"""Seconds that a schedd may take to say for whom it takes us; as long as the bindings wait for an answer to a query."""

Ad = Mapping[str, Any]
"""Attributes by name, as asked for; those that an ad does not have, or that are undefined, are left out."""


class Action(StrEnum):
    """What may be done to procs; the words are HTCondor's."""

    HOLD = "Hold"
    RELEASE = "Release"
    REMOVE = "Remove"
    REMOVE_FORCED = "RemoveX"
    VACATE_FAST = "VacateFast"


@dataclass(frozen=True)
class Account:
    """Where we are, and who we are there.

    Args:
        schedd: as it calls itself.
        users: one of these is `User` of what we submit.
    """

    schedd: str
    users: Sequence[str]


@dataclass(frozen=True)
class Acted:
    """What an action did: procs it was done to, those that forbid it to this user, those in a state that does not allow it."""

    done: int
    denied: int
    refused: int

    def explain_denied(self, action: str, cluster: int) -> str:
        """For people. `action`: what was to be done, in a word."""
        forbidden = f"HTCondor does not let this user {action} {self.denied} procs"
        return f"cluster {cluster}: {forbidden}; only their owner and queue super users may"


class Schedd:
    """One schedd. `name`: as the collector knows it; empty: the one of this machine. One call at a time.

    Every method raises UnavailableError where it does not answer, which may take a minute.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._limiter = anyio.CapacityLimiter(1)
        self._account: Account | None = None

    async def identify(self) -> Account:
        """Which schedd it is, and for whom it takes us. Asked until it was answered once."""
        if self._account is None:
            # Of all calls this one has no time limit in the bindings: it would wait for a schedd that hangs until that goes on.
            with anyio.move_on_after(IDENTIFY_S):
                self._account = Account(*await call_beside(bindings.identify, self.name, limiter=self._limiter))
        if self._account is None:
            whose = self.name or "of this machine"
            raise UnavailableError(f"ping: the schedd {whose} does not answer within {IDENTIFY_S:g} s")
        return self._account

    async def submit(self, description: Mapping[str, str], *, count: int) -> int:
        """Place a cluster of so many procs, in one transaction; returns its number.

        Raises RejectedError in HTCondor's own words: nothing was placed. Raises UnavailableError: perhaps it was.
        """
        asked = (self.name, dict(description), count)
        return await call_beside(bindings.submit, *asked, limiter=self._limiter, may_repeat=False)

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        """Ads of the queue. `factories`: those of clusters too that make their procs as they go; they have no ProcId."""
        asked = (self.name, constraint, list(attributes), limit, factories)
        return list(await call_beside(bindings.query, *asked, limiter=self._limiter))

    async def query_numbers(self, constraint: str, attributes: Sequence[str]) -> "array[int]":
        """Attributes of many procs that are whole numbers, one proc after the other, in this order; 0 where one has none.

        They come as bytes, in which nobody has to look for them.
        """
        asked = (self.name, constraint, list(attributes))
        numbers = array("q")
        numbers.frombytes(await call_beside(bindings.query_numbers, *asked, limiter=self._limiter))
        return numbers

    async def find_whole(self, constraint: str) -> Values | None:
        """The whole ad of one proc that meets the constraint, expressions too."""
        return await call_beside(bindings.find_whole, self.name, constraint, limiter=self._limiter)

    async def history(
        self, constraint: str, attributes: Sequence[str], *, match: int = -1, since: str = ""
    ) -> list[Ad]:
        """Ads of ended procs, the newest first, as far back as the schedd keeps them. `since`: an expression at which to stop."""
        asked = (self.name, constraint, list(attributes), match, since)
        return list(await call_beside(bindings.history, *asked, limiter=self._limiter))

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        """Do something to procs. Nothing that fits is no error. `code`: the subcode of a hold, by which those are known whom it holds."""
        asked = (self.name, str(action), constraint, reason, code)
        return Acted(*await call_beside(bindings.act, *asked, limiter=self._limiter))

    async def find_programs(self) -> str:
        """The folder of HTCondor's own programs; empty: its configuration does not say."""
        return await call_beside(bindings.find_programs, limiter=self._limiter)
