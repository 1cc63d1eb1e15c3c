"""Where can workers run? Locations and their aliases."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Agent(StrEnum):
    """Who starts and stops the taskforces of a location."""

    MUSTER = "muster"  # our site agent, by claims
    UPSTREAM = "upstream"  # the EWMS task management service, by the compatible routes


@dataclass(frozen=True)
class Location:
    """One access point as users name it.

    Args:
        schedd: the access point's name; taskforces are addressed by it.
        collector: what EWMS clients are shown as that of a taskforce; only where they look at it.
        containers: can its workers run images, as far as anybody knows before its agent says?
    """

    name: str
    schedd: str
    agent: Agent = Agent.MUSTER
    aliases: tuple[str, ...] = ()
    collector: str | None = None
    containers: bool = True


TEST_LOCATIONS = (
    Location("test-alpha", schedd="SCHEDD1", agent=Agent.UPSTREAM),
    Location("test-beta", schedd="SCHEDD2", agent=Agent.UPSTREAM),
)
"""Known only under the test switch (wms.md section 14.4)."""


def index_locations(locations: tuple[Location, ...]) -> Mapping[str, Location]:
    """Every name and alias, with its location.

    Raises:
        ValueError: two locations share a name or an alias.
    """
    index: dict[str, Location] = {}
    for location in locations:
        for name in (location.name, *location.aliases):
            if (other := index.get(name)) is not None:
                whose = (
                    f"twice to the location {other.name!r}"
                    if other == location
                    else f"to the locations {other.name!r} and {location.name!r}"
                )
                raise ValueError(f"the name {name!r} is given {whose}: as a name or an alias, it may stand once")
            index[name] = location
    return index


def explain_no_containers(image: str, location: str) -> str:
    """Why a task with an image cannot run at a location without a container runtime, and what to do."""
    return (
        f"no container runtime here: task_image {image!r} cannot run at {location!r}; "
        "leave task_image empty to run task_args as a plain command, or choose another location"
    )


def list_upstreams(locations: Mapping[str, Location]) -> frozenset[str]:
    """Names of the locations that upstream's agent serves."""
    return frozenset(one.name for one in locations.values() if one.agent is Agent.UPSTREAM)
