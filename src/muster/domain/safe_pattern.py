"""May this regular expression judge texts that others choose? Only if none of them can make it take time without end."""

import re
from collections.abc import Iterator

PATTERN_CHARS_MAX = 300
REPEATS_MAX = 3
CHOICES_MAX = 8
_REPEATS = frozenset("*+?{")
_VERBOSE = re.compile(r"\(\?[a-zA-Z]*x")


def find_flaw(pattern: str) -> str | None:
    """Why a pattern must not judge texts that others choose; None when it may.

    Without repeated groups, and with few repeats and choices, no text makes matching take time exponential in its length, which is
    bounded too. Several rules do what one such pattern cannot.
    """
    if len(pattern) > PATTERN_CHARS_MAX:
        return f"is longer than {PATTERN_CHARS_MAX} characters"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error}"
    if _VERBOSE.search(pattern):
        return "is in verbose mode; write it without blanks and comments"
    repeats = choices = 0
    before = ""
    for sign in _list_signs(pattern):
        if sign in _REPEATS and before != "(":  # `(?` begins a group of its own kind
            if before == ")" and sign != "?":
                return "repeats a group, which can take time without end"
            repeats += before not in ("*", "+", "?", "}")  # else it says how eager the repeat before it is
        choices += sign == "|"
        before = sign
    if repeats > REPEATS_MAX or choices > CHOICES_MAX:
        return f"has {repeats} repeats and {choices} choices; {REPEATS_MAX} and {CHOICES_MAX} are allowed"
    return None


def _list_signs(pattern: str) -> Iterator[str]:
    """The characters of a pattern, with `.` for what stands for itself alone: one that is escaped, a class, a brace that ends nothing."""
    place = 0
    is_counting = False  # inside of `{2,3}`
    while place < len(pattern):
        sign = pattern[place]
        if sign == "\\":
            place += 1
            sign = "."
        elif sign == "[":
            place = _find_end_of_class(pattern, place)
            sign = "."
        elif sign == "}" and not is_counting:
            sign = "."
        if sign in "{}":
            is_counting = sign == "{"
        yield sign
        place += 1


def _find_end_of_class(pattern: str, begin: int) -> int:
    place = begin + 1
    if pattern[place] == "^":
        place += 1
    if pattern[place] == "]":  # the first one stands for itself
        place += 1
    while pattern[place] != "]":
        place += 2 if pattern[place] == "\\" else 1
    return place
