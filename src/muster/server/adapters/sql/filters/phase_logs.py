"""What does a predicate say of a taskforce's log? Its entries are rows of a table of their own, and there is at least one."""

from collections.abc import Callable, Mapping

from sqlalchemy import exists, func, select

from muster.domain.filter import (
    Exists,
    Field,
    HasElement,
    HasSize,
    Path,
    Predicate,
    list_nested,
)
from muster.domain.match_filter import holds
from muster.server.adapters.sql.filters.between import UNSURE, Between, Condition, exactly, fixed, fold
from muster.server.adapters.sql.filters.scalars import read_scalar, say_nothing, say_scalar
from muster.server.adapters.sql.schema import phase_log, taskforce

_OF_THIS = phase_log.c.taskforce_uuid == taskforce.c.taskforce_uuid


def say_log(names: Mapping[str, str], path: Path, predicate: Predicate, *, is_postgres: bool) -> Between:
    """The predicate about what a path leads to in the list of entries.

    Args:
        names: name in the document's entries → column of the log.
        path: from the list on.
    """

    def say_entry(test: Field) -> Between:
        name, *beyond = test.path
        if beyond or name not in names:
            return say_nothing(test.predicate)
        return say_scalar(read_scalar(phase_log.c[names[name]], is_postgres=is_postgres), test.predicate)

    if not path:
        return _say_list(predicate, say_entry)
    if path[0].isdigit():
        return UNSURE
    return _some(say_entry(Field(path, predicate)))


def _say_list(predicate: Predicate, say_entry: Callable[[Field], Between]) -> Between:
    """About the list itself, and its entries as they are: objects."""
    match predicate:
        case Exists():
            return fixed(holds=True)
        case HasSize(size):
            count = select(func.count()).select_from(phase_log).where(_OF_THIS).scalar_subquery()
            return exactly(count == size) if size < 1 << 31 else fixed(holds=False)
        case HasElement(condition, is_value):
            return _some(fold(condition, _say_object if is_value else say_entry))
        case _:
            return _say_object(Field((), predicate))


def _say_object(test: Field) -> Between:
    """About some object or array: only others of their kind could be equal to it, or stand to it in any way."""
    return UNSURE if list_nested(test.predicate) else fixed(holds=holds(test.predicate, {}))


def _some(entry: Between) -> Between:
    return Between(lambda: _has_entry(entry.upper), lambda: _has_entry(entry.lower))


def _has_entry(condition: Condition) -> Condition:
    return exists().where(_OF_THIS, condition)
