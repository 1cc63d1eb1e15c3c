"""Which JSON text may travel as an event's body? What some parsers refuse and others let pass is refused by the service and by workers.

The text is copied through as it is; whoever reads it later, in any language, must be able to. Limits: docs/reference/worker-protocol.md.
"""

from __future__ import annotations

import re
from typing import Optional

DEPTH_MAX = 256
"""How deep arrays and objects may be nested."""
DIGITS_MAX = 4000
"""Digits of one number: CPython's parser refuses more than 4300."""

# Of escapes only the backslash's and the quote's can hide where a string ends; both are taken out first. A pattern that reads them itself
# would remember every character of a string, to try again: a hundred bytes for each.
_TOKENS = re.compile(rb'"[^"]*"|[\[{\]}]|[0-9]{%d}' % (DIGITS_MAX + 1))


def find_excess(raw: bytes) -> Optional[str]:
    """Why JSON text is too much for some parsers, as half a sentence; None when it is not. `raw`: sound JSON."""
    if raw.count(b"[") + raw.count(b"{") <= DEPTH_MAX and len(raw) <= DIGITS_MAX:
        return None
    depth = 0
    for match in _TOKENS.finditer(raw.replace(b"\\\\", b"").replace(b'\\"', b"")):
        token = match.group()
        if token[:1] == b'"':
            continue
        if token in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                return f"is nested deeper than {DEPTH_MAX} levels"
        elif token in b"]}":
            depth -= 1
        else:
            return f"holds a number of more than {DIGITS_MAX} digits"
    return None
