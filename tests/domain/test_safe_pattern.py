"""Is a pattern that can take time without end told from one that cannot?"""

import re

import pytest

from muster.domain.safe_pattern import find_flaw

SAFE = [
    "",
    "/institutions/IceCube.*",
    "/tokens/ewms-dev",
    "(?i)/groups/ice[a-z]+/.*",
    "/a/(x|y|z)/.*",
    r"\(literal\)+\{2\}",
    "[*+?{(]*",
    "[]*]+",
    "[^]*]+",
    r"[\]*]+",
    "a{2,3}b{4}",
    "}x}",
    "a+?b*?c",
    "(?:a|b)?c",
    "(?P<name>abc)d",
    ".*.*.*",
]


@pytest.mark.parametrize("pattern", SAFE)
def test_a_pattern_that_ends_is_taken(pattern: str) -> None:
    assert find_flaw(pattern) is None


DANGEROUS = {
    "(a+)+": "repeats a group",
    "(a*)*": "repeats a group",
    "(a|a)*b": "repeats a group",
    "(a+){10}": "repeats a group",
    "(?:.*a){20}": "repeats a group",
    "((a+))+": "repeats a group",
    "(?x)(a+) +": "verbose",
    "(?ix:(a+) +)": "verbose",
    ".*.*.*.*": "4 repeats",
    "}+}+}+}+": "4 repeats",
    "a?a?a?a?aaaa": "4 repeats",
    "a{0,9}a{0,9}a{0,9}a{0,9}": "4 repeats",
    "[a]*[b]*[c]*[d]*": "4 repeats",
    r"\)+\)+\)+\)+": "4 repeats",
    "(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)": "9 choices",
    "x" * 301: "longer than 300",
    "(": "no regular expression",
    "[": "no regular expression",
    "*": "no regular expression",
    "\\": "no regular expression",
}


@pytest.mark.parametrize(("pattern", "reason"), DANGEROUS.items())
def test_a_pattern_that_may_not_end_is_refused(pattern: str, reason: str) -> None:
    assert reason in (find_flaw(pattern) or "")


@pytest.mark.parametrize("pattern", [one for one in SAFE if one])
def test_what_is_taken_ends_on_the_longest_text(pattern: str) -> None:
    for letter in "a}]*)(/x":
        re.fullmatch(pattern, letter * 256 + "!")
