"""Is what a pilot says read as it was said, quoted or not, whole or cut?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.event_logs import chirp, execute, look, submit
from muster.site.adapters.htcondor.event_log.chirps import is_whole, parse_value
from muster.site.adapters.htcondor.event_log.cluster_tally import ERRORS_MAX, WORDS_MAX


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b' "Done"', "Done"),
        (b" Done ", "Done"),
        (b'"a \\"b\\""', 'a "b"'),
        (b'"cut off \\', "cut off \\"),
        (b'"ends in a quote \\"', 'ends in a quote "'),
        (b'"', ""),
        (b"", ""),
        (b'"\\101\\060\\tz"', "A0\tz"),
        (b'"\\303\\251t\\303\\251"', "\u00e9t\u00e9"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_a_value_is_read(value: bytes, text: str) -> None:
    assert parse_value(value) == text


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20)))
def test_a_text_that_was_quoted_is_read_back_and_is_whole(text: str) -> None:
    quoted = json.dumps(text).encode()

    assert parse_value(quoted) == text
    assert is_whole(b"HTChirpEWMSPilotError: " + quoted)


@given(st.binary(max_size=200))
def test_any_value_is_read_as_some_text(value: bytes) -> None:
    parse_value(value)


def test_old_pilots_do_not_quote() -> None:
    log = submit() + execute() + chirp("Status", "FatalError") + chirp("Error", "no luck")

    assert (look(log).statuses, look(log).errors) == ({("RUNNING", "FatalError"): 1}, {"no luck": 1})


def test_the_same_word_quoted_or_not_is_one() -> None:
    log = submit() + submit(1) + execute() + execute(1) + chirp("Status", "Done") + chirp("Status", '"Done"', proc=1)

    assert look(log).statuses == {("RUNNING", "Done"): 2}


def test_an_error_replaces_the_one_before_and_an_empty_one_takes_it_away() -> None:
    log = submit() + execute() + chirp("Error", '"one"') + chirp("Error", '"two"')

    assert look(log).errors == {"two": 1}
    assert look(log + chirp("Error", '""')).errors == {}


def test_words_without_end_take_bounded_room_and_are_counted_together() -> None:
    log = b"".join(
        submit(proc) + execute(proc) + chirp("Status", f'"word {proc}"', proc=proc) for proc in range(WORDS_MAX + 100)
    )

    statuses = look(log).statuses

    assert sum(statuses.values()) == WORDS_MAX + 100
    assert len(statuses) == WORDS_MAX + 1
    assert statuses["RUNNING", "(others)"] == 100


def test_errors_without_end_take_bounded_room_and_are_counted_together() -> None:
    log = b"".join(
        submit(proc) + execute(proc) + chirp("Error", f'"error {proc}"', proc=proc) for proc in range(ERRORS_MAX + 7)
    )

    assert look(log).errors["(others)"] == 7


def test_chirps_of_others_are_passed_over() -> None:
    log = (
        submit()
        + execute()
        + chirp("TasksTotal", '"3"')
        + chirp("Statuses", '"no"')
        + chirp("X", "HTChirpEWMSPilotStatus: no")
    )

    assert look(log).statuses == {("RUNNING", None): 1}
