"""Is every character that steers what shows a text known, and no other?"""

import sys
import unicodedata

from muster.domain.control_characters import CONTROL

EXPLICIT = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = {"\u061c", "\u200e", "\u200f"}


def test_they_are_those_of_unicode() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]

    found = {one for one in every if CONTROL.search(one)}

    assert found == MARKS | {
        one
        for one in every
        if unicodedata.category(one) in ("Cc", "Zl", "Zp") or unicodedata.bidirectional(one) in EXPLICIT
    }
