"""How many bytes is that? Sizes as people write them: `512M`, `1.5 GB`, `2GiB`, or a number of bytes.

Units are binary, whichever way they are spelled, as HTCondor and upstream have it.
"""

import re

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*(?:([kmgtp])i?)?(?:b|bytes?)?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(text: str) -> int:
    """Bytes, rounded down. Raises ValueError for what is no size."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a size; write for example 512M or 1.5G")
    return int(float(match[1]) * 1024 ** _POWERS[(match[2] or "").lower()])


_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def render_size(size_bytes: int) -> str:
    """As people read it: `300 MiB`."""
    unit, size = 0, float(size_bytes)
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.3g} {_UNITS[unit]}"


def round_up(size_bytes: int) -> str:
    """As a setting takes it, with a round number: `512M` or `3G`."""
    mib = -(-size_bytes // (1 << 20))
    step = max(64, 1 << max(0, mib.bit_length() - 2))  # 2, 3 or 4 of a power of two
    mib = -(-mib // step) * step
    return f"{mib // 1024}G" if mib % 1024 == 0 else f"{mib}M"
