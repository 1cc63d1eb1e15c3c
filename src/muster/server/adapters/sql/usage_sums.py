"""What did the attempts at the events of some queues take together? As the counters say, and as the rows do.

Rows of attempts of which nothing is known have no `bytes_out`, and are in neither. A late attempt has two rows: that of its event counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Row,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)

from muster.domain.attempt import AttemptEnd
from muster.domain.usage import UsageSums
from muster.server.adapters.sql.retention_schema import USAGE_SUMMED, purged
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import attempt, counter, delta, finished

USAGE = ("wall_s", "cpu_us", "bytes_in", "bytes_out")
"""Columns of an attempt that the sums are made of."""
_PEAK = "memory_bytes"
_NUMBERS: BindParameter[Sequence[int]] = bindparam("numbers", expanding=True)
_KEPT, _NEW = "kept_", "new_"
# In one statement: what is folded meanwhile is then in one of both. A queue has one counter, so its sum cannot be too large; that of what
# is not folded yet is added up as SQLite's total() does, which has no limit.
_BOTH = union_all(
    select(
        counter.c.queue,
        *(counter.c[part].label(_KEPT + part) for part in (*USAGE_SUMMED, _PEAK)),
        *(literal(0, BigInteger).label(_NEW + part) for part in (*USAGE_SUMMED, _PEAK)),
    ).where(counter.c.queue.in_(_NUMBERS)),
    select(
        delta.c.queue,
        *(literal(0, BigInteger).label(_KEPT + part) for part in (*USAGE_SUMMED, _PEAK)),
        *(delta.c[part].label(_NEW + part) for part in (*USAGE_SUMMED, _PEAK)),
    ).where(delta.c.queue.in_(_NUMBERS)),
).subquery()


def read_usage(session: Session, numbers: Sequence[int]) -> Mapping[int, UsageSums]:
    """By the counters and what is not folded yet, in one snapshot."""
    add_up = func.sum if session.is_postgres else func.total
    kept = [func.sum(_BOTH.c[_KEPT + part]) for part in USAGE_SUMMED]
    new = [add_up(_BOTH.c[_NEW + part]) for part in USAGE_SUMMED]
    peaks = [func.max(_BOTH.c[_KEPT + _PEAK]), func.max(_BOTH.c[_NEW + _PEAK])]
    query = select(_BOTH.c.queue, *kept, *new, *peaks).group_by(_BOTH.c.queue)
    found = {number: UsageSums() for number in numbers}
    for number, *values in session.execute(query, {"numbers": list(numbers)}):
        n = len(USAGE_SUMMED)
        sums = [int(one) + int(other) for one, other in zip(values[:n], values[n : 2 * n], strict=True)]
        found[number] = _make(dict(zip(USAGE_SUMMED, sums, strict=True)), max(values[2 * n :]))
    return found


def recount_usage(session: Session, numbers: Sequence[int]) -> Mapping[int, UsageSums]:
    """By the rows, those that are not kept any more too; without `memory_bytes`, which is no sum."""
    found = {number: UsageSums() for number in numbers}
    rows = [
        select(finished.c.queue, *sum_parts(finished)).group_by(finished.c.queue).where(finished.c.queue.in_(numbers)),
        select(attempt.c.queue, *sum_parts(attempt)).group_by(attempt.c.queue).where(attempt.c.queue.in_(numbers)),
        select(purged.c.queue, *(purged.c[part] for part in USAGE_SUMMED)).where(purged.c.queue.in_(numbers)),
    ]
    for query in rows:
        for number, *values in session.execute(query):
            found[number] += _make(dict(zip(USAGE_SUMMED, values, strict=True)), 0)
    return found


def sum_parts(table: Table) -> list[ColumnElement[Any]]:
    """The parts of `USAGE_SUMMED`, in their order, of attempts of `finished` or `attempt`."""
    counts = and_(table.c.bytes_out.is_not(None), attempt.c.end != AttemptEnd.LATE if table is attempt else true())
    wall_us = cast(func.round(table.c.wall_s * 1_000_000), BigInteger)
    parts = {
        "wall_us": wall_us,
        "lost_us": wall_us if table is attempt else literal(0, BigInteger),
        "measured_us": case((table.c.cpu_us.is_not(None), wall_us), else_=0),
        "cpu_us": func.coalesce(table.c.cpu_us, 0),
        "bytes_in": func.coalesce(table.c.bytes_in, 0),
        "bytes_out": table.c.bytes_out,
    }
    return [func.coalesce(func.sum(case((counts, parts[name]), else_=0)), 0).label(name) for name in USAGE_SUMMED]


def sum_rows(rows: Sequence[Row[Any]]) -> dict[str, int]:
    """The parts of `USAGE_SUMMED` of some rows of `finished` that have the columns `USAGE`."""
    known = [(row, round(row.wall_s * 1e6)) for row in rows if row.bytes_out is not None]
    return {
        "wall_us": sum(wall_us for _, wall_us in known),
        "lost_us": 0,
        "measured_us": sum(wall_us for row, wall_us in known if row.cpu_us is not None),
        "cpu_us": sum(row.cpu_us or 0 for row, _ in known),
        "bytes_in": sum(row.bytes_in or 0 for row, _ in known),
        "bytes_out": sum(row.bytes_out for row, _ in known),
    }


def _make(parts: Mapping[str, Any], peak: int) -> UsageSums:
    return UsageSums(**{name: int(value) for name, value in parts.items()}, memory_bytes=int(peak))
