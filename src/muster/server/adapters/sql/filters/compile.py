"""Which rows may fit a filter? The filter as SQL conditions, each value bound, and the index that leads to the rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column

from muster.domain.filter import ID, OPAQUE, And, Equals, Field, Filter, IsOneOf
from muster.domain.match_filter import matches
from muster.server.adapters.sql.filters.between import UNSURE, Between, Condition, fixed, fold
from muster.server.adapters.sql.filters.json_texts import say_json
from muster.server.adapters.sql.filters.phase_logs import say_log
from muster.server.adapters.sql.filters.postgres_json import PostgresJson
from muster.server.adapters.sql.filters.scalars import say_nothing, say_scalar, say_words
from muster.server.adapters.sql.filters.sqlite_json import SqliteJson
from muster.server.adapters.sql.filters.stored import Stored
from muster.server.ports.finder import Attribute, Computed, Constant, Log, Source, Sources, Words


def compile_filter(filter_: Filter, sources: Sources, stored: Stored, *, is_postgres: bool) -> Between:
    """Conditions between which the filter is."""

    def test(one: Field) -> Between:  # noqa: PLR0911 - one a source
        name, rest = one.path[0], one.path[1:]
        if name == ID:
            return _say_constant(one, OPAQUE)
        source = sources.get(name)
        match source:
            case None:
                return say_nothing(one.predicate)
            case Constant(value):
                return _say_constant(one, value)
            case Computed():
                return UNSURE
            case Log(names):
                return say_log(names, rest, one.predicate, is_postgres=is_postgres)
            case Attribute(attribute) if attribute in stored.json:
                column, place = stored.json[attribute]
                json = PostgresJson(column) if is_postgres else SqliteJson(column)
                return say_json(json, place, rest, one.predicate)
            case Attribute() | Words():
                # A plain value has no fields.
                return say_nothing(one.predicate) if rest else _say_column(source, one, stored, is_postgres=is_postgres)

    return fold(filter_, test)


def find_approach(
    filter_: Filter, sources: Sources, stored: Stored, *, is_postgres: bool
) -> Sequence[Condition] | None:
    """Of what every object that fits must be, what an index can be asked for: it gives them in order of their numbers.

    Returns:
        Conditions; none: no index helps. None: at most as many objects as the filter has values can fit.
    """
    pinned: dict[str, Condition] = {}
    listed: dict[str, Condition] = {}
    for part in filter_.parts if isinstance(filter_, And) else (filter_,):
        match part:
            case Field((name,), Equals() | IsOneOf() as predicate):
                source = sources.get(name)
                if not isinstance(source, Attribute | Words) or source.name not in stored.columns:
                    continue
                values = (predicate.value,) if isinstance(predicate, Equals) else predicate.values
                if isinstance(source, Attribute) and None in values:
                    continue  # an index gives rows with null together, but PostgreSQL does not know them as in order
                condition = _say_column(source, part, stored, is_postgres=is_postgres).upper
                (pinned if len(values) == 1 else listed)[source.name] = condition
    if any(attribute in pinned or attribute in listed for attribute in stored.unique):
        return None
    for route in stored.routes:
        if pinned.keys() >= set(route):
            return [pinned[attribute] for attribute in route]
    return [listed[attribute] for attribute in stored.parents if attribute in listed][:1]


def _say_column(source: Source, test: Field, stored: Stored, *, is_postgres: bool) -> Between:
    match source:
        case Words(name, words):
            return say_words(stored.columns[name], words, test.predicate)
        case Attribute(name):
            column: Column[Any] = stored.columns[name]
            return say_scalar(column, test.predicate, is_postgres=is_postgres)
        case _:
            raise AssertionError(source)


def _say_constant(test: Field, value: object) -> Between:
    return fixed(holds=matches(test, {test.path[0]: value}))
