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
