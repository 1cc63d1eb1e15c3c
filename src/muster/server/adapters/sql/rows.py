"""What do the repositories share? The connection of one transaction, its clock, its ids, and the topics it will wake."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, func, select

from muster.domain.control_characters import SURROGATE
from muster.domain.ids import EventIds
from muster.server.adapters.sql.new_rows import Gathered, NewRows, Row


@dataclass
class Session:
    """One transaction, as the repositories see it.

    Args:
        core: SQLAlchemy's connection, inside the transaction.
        ids: the source of event and session numbers; used by one thread alone.
        clock: seconds since the epoch; asked once.
        topics: what is woken after the commit.
        changes: how often something was, or may have been, changed.
    """

    core: Connection
    ids: EventIds
    clock: Callable[[Connection], float]
    topics: dict[str, None] = field(default_factory=dict)
    changes: int = 0
    _now: float | None = None
    _gathered: Gathered = field(init=False)

    def __post_init__(self) -> None:
        self._gathered = Gathered(self.core)

    @property
    def connection(self) -> Connection:
        """The connection, with every row in that was inserted so far."""
        self.changes += 1  # whoever has it may do anything
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
        self.changes += 1
        self._gathered.add(new, rows)

    def finish(self) -> None:
        """Before the commit."""
        self._gathered.carry_out()

    def execute(self, statement: Any, parameters: Any = None) -> Any:
        """Run one SQLAlchemy Core statement."""
        self.changes += not statement.is_select
        self._gathered.carry_out()
        return self.core.execute(statement, parameters)

    def look_up(self, statement: Any, parameters: Any = None, *, of: Collection[Table] = ()) -> Any:
        """As `execute`, for one that reads nothing but rows of these tables: those of others may wait on."""
        if self._gathered.has_rows(of):
            self._gathered.carry_out()
        return self.core.execute(statement, parameters)


_CLOCK = select(func.extract("epoch", func.clock_timestamp()))


def ask_postgres_clock(connection: Connection) -> float:
    """The server's clock, seconds since the epoch."""
    return float(connection.scalar(_CLOCK) or 0.0)


def keepable(names: Iterable[str]) -> Sequence[str]:
    """Those that a row may hold: PostgreSQL refuses even to look for text with NUL, or with half of a surrogate pair."""
    return [one for one in names if "\0" not in one and not SURROGATE.search(one)]
