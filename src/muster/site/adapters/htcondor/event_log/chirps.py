"""What did the pilot say? A chirp line, `HTChirpEWMSPilot<Name>: <value>`, the value a ClassAd string or, from older pilots, bare.

Source: tms.md 6.4; htcondor-notes.md 9; HTCondor manual, "ClassAd string literals".
"""

import functools
import re

PREFIX = b"HTChirpEWMSPilot"
TEXT_BYTES_MAX = 1023
"""HTCondor writes so many bytes of a text, and drops the rest without a word."""

_WHOLE = re.compile(rb'HTChirpEWMSPilot\w+: *"(?:[^"\\]|\\.)*" *')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}


def is_whole(text: bytes) -> bool:
    """Is it one quoted string and nothing else, or cut where HTCondor cuts? Then whatever it holds was said by the pilot."""
    return len(text) == TEXT_BYTES_MAX or _WHOLE.fullmatch(text) is not None


@functools.lru_cache(maxsize=256)
def parse_value(value: bytes) -> str:
    """The text behind the colon, without quotes and escapes. A string that was cut ends where it was cut."""
    value = value.strip()
    if value[:1] == b'"':
        is_closed = len(value) > 1 and value.endswith(b'"') and (len(value) - len(value[:-1].rstrip(b"\\"))) % 2
        value = _ESCAPE.sub(_unescape, value[1:-1] if is_closed else value[1:])
    return value.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _unescape(match: re.Match[bytes]) -> bytes:
    letter = match[1]
    if letter.isdigit() and letter < b"8":
        return bytes([int(letter, 8) & 255])
    return _ESCAPES.get(letter, letter)
