"""Which partitions do the event tables need on PostgreSQL? One a month of event numbers, made ahead of time."""

from sqlalchemy import Connection, func, literal, select, text
from sqlalchemy.exc import DBAPIError

from muster.domain.ids import EPOCH_MS, NODE_BITS, SERIAL_BITS
from muster.server.adapters.sql.faults import is_given_up, is_lock_not_available, is_not_allowed

SPAN_MS = 30 * 24 * 3600 * 1000
"""30 days of numbers in a partition: purging drops one, at once, however many rows it has."""
PARTITIONED = {"event": "id", "finished": "event"}
"""Table → the event number it is partitioned by."""
_SHIFT = NODE_BITS + SERIAL_BITS
_LOCK = 0x70617274
_LOOK_S = 20
"""Seconds that a look at a partition may take: it ends at the first row that is wanted."""

# Asked beforehand: a try would lock the default partition each time.
_MAY_MAKE = text("""
    SELECT has_schema_privilege(current_schema(), 'CREATE') AND bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c
    WHERE c.relname = ANY(:tables) AND c.relnamespace = current_schema()::regnamespace
""")


def make_coming_partitions(connection: Connection, *, now: float) -> None:
    """Make the partitions of this span and of the next, where they are missing.

    What lies outside every partition is in the default one, and moves over when its own is made. A table that somebody reads at length
    is left for the next call, for whoever waited for it would keep everybody else waiting. Where this database user may not change
    tables, all of it stays in the default one: what is purged goes row by row.
    """
    current = (int(now * 1000) - EPOCH_MS) // SPAN_MS
    wanted = [(table, span) for table in PARTITIONED for span in (current, current + 1)]
    if all(_exists(connection, f"{table}_{span}") for table, span in wanted):
        return
    if not connection.scalar(_MAY_MAKE, {"tables": list(PARTITIONED)}):
        return
    connection.execute(select(func.pg_advisory_xact_lock(literal(_LOCK))))  # one service makes them
    for table, span in wanted:
        if _exists(connection, f"{table}_{span}"):
            continue
        try:
            with connection.begin_nested():
                _make(connection, table, span)
        except DBAPIError as error:
            if not is_lock_not_available(error):
                raise


def drop_unwanted_partition(connection: Connection, *, after: int, now: float) -> int | None:
    """Look at the next span of time behind `after`, and drop it where it holds no row but of removed queues.

    Events get numbers of the present alone, and one that is finished is kept: so where no event is wanted, none will be. A drop keeps
    everybody from both tables until the commit: so it is the last thing that the transaction does, and there is one of them.

    Returns:
        The span, counted from 0; None where there is no further one before the last two.
    """
    current = (int(now * 1000) - EPOCH_MS) // SPAN_MS
    span = next((one for one in _list_spans(connection) if after < one < current - 1), None)
    if span is None:
        return None
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL statement_timeout = '{_LOOK_S}s'"))
            is_wanted = any(_has_wanted(connection, f"{table}_{span}") for table in PARTITIONED)
            connection.execute(text("SET LOCAL statement_timeout = DEFAULT"))
            if not is_wanted:
                connection.execute(text("SET LOCAL lock_timeout = '500ms'"))
                for table in PARTITIONED:
                    connection.execute(text(f"DROP TABLE IF EXISTS {table}_{span}"))
                connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))
    except DBAPIError as error:
        # Too many rows to look at: they go one by one. Or somebody reads there at length: the next time. Or it is another user's: it stays.
        if not (is_lock_not_available(error) or is_given_up(error) or is_not_allowed(error)):
            raise
    return span


def _list_spans(connection: Connection) -> list[int]:
    query = text("""
        SELECT DISTINCT CAST(split_part(c.relname, '_', 2) AS integer) AS span FROM pg_class c
        WHERE c.relname ~ '^(event|finished)_[0-9]+$' AND c.relispartition AND c.relnamespace = current_schema()::regnamespace
        ORDER BY span
    """)
    return list(connection.scalars(query))


def _has_wanted(connection: Connection, name: str) -> bool:
    if not _exists(connection, name):
        return False
    removed = "SELECT 1 FROM removed_queue r WHERE r.number = t.queue AND NOT r.swept"
    query = f"SELECT EXISTS (SELECT 1 FROM {name} t WHERE NOT EXISTS ({removed}))"  # noqa: S608 - our names
    return bool(connection.scalar(text(query)))


def _exists(connection: Connection, name: str) -> bool:
    # Not to_regclass: it remembers that there was none, also after another service has made it.
    query = "SELECT 1 FROM pg_class WHERE relname = :name AND relnamespace = current_schema()::regnamespace"
    return connection.scalar(text(query), {"name": name}) is not None


def _make(connection: Connection, table: str, span: int) -> None:
    low, high = (span * SPAN_MS) << _SHIFT, ((span + 1) * SPAN_MS) << _SHIFT
    name, key = f"{table}_{span}", PARTITIONED[table]
    # Made apart and attached: CREATE TABLE ... PARTITION OF would lock the whole table, and refuse where the default has rows.
    moved = f"DELETE FROM {table}_default WHERE {key} >= {low} AND {key} < {high} RETURNING *"  # noqa: S608 - our names
    for statement in (
        "SET LOCAL lock_timeout = '500ms'",
        f"LOCK TABLE {table}_default IN ACCESS EXCLUSIVE MODE",
        f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
        f"WITH moved AS ({moved}) INSERT INTO {name} SELECT * FROM moved",  # noqa: S608 - our names
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({low}) TO ({high})",
        "SET LOCAL lock_timeout = DEFAULT",
    ):
        connection.execute(text(statement))
