"""Can an agent still take what was ordered at a location? It may have been taken out of the list since, or given another schedd."""

from collections.abc import Mapping

from muster.domain.location import Agent, Location


def explain_displacement(name: str, schedd: str, known: Mapping[str, Location], *, is_offered: bool) -> str | None:
    """Why no agent is given a taskforce that stands there, as half a sentence; None where one is.

    Args:
        name, schedd: where it was ordered.
        known: the locations that there are, by names and aliases.
        is_offered: an agent of upstream's asks at the schedd. It goes by that alone, so it is given what stands at no location of ours.
    """
    place = known.get(name)
    if is_offered and (place is None or place.agent is Agent.UPSTREAM):
        return None
    if place is None:
        return f"the location {name} is not among MUSTER_LOCATIONS of this service any more"
    if place.name != name:
        return f"the location {name} is but an alias of {place.name} in MUSTER_LOCATIONS of this service now"
    if place.schedd != schedd:
        return f"the schedd of the location {name} was {schedd} when this was ordered, and is {place.schedd} in MUSTER_LOCATIONS now"
    return None
