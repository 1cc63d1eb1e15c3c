"""Can a stranger's regular expression do anything but find a text?"""

import re

import pytest

from muster.server.services.linear_regex import PATTERN_CHARS_MAX, make_pattern


@pytest.mark.parametrize(
    ("pattern", "options", "text", "found"),
    [
        ("b", "", "abc", True),
        ("^b", "", "abc", False),
        ("B", "", "abc", False),
        ("B", "i", "abc", True),
        ("GRÖSSE|É", "i", "é", True),
        ("a.b", "", "a\nb", False),
        ("a.b", "s", "a\nb", True),
        ("^b$", "", "a\nb\nc", False),
        ("^b$", "m", "a\nb\nc", True),
        ("^A.B$", "ims", "x\na\nb", True),
        ("A|b$", "ii", "xa", True),
        ("^b|A", "i", "xa", True),
        ("", "", "", True),
        ("a\0b", "", "xa\0b", True),
        ("^.$", "", "😀", True),
        (r"\d{4}-\d\d", "", "on 2026-03", True),
        (r"^TF-[0-9a-f]{8}", "", "TF-6b0259da", True),
        (r"(a)(b)", "", "ab", True),
        ("x", "", "\ud800x", True),
    ],
)
def test_what_is_found(pattern: str, options: str, text: str, found: bool) -> None:  # noqa: FBT001 - a column of the table
    assert make_pattern(pattern, options)(text) is found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "missing ): (a"),
        ("[", "missing ]: ["),
        ("a**", "bad repetition operator: **"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("(?=a)", "invalid perl operator: (?="),
        ("(?<!a)b", "invalid perl operator: (?<"),
        ("a{2000}", "invalid repetition size: {2000}"),
        ("a" * (PATTERN_CHARS_MAX + 1), f"must have no more than {PATTERN_CHARS_MAX} characters"),
        ("(?:.{0,100}){9}", "is too large a regular expression"),
        (r"(?:\pL{1,30}){30}", "pattern too large"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_with_a_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        make_pattern(pattern, "")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*b$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"])
def test_no_pattern_makes_a_long_text_take_time_without_end(pattern: str) -> None:
    """An engine that tries every way would not come back from one of these in the life of the universe; the test's own limit is minutes."""
    text = "a" * 100_000 + "!"
    assert make_pattern(pattern, "")(text) is False
