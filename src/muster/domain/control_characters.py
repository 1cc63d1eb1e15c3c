"""Which characters steer what shows a text, and show nothing themselves?

Source: Unicode 15, general categories Cc, Zl and Zp, and the property Bidi_Control: with the last, a text reads otherwise than it stands.
"""

import re

CONTROL = re.compile(
    "["
    "\x00-\x1f\x7f"  # C0, of which ESC begins what terminals obey; DEL
    "\x80-\x9f"  # C1: U+009B alone does what ESC [ does
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks, embeddings, overrides and isolates of direction
    "]"
)

SURROGATE = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs: no characters at all."""
