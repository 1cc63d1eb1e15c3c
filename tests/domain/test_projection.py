"""What is left of a document when only some of its fields are wanted?"""

from typing import Any

import pytest

from muster.domain.projection import parse_projection

DOCUMENT = {
    "uuid": "TF-1",
    "config": {"tag": "x", "environment": {"A": 1, "B": [1]}},
    "log": [{"phase": "a", "at": 1}, {"phase": "b", "at": 2}, 5, [{"at": 3}, []]],
    "cluster": None,
}


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["uuid"], {"uuid": "TF-1"}),
        (["cluster", "uuid"], {"uuid": "TF-1", "cluster": None}),
        (["log.at"], {"log": [{"at": 1}, {"at": 2}, [{"at": 3}, []]]}),
        (["log.at", "log.phase"], {"log": [{"phase": "a", "at": 1}, {"phase": "b", "at": 2}, [{"at": 3}, []]]}),
        (["log.0"], {"log": [{}, {}, [{}, []]]}),
        (["config.environment.A", "config.tag"], {"config": {"tag": "x", "environment": {"A": 1}}}),
        (["config.nothing"], {"config": {}}),
        (["config.tag.x"], {"config": {}}),
        (["cluster.x", "uuid.x"], {}),
        (["nothing", "", ".", "$x", "log..at"], {"log": [{}, {}, [{}, []]]}),
        (["config", "config.tag"], {"config": DOCUMENT["config"]}),
        (["config.tag", "config"], {"config": DOCUMENT["config"]}),
        (["_id", "uuid"], {"uuid": "TF-1"}),
        (["config._id"], {"config": {}}),
    ],
)
def test_only_what_is_named_is_left(names: list[str], left: dict[str, Any]) -> None:
    projection = parse_projection(names)
    assert projection is not None
    assert projection.apply(DOCUMENT) == left
    assert list(projection.apply(DOCUMENT)) == [name for name in DOCUMENT if name in left]


@pytest.mark.parametrize("names", [[], ["_id"]])
def test_where_nothing_is_left_of_the_names_the_whole_is_wanted(names: list[str]) -> None:
    assert parse_projection(names) is None


def test_a_name_of_very_many_parts_is_just_not_there() -> None:
    projection = parse_projection([".".join(["config"] * 200_000), "uuid"])
    assert projection is not None
    assert projection.apply(DOCUMENT) == {"uuid": "TF-1", "config": {}}


def test_a_field_is_wanted_where_something_of_it_is() -> None:
    projection = parse_projection(["log.at", "uuid"])
    assert projection is not None
    assert [name for name in DOCUMENT if projection.wants(name)] == ["uuid", "log"]
