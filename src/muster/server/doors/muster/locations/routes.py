"""Where can workers run, who starts them there, and what stands there?"""

from collections.abc import Sequence

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from muster.client.shapes.service import AskingAgent, DisplacedView, Locations, LocationView, TaskforceCounts
from muster.domain.location import Agent
from muster.server.doors.access import ANYONE, SignedIn
from muster.server.ports.census import PlaceCounts
from muster.server.services.parts import Parts
from muster.server.services.read_locations import LocationNow, read_locations


@get("/locations", opt={"access": ANYONE})
async def locations(request: SignedIn, parts: NamedDependency[Parts]) -> Locations:
    """The locations of this service with the agents that ask there; and what stands where no agent can be told of it."""
    del request  # whoever is signed in may read all of it
    found = await read_locations(parts)
    return Locations(
        at=found.at,
        locations=[_render(one, at=found.at) for one in found.known],
        displaced=[
            DisplacedView(one.location, one.schedd, one.why, _count(one.counts), one.counts.sessions)
            for one in found.displaced
        ],
    )


def _render(one: LocationNow, *, at: float) -> LocationView:
    location = one.location
    return LocationView(
        name=location.name,
        aliases=list(location.aliases),
        schedd=location.schedd,
        agent=location.agent.value,
        agents=[AskingAgent(ask.agent, ask.at, ask.is_there(at)) for ask in one.asks],
        taskforces=_count(one.counts),
        workers=one.counts.sessions if location.agent is Agent.MUSTER else None,
    )


def _count(counts: PlaceCounts) -> TaskforceCounts:
    return TaskforceCounts(counts.waiting, counts.running, counts.stopping, counts.held)


handlers: Sequence[HTTPRouteHandler] = (locations,)
