"""Where can workers run, who starts them there, and what stands there? And what stands where nobody can be told of it?"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from muster.domain.asking import Ask
from muster.domain.displacement import explain_displacement
from muster.domain.location import Agent, Location
from muster.server.ports.census import PlaceCounts
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts

AGENTS_MAX = 20
"""Agents that one answer names at each location: the last ones to ask."""


@dataclass(frozen=True)
class LocationNow:
    """A location. `asks`: of its agents, the last one first."""

    location: Location
    asks: Sequence[Ask]
    counts: PlaceCounts


@dataclass(frozen=True)
class Displaced:
    """What stands at a place of which no agent is told. `why`: half a sentence."""

    location: str
    schedd: str
    why: str
    counts: PlaceCounts


@dataclass(frozen=True)
class Locations:
    """Every location of this service, and what stands elsewhere. `at`: seconds since the epoch."""

    at: float
    known: Sequence[LocationNow]
    displaced: Sequence[Displaced]


async def read_locations(parts: Parts) -> Locations:
    """All of them, by name."""
    return await parts.store.read(lambda tx: _look(tx, parts))


def _look(tx: Transaction, parts: Parts) -> Locations:
    counted, known = tx.census.count_places(), {one.name: one for one in parts.locations.values()}
    schedds = {one.schedd for one in known.values()} | {schedd for _, schedd in counted}
    asks = tx.askings.find(locations=known.keys(), schedds=schedds)
    offered = {one.place for one in asks if one.kind is Agent.UPSTREAM and one.is_there(tx.now())}
    displaced = [
        Displaced(name, schedd, why, counts)
        for (name, schedd), counts in sorted(counted.items(), key=lambda one: one[0])
        if counts.taskforces
        and (why := explain_displacement(name, schedd, parts.locations, is_offered=schedd in offered)) is not None
    ]
    elsewhere = {(one.location, one.schedd) for one in displaced}
    return Locations(
        at=tx.now(),
        known=[
            LocationNow(
                one,
                [ask for ask in asks if _is_of(ask, one)][:AGENTS_MAX],
                _sum([those for at, those in counted.items() if at[0] == name and at not in elsewhere]),
            )
            for name, one in sorted(known.items())
        ],
        displaced=displaced,
    )


def _is_of(ask: Ask, location: Location) -> bool:
    place = location.name if location.agent is Agent.MUSTER else location.schedd
    return ask.kind is location.agent and ask.place == place


def _sum(those: Sequence[PlaceCounts]) -> PlaceCounts:
    """Of one location, whose schedd may have had other names, at which upstream's agent asks still."""
    return PlaceCounts(*(sum(ones) for ones in zip(*map(astuple, those), strict=True)))
