"""Does every workflow belong to exactly one service, to each about as many, and does it stay there when others come?"""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.sharing import Share

SERVICES = st.sets(st.integers(0, 1023), min_size=1, max_size=6)
NAMES = st.text(max_size=30)


def find_owners(services: set[int], workflow_id: str) -> list[int]:
    return [one for one in services if Share(one, services).has(workflow_id)]


@given(SERVICES, NAMES)
def test_every_workflow_is_in_exactly_one_share(services: set[int], workflow_id: str) -> None:
    assert len(find_owners(services, workflow_id)) == 1


@given(SERVICES, st.integers(0, 1023), NAMES)
def test_one_that_comes_takes_from_others_and_moves_nothing_else(
    services: set[int], newcomer: int, workflow_id: str
) -> None:
    after = find_owners(services | {newcomer}, workflow_id)

    assert after in (find_owners(services, workflow_id), [newcomer])


@given(NAMES)
def test_one_alone_has_all_of_them(workflow_id: str) -> None:
    assert Share(5).has(workflow_id)


def test_each_has_about_as_many() -> None:
    services = {0, 1, 67}

    counted = Counter(owner for number in range(3000) for owner in find_owners(services, f"WF-6a1b-{number:08x}"))

    assert all(900 < counted[one] < 1100 for one in services), counted
