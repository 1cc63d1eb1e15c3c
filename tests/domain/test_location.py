"""Are locations found by every name, and doubled names refused?"""

import pytest

from muster.domain.location import TEST_LOCATIONS, Location, index_locations


def test_a_location_is_found_by_its_name_and_by_each_alias() -> None:
    osg = Location("osg", schedd="ap.example.org", aliases=("OSG", "sub-2"))

    assert index_locations((osg, *TEST_LOCATIONS)) == {
        "osg": osg,
        "OSG": osg,
        "sub-2": osg,
        "test-alpha": TEST_LOCATIONS[0],
        "test-beta": TEST_LOCATIONS[1],
    }


def test_a_name_given_twice_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'a'"):
        index_locations((Location("a", schedd="x"), Location("b", schedd="y", aliases=("a",))))
