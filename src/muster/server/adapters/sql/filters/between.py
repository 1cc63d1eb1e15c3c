"""What if SQL cannot say what a filter says? Then it says two things, and the truth is between them.

A regular expression is searched for in no database, an object's order of fields is lost in `jsonb`. So each part of a filter becomes two
conditions: one that holds wherever the part does, and one that holds only there. Denying a part denies the other one of the two, so
that nothing which fits is ever left out. Where SQL can say it, both are the same.

Every condition is true or false for every row, never null: it can be denied.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from sqlalchemy import ColumnElement, and_, false, not_, or_, true
from sqlalchemy.sql.elements import False_, True_

from muster.domain.filter import And, Field, Filter, Not, Or

Condition: TypeAlias = ColumnElement[bool]


@dataclass(frozen=True)
class Between:
    """What holds wherever the truth does (`upper`), and what holds only there (`lower`); each is made when it is asked for."""

    make_upper: Callable[[], Condition]
    make_lower: Callable[[], Condition]

    @cached_property
    def upper(self) -> Condition:
        return self.make_upper()

    @cached_property
    def lower(self) -> Condition:
        return self.make_lower()


def exactly(condition: Condition) -> Between:
    """SQL can say it."""
    return Between(lambda: condition, lambda: condition)


def at_most(condition: Condition) -> Between:
    """It holds only where `condition` does; where exactly, SQL cannot say."""
    return Between(lambda: condition, false)


def fixed(*, holds: bool) -> Between:
    """It holds for every row, or for none."""
    return exactly(true() if holds else false())


UNSURE = at_most(true())


def all_of(parts: Iterable[Between]) -> Between:
    """Every part holds."""
    listed = tuple(parts)
    return Between(lambda: _all(one.upper for one in listed), lambda: _all(one.lower for one in listed))


def any_of(parts: Iterable[Between]) -> Between:
    """Some part holds."""
    listed = tuple(parts)
    return Between(lambda: _any(one.upper for one in listed), lambda: _any(one.lower for one in listed))


def _all(conditions: Iterable[Condition]) -> Condition:
    """All of them, without those that hold for every row; what holds for none is seen to."""
    kept = [one for one in conditions if not isinstance(one, True_)]
    if any(isinstance(one, False_) for one in kept):
        return false()
    return and_(*kept) if len(kept) > 1 else kept[0] if kept else true()


def _any(conditions: Iterable[Condition]) -> Condition:
    kept = [one for one in conditions if not isinstance(one, False_)]
    if any(isinstance(one, True_) for one in kept):
        return true()
    return or_(*kept) if len(kept) > 1 else kept[0] if kept else false()


def deny(part: Between) -> Between:
    """The part does not hold."""
    return Between(lambda: not_(part.lower), lambda: not_(part.upper))


def fold(filter_: Filter, test: Callable[[Field], Between]) -> Between:
    """The whole of a filter, its tests told by `test`."""
    match filter_:
        case Field():
            return test(filter_)
        case Not(part):
            return deny(fold(part, test))
        case And(parts):
            return all_of(fold(part, test) for part in parts)
        case Or(parts):
            return any_of(fold(part, test) for part in parts)
