"""Is it told who has what another one waits for: to its owner by workflow, of others only what they are told?"""

import pytest

from muster.domain.occupancy import Occupant, render_occupancy

OWN = [Occupant("WF-a", 150), Occupant("WF-b", 40), Occupant("WF-c", 5)]


@pytest.mark.parametrize(
    ("own", "by_owner", "is_own", "names_owners", "told"),
    [
        (OWN, {"ada": 198, "eve": 9}, True, True, "WF-a (150), WF-b (40), WF-c (5) and others of ada (3)"),
        (OWN[:1], {"ada": 150}, True, False, "WF-a (150)"),
        (
            OWN[:2],
            {"ada": 190, "eve": 9, "bob": 4},
            False,
            False,
            "WF-a (150), WF-b (40) and those of other owners (13)",
        ),
        ([], {"ada": 4, "eve": 9}, False, False, "those of ada (4) and those of other owners (9)"),
        (
            OWN[:1],
            {"ada": 150, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5},
            False,
            True,
            "WF-a (150), those of e (5), those of d (4), those of c (3) and those of other owners (3)",
        ),
    ],
)
def test_who_has_it_is_told(
    own: list[Occupant], by_owner: dict[str, int], *, is_own: bool, names_owners: bool, told: str
) -> None:
    found = render_occupancy("ada", own, by_owner, is_own=is_own, names_owners=names_owners)

    assert found == f"they are in use by {told}"


def test_where_nobody_has_any_nothing_is_told() -> None:
    """All of it is kept for one that has waited longer."""
    assert render_occupancy("ada", [], {"eve": 9}, is_own=True, names_owners=True) is None


def test_what_its_own_workflow_has_is_told_as_that() -> None:
    told = render_occupancy("ada", OWN[:1], {"ada": 160, "eve": 9}, is_own=True, names_owners=False, mine=4)
    assert told == "they are in use by its own workflow (4), WF-a (150) and others of ada (6)"
    alone = render_occupancy("ada", [], {"ada": 4}, is_own=True, names_owners=False, mine=4)
    assert alone == "they are in use by its own workflow (4)"
