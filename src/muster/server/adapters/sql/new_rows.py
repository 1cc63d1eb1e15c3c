"""How do the many rows of a new workflow come in with few statements?

Nobody needs an answer to them: so they are gathered, and on PostgreSQL those of all tables go in one statement, before the next that is
carried out, or the commit. Each would be a way to the server and back, and cost more than its rows. On SQLite there is no way to save,
and each goes at once, by a text that is made once: what SQLAlchemy does for a statement takes longer than it.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

from sqlalchemy import Column, Connection, Dialect, Table

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of a table, as they are made in one place.

    Args:
        table: rows name some of its columns, all of them the same ones.
        computed: columns that the database finds out itself, by its own SQL: for PostgreSQL and for SQLite.
    """

    table: Table
    computed: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Gathered:
    """Rows on their way into the database, in the order in which they came.

    Args:
        connection: SQLAlchemy's, inside a transaction.
    """

    connection: Connection
    _waiting: dict[NewRows, list[Row]] = field(default_factory=dict)
    _names: dict[NewRows, tuple[str, ...]] = field(default_factory=dict)

    def add(self, new: NewRows, rows: Sequence[Row]) -> None:
        """Insert them, now or with others; on PostgreSQL an error comes with those.

        Raises:
            ValueError: they name other columns than those before them.
        """
        if not rows:
            return
        names = tuple(rows[0])
        known = self._names.setdefault(new, names)
        if any(row.keys() != rows[0].keys() for row in rows) or set(names) != set(known):
            raise ValueError(f"rows of {new.table.name} name different columns: {names}, and before {known}")
        if self.connection.dialect.name == "postgresql":
            self._waiting.setdefault(new, []).extend(rows)  # parts of one statement have no order
        else:
            self.connection.exec_driver_sql(
                _write_one(new, known), [tuple(row[name] for name in known) for row in rows]
            )

    def has_rows(self, tables: Collection[Table]) -> bool:
        """Do rows of these tables wait?"""
        return any(new.table in tables for new in self._waiting)

    def carry_out(self) -> None:
        """Insert what waits."""
        if self._waiting:
            waiting, self._waiting = self._waiting, {}
            parts = tuple((new, self._names[new]) for new in waiting)
            columns = ([row[name] for row in waiting[new]] for new, names in parts for name in names)
            self.connection.exec_driver_sql(_write_together(parts), tuple(columns))


@lru_cache(maxsize=64)
def _write_one(new: NewRows, names: tuple[str, ...]) -> str:
    columns = ", ".join((*names, *new.computed))
    values = ", ".join((*("?" for _ in names), *(sqlite for _, sqlite in new.computed.values())))
    return f"INSERT INTO {new.table.name} ({columns}) VALUES ({values})"  # noqa: S608 - our names


@lru_cache(maxsize=64)
def _write_together(parts: tuple[tuple[NewRows, tuple[str, ...]], ...]) -> str:
    return f"WITH {', '.join(_write_parts(parts))} SELECT 1"


def _write_parts(parts: tuple[tuple[NewRows, tuple[str, ...]], ...]) -> Iterator[str]:
    places = count(1)
    for number, (new, names) in enumerate(parts):
        columns = ", ".join((*names, *new.computed))
        arrays = ", ".join(f"CAST(${next(places)} AS {_write_type(new.table.c[name])}[])" for name in names)
        values = ", ".join((*(f"one.{name}" for name in names), *(postgres for postgres, _ in new.computed.values())))
        # In their order: a table that numbers its rows numbers these so.
        yield (
            f"part_{number} AS (INSERT INTO {new.table.name} ({columns}) SELECT {values} "  # noqa: S608 - our names
            f"FROM unnest({arrays}) WITH ORDINALITY AS one({', '.join((*names, 'place'))}) ORDER BY place)"
        )


def _write_type(column: Column[Any]) -> str:
    from sqlalchemy.dialects import postgresql  # a part of a start on SQLite

    dialect: Dialect = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
    return str(column.type.compile(dialect=dialect))
