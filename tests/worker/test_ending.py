"""How long may the tasks of a worker that is to end go on, and who says so?"""

import time
from pathlib import Path
from queue import SimpleQueue

import pytest

from muster.worker.calls import Calls
from muster.worker.ending import Ending
from muster.worker.link import parse_address
from muster.worker.log_lines import LogLines
from muster.worker.messages import Stop
from muster.worker.protocol import UNHURRIED_S
from muster.worker.reaper import Reaper
from muster.worker.service import Patience
from muster.worker.settings import Settings

OWN_S = 15.0
UNHURRIED = Stop("finish", UNHURRIED_S)
FINISH, ABORT = Stop("finish", 120.0), Stop("abort", 0.0)


@pytest.fixture
def ending(tmp_path: Path) -> Ending:
    settings = Settings(
        *("http://127.0.0.1:1", "TF-1", "s3cret", "0", 0, 0, "", "host", tmp_path),
        grace_s=OWN_S,
    )
    patience, log = Patience(offline_s=60.0), LogLines()
    calls = Calls(parse_address(settings.url), patience, log, SimpleQueue())
    return Ending(settings, calls=calls, patience=patience, reaper=Reaper(str(tmp_path), adopts=False), log=log)


def grace_of(ending: Ending, began: float) -> float:
    """The grace that was given; whole seconds, so that the moments between do not count."""
    assert ending.deadline is not None
    return float(round(ending.deadline - began))


def test_the_service_says_how_long_and_says_it_once(ending: Ending) -> None:
    began = time.monotonic()
    ending.note_word(FINISH)
    deadline = ending.deadline
    assert grace_of(ending, began) == FINISH.grace_s
    ending.note_word(FINISH)
    assert ending.deadline == deadline


def test_a_signal_after_the_word_changes_nothing(ending: Ending) -> None:
    ending.note_word(FINISH)
    deadline = ending.deadline
    ending.note_signal("SIGTERM")
    assert ending.deadline == deadline


def test_only_a_signal_leaves_the_workers_own_time(ending: Ending) -> None:
    began = time.monotonic()
    ending.note_signal("SIGTERM")
    ending.note_word(None)
    assert grace_of(ending, began) == OWN_S


@pytest.mark.parametrize("grace_s", [120.0, 0.0])
def test_the_word_replaces_the_time_after_a_signal_and_counts_from_it(ending: Ending, grace_s: float) -> None:
    ending.note_signal("SIGTERM")
    assert ending.deadline is not None
    signalled = ending.deadline - OWN_S
    ending.note_word(Stop("finish", grace_s))
    assert ending.deadline == pytest.approx(signalled + grace_s)


def test_time_that_is_over_does_not_begin_again(ending: Ending) -> None:
    ending.note_signal("SIGTERM")
    ending.note_time(time.monotonic() + OWN_S)
    ending.note_word(FINISH)
    assert ending.deadline is None


def test_who_is_let_go_has_all_the_time_until_somebody_says_how_long(ending: Ending) -> None:
    ending.note_word(UNHURRIED)
    ending.note_word(UNHURRIED)
    assert (ending.has_begun, ending.is_cut_off) == (True, False)
    assert grace_of(ending, time.monotonic()) == UNHURRIED_S
    # Its workflow is finished after all: the grace counts from now, not from when it was let go.
    began = time.monotonic()
    ending.note_word(FINISH)
    assert ending.is_cut_off
    assert grace_of(ending, began) == FINISH.grace_s
    ending.note_word(UNHURRIED)
    assert grace_of(ending, began) == FINISH.grace_s


def test_who_is_let_go_and_signalled_has_its_own_time(ending: Ending) -> None:
    ending.note_word(UNHURRIED)
    began = time.monotonic()
    ending.note_signal("SIGTERM")
    ending.note_word(UNHURRIED)
    assert grace_of(ending, began) == OWN_S


def test_an_abort_leaves_no_time(ending: Ending) -> None:
    ending.note_word(FINISH)
    ending.note_word(ABORT)
    assert ending.deadline is None
    ending.note_word(FINISH)
    assert ending.deadline is None
