"""Is it said of an order whose location is not what it was, and of no other, that no agent can take it?"""

import pytest

from muster.domain.displacement import explain_displacement
from muster.domain.location import Agent, Location, index_locations

KNOWN = index_locations(
    (
        Location("lab", schedd="ap.lab", aliases=("old-lab",)),
        Location("far", schedd="ap.far", agent=Agent.UPSTREAM),
    )
)
GONE = "the location gone is not among MUSTER_LOCATIONS of this service any more"
MOVED = "the schedd of the location lab was ap.old when this was ordered, and is ap.lab in MUSTER_LOCATIONS now"
THEIRS_MOVED = "the schedd of the location far was ap.old when this was ordered, and is ap.far in MUSTER_LOCATIONS now"
RENAMED = "the location old-lab is but an alias of lab in MUSTER_LOCATIONS of this service now"


@pytest.mark.parametrize(
    ("name", "schedd", "is_offered", "why"),
    [
        ("lab", "ap.lab", False, None),
        ("far", "ap.far", False, None),
        ("gone", "ap.lab", False, GONE),
        ("gone", "ap.far", True, None),  # an agent of upstream's asks there, and is given it
        ("lab", "ap.old", False, MOVED),
        ("lab", "ap.old", True, MOVED),  # what stands at a location of ours is not for upstream's agent
        ("far", "ap.old", False, THEIRS_MOVED),
        ("far", "ap.old", True, None),
        ("old-lab", "ap.lab", False, RENAMED),
    ],
)
def test_what_no_agent_is_given_is_told_with_the_reason(
    name: str, schedd: str, why: str | None, *, is_offered: bool
) -> None:
    assert explain_displacement(name, schedd, KNOWN, is_offered=is_offered) == why
