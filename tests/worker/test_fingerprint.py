"""Is the cause of a failure found, and do equal causes have equal fingerprints?"""

import re
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muster.worker.fingerprint import (
    FINGERPRINT_CHARS_MAX,
    NO_STDERR,
    clip,
    extract_cause,
    find_headline,
    make_fingerprint,
    normalise,
)

TRACEBACK = """Traceback (most recent call last):
  File "/x/fit.py", line 3, in <module>
    main()
ValueError: no minimum
"""
WORDS = st.text(alphabet="ghijklmnopqrstuvwxyz :", min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        ("", NO_STDERR),
        (" \n\n\t\n", NO_STDERR),
        ("one\ntwo\n\n", "two"),
        (f"warning\n{TRACEBACK}", TRACEBACK.strip()),
        (f"{TRACEBACK}\nand then\n{TRACEBACK}", TRACEBACK.strip()),
        (f"{TRACEBACK}Segmentation fault", f"{TRACEBACK}Segmentation fault"),
    ],
)
def test_the_cause_is_the_last_traceback_else_the_last_line(stderr: str, cause: str) -> None:
    assert extract_cause(stderr) == cause


def test_the_headline_of_a_traceback_is_its_exception() -> None:
    assert find_headline(TRACEBACK + "with a second line\nand a third") == "ValueError: no minimum"
    assert find_headline("one line") == "one line"


@pytest.mark.parametrize(
    ("text", "fingerprint"),
    [
        ("KeyError: 'dm2_32'", "KeyError: 'dm#'"),
        ("cannot open /data/run-17/events.h5: gone", "cannot open <path>: gone"),
        ("ROOT file root://host.org//store/f.root", "ROOT file <path>"),
        ("object at 0x7fa75b00b1a0 in ./here/there.py", "object at # in <path>"),
        ("event 3f2b8c1d-0000-4000-8000-1234567890ab at -1.5e-7", "event # at #"),
        ("digest deadbeef01 differs", "digest # differs"),
        ("  many \t spaces\n", "many spaces"),
        ("defaced decade", "defaced decade"),
    ],
)
def test_what_differs_from_event_to_event_is_left_out(text: str, fingerprint: str) -> None:
    assert normalise(text) == fingerprint


@given(st.text())
@example("0/@")  # a path begins after a sign, not after a number
def test_a_fingerprint_is_short_has_no_digits_and_is_its_own(text: str) -> None:
    normal = normalise(text)
    assert len(normal) <= FINGERPRINT_CHARS_MAX
    assert not re.search(r"\d", normal)
    assert "\n" not in normal
    assert normalise(normal) == normal


@given(WORDS, st.integers(), st.integers(), WORDS)
@example(":", 0, -(10**31), ":")  # as many digits as an id has
def test_numbers_make_no_difference(before: str, first: int, second: int, after: str) -> None:
    assert normalise(f"{before} {first} {after}") == normalise(f"{before} {second} {after}")


@given(WORDS, st.uuids(), st.uuids())
def test_uuids_make_no_difference(before: str, first: uuid.UUID, second: uuid.UUID) -> None:
    assert normalise(f"{before} {first}") == normalise(f"{before} {second}")


@given(st.lists(st.from_regex(r"[a-z0-9_.-]{1,12}", fullmatch=True), min_size=1, max_size=5))
def test_paths_make_no_difference(parts: list[str]) -> None:
    assert normalise(f"no such file: /{'/'.join(parts)}") == "no such file: <path>"


def test_how_it_ended_belongs_to_the_fingerprint() -> None:
    assert make_fingerprint("exit 3", NO_STDERR) == "exit 3"
    assert make_fingerprint("SIGKILL", "point 17 failed") == "SIGKILL: point # failed"


@given(st.text(max_size=300), st.integers(40, 100))
def test_a_clipped_text_keeps_both_ends(text: str, chars_max: int) -> None:
    clipped = clip(text, chars_max)
    assert len(clipped) <= chars_max
    assert clipped == text if len(text) <= chars_max else (clipped[:10], clipped[-10:]) == (text[:10], text[-10:])
