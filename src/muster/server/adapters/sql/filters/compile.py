"""Which rows may fit a filter? The filter as SQL conditions, each value bound, and the index that leads to the rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column

from muster.domain.filter import ID, OPAQUE, And, Equals, Field, Filter, IsOneOf, Path, Predicate
from muster.domain.match_filter import matches
from muster.server.adapters.sql.filters.between import UNSURE, Between, Condition, fixed, fold
from muster.server.adapters.sql.filters.json_texts import say_json
from muster.server.adapters.sql.filters.phase_logs import say_log
from muster.server.adapters.sql.filters.postgres_json import PostgresJson
from muster.server.adapters.sql.filters.scalars import Scalar, read_scalar, say_nothing, say_scalar, say_words
from muster.server.adapters.sql.filters.sqlite_json import SqliteJson
from muster.server.adapters.sql.filters.stored import Stored
from muster.server.ports.finder import Attribute, Computed, Constant, Log, Sources, Words

JSON_TESTS_MAX = 30
"""Tests of columns of JSON that one filter is told in SQL; each is long, and the filter itself decides on the others."""


def compile_filter(filter_: Filter, sources: Sources, stored: Stored, *, is_postgres: bool) -> Between:
    """Conditions between which the filter is. SQLite is shown no way to the rows in them: that is `find_approach`'s business."""
    return fold(filter_, _Teller(sources, stored, is_postgres).say)


@dataclass
class _Teller:
    """Says in SQL what the tests of one filter say."""

    sources: Sources
    stored: Stored
    is_postgres: bool
    json_tests: int = 0

    def say(self, test: Field) -> Between:  # noqa: PLR0911 - one a source
        name, rest = test.path[0], test.path[1:]
        if name == ID:
            return _say_constant(test, OPAQUE)
        source = self.sources.get(name)
        match source:
            case None:
                return say_nothing(test.predicate)
            case Constant(value):
                return _say_constant(test, value)
            case Computed():
                return UNSURE
            case Log(names):
                return say_log(names, rest, test.predicate, is_postgres=self.is_postgres)
            case Attribute(attribute) if attribute in self.stored.json:
                return self._say_json(*self.stored.json[attribute], rest, test.predicate)
            case Attribute() | Words():
                if rest:  # a plain value has no fields
                    return say_nothing(test.predicate)
                scalar = read_scalar(self.stored.columns[source.name], is_postgres=self.is_postgres, is_hidden=True)
                return _say_column(source, test.predicate, scalar)

    def _say_json(self, column: Column[Any], place: Path, rest: Path, predicate: Predicate) -> Between:
        self.json_tests += 1
        if self.json_tests > JSON_TESTS_MAX:
            return UNSURE
        return say_json(PostgresJson(column) if self.is_postgres else SqliteJson(column), place, rest, predicate)


@dataclass(frozen=True)
class Approach:
    """The way by an index to what may fit.

    Args:
        conditions: of what every object that fits must be, what the index is asked for; none: that of the numbers alone.
        is_short: it leads to no more objects than the filter has values; else to any number, in order of their numbers.
    """

    conditions: Sequence[Condition]
    is_short: bool = False


def find_approach(filter_: Filter, sources: Sources, stored: Stored, *, is_postgres: bool) -> Approach:
    """The narrowest way to what may fit."""
    pinned: dict[str, Condition] = {}
    listed: dict[str, Condition] = {}
    for part in _list_needed(filter_):
        match part:
            case Field((name,), Equals() | IsOneOf() as predicate):
                source = sources.get(name)
                if not isinstance(source, Attribute | Words) or source.name not in stored.columns:
                    continue
                values = (predicate.value,) if isinstance(predicate, Equals) else predicate.values
                if isinstance(source, Attribute) and None in values:
                    continue  # an index gives rows with null together, but PostgreSQL does not know them as in order
                scalar = read_scalar(stored.columns[source.name], is_postgres=is_postgres)
                (pinned if len(values) == 1 else listed)[source.name] = _say_column(source, predicate, scalar).upper
    for attribute in stored.unique:
        if attribute in pinned or attribute in listed:
            return Approach([(listed | pinned)[attribute]], is_short=True)
    known = pinned | {name: condition for name, condition in listed.items() if name in stored.parents}
    for route in stored.routes:
        if known.keys() >= set(route):
            return Approach([known[attribute] for attribute in route])
    return Approach([])


def _list_needed(filter_: Filter) -> Iterator[Filter]:
    """What every object that fits must fit."""
    if isinstance(filter_, And):
        for part in filter_.parts:
            yield from _list_needed(part)
    else:
        yield filter_


def _say_column(source: Attribute | Words, predicate: Predicate, scalar: Scalar) -> Between:
    return say_words(scalar, source.words, predicate) if isinstance(source, Words) else say_scalar(scalar, predicate)


def _say_constant(test: Field, value: object) -> Between:
    return fixed(holds=matches(test, {test.path[0]: value}))
