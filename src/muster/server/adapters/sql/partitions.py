"""Which partitions do the event tables need on PostgreSQL? One a month of event numbers, made ahead of time."""

from sqlalchemy import Connection, text

from muster.domain.ids import EPOCH_MS, NODE_BITS, SERIAL_BITS

SPAN_MS = 30 * 24 * 3600 * 1000
"""30 days of numbers in a partition: purging drops one, at once, however many rows it has."""
PARTITIONED = ("event", "finished")
_SHIFT = NODE_BITS + SERIAL_BITS


def make_coming_partitions(connection: Connection, *, now: float) -> None:
    """Make the partitions of this span and of the next, where they are missing. What lies outside goes to the default one."""
    current = (int(now * 1000) - EPOCH_MS) // SPAN_MS
    for span in (current, current + 1):
        low, high = (span * SPAN_MS) << _SHIFT, ((span + 1) * SPAN_MS) << _SHIFT
        for table in PARTITIONED:
            name = f"{table}_{span}"
            known = connection.scalar(text("SELECT to_regclass(:name)"), {"name": name})
            if known is None:
                connection.execute(
                    text(f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ({low}) TO ({high})")
                )
