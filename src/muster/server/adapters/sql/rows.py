"""What do the repositories share? The connection of one transaction, its clock, its ids, and the topics it will wake."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Connection, Select, Table, func, select
from sqlalchemy.sql import visitors

from muster.domain.control_characters import SURROGATE
from muster.domain.ids import EventIds
from muster.server.adapters.sql.new_rows import Gathered, NewRows, Row


@dataclass(frozen=True, eq=False)
class LookUp:
    """A select that is built once, and which tables it reads."""

    statement: Select[Any]

    @cached_property
    def tables(self) -> Collection[Table]:
        """Those that stand in it anywhere."""
        parts = list(visitors.iterate(self.statement))
        return {one for one in parts if isinstance(one, Table)} | {
            one.table for one in parts if isinstance(one, Column) and isinstance(one.table, Table)
        }


class AloneError(Exception):
    """A work is in the wrong company: it would wait for what is no business of who shares its transaction, or one of them spoilt that.
    It needs a transaction of its own, and nothing of it was done.
    """


@dataclass
class Session:
    """One transaction, as the repositories see it.

    Args:
        core: SQLAlchemy's connection, inside the transaction.
        ids: the source of event and session numbers; used by one thread alone.
        clock: seconds since the epoch; asked once.
        topics: what is woken after the commit.
        is_shared: works of others are in the same transaction, and wait with each other.
        effects: how often something was, or may have been, done that the commit makes known. A select has none.
    """

    core: Connection
    ids: EventIds
    clock: Callable[[Connection], float]
    topics: dict[str, None] = field(default_factory=dict)
    is_shared: bool = False
    effects: int = 0
    _now: float | None = None
    _gathered: Gathered = field(init=False)

    def __post_init__(self) -> None:
        self._gathered = Gathered(self.core)

    @property
    def connection(self) -> Connection:
        """The connection, with every row in that was inserted so far."""
        self.effects += 1  # whoever has it may do anything
        self._gathered.carry_out()
        return self.core

    @property
    def is_postgres(self) -> bool:
        return self.core.dialect.name == "postgresql"

    def now(self) -> float:
        """The database's clock, the same throughout the transaction."""
        if self._now is None:
            self._now = self.clock(self.core)
        return self._now

    def take_number(self) -> int:
        """A number that nothing had before and that grows with time."""
        return self.ids.take(1, now_s=self.now())[0]

    def insert(self, new: NewRows, rows: Sequence[Row]) -> None:
        """Insert rows, at the latest before the next statement that may read them, or the commit (`finish`)."""
        self.effects += 1
        self._gathered.add(new, rows)

    def finish(self) -> None:
        """Before the commit."""
        self._gathered.carry_out()

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one SQLAlchemy Core statement."""
        self.effects += not statement.is_select
        self._gathered.carry_out()
        return self.core.execute(statement, parameters)

    def look_up(self, look: LookUp, parameters: Any = None) -> Any:
        """As `execute`; but rows of tables that it does not read wait on."""
        if self._gathered.has_rows(look.tables):
            self._gathered.carry_out()
        return self.core.execute(look.statement, parameters)

    def wake(self, topic: str) -> None:
        """Wake those who wait for a topic, after the commit."""
        self.effects += 1
        self.topics[topic] = None


_CLOCK = select(func.extract("epoch", func.clock_timestamp()))


def ask_postgres_clock(connection: Connection) -> float:
    """The server's clock, seconds since the epoch."""
    return float(connection.scalar(_CLOCK) or 0.0)


def keepable(names: Iterable[str]) -> Sequence[str]:
    """Those that a row may hold: PostgreSQL refuses even to look for text with NUL, or with half of a surrogate pair."""
    return [one for one in names if "\0" not in one and not SURROGATE.search(one)]
