"""Which columns hold what attempts took? Parts of tables of the declared schema (`schema.py`)."""

from sqlalchemy import BigInteger, Column, text


def make_usage() -> list[Column[int]]:
    """What an attempt took (`domain.usage`); null where it is not known. A row without `bytes_out` is of before there was any of it,
    or of a worker that died: the sums know nothing of it.
    """
    return [Column(name, BigInteger) for name in ("cpu_us", "memory_bytes", "bytes_in", "bytes_out")]


def make_sums() -> list[Column[int]]:
    """`domain.usage.UsageSums`: in microseconds and bytes, for whole numbers add up exactly. `memory_bytes` is the most of any."""
    names = ("wall_us", "lost_us", "measured_us", "cpu_us", "bytes_in", "bytes_out", "memory_bytes")
    return [Column(name, BigInteger, nullable=False, server_default=text("0")) for name in names]
