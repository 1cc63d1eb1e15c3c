"""Do hold codes give the keys that upstream's users know?"""

import pytest

from muster.site.adapters.htcondor.event_log.events import HELD, IDLE
from muster.site.adapters.htcondor.event_log.hold_reasons import render_status


@pytest.mark.parametrize(
    ("hold", "status"),
    [
        ((1, 0), "HELD: The user put the job on hold with condor_hold"),
        ((1, 78), "HELD: The user put the job on hold with condor_hold: its agent was stopped"),
        ((1, 5), "HELD: The user put the job on hold with condor_hold: 5 (unknown)"),
        ((34, 0), "HELD: Memory usage exceeds a memory limit"),
        ((34, 102), "HELD: Memory usage exceeds a memory limit: 102 (unknown)"),
        (
            (3, 42),
            "HELD: The PERIODIC_HOLD expression evaluated to True. Or, ON_EXIT_HOLD was true: 42 (User Specified)",
        ),
        ((6, 2), "HELD: The condor_starter failed to start the executable: 2 (Errno)"),
        ((13, 2), "HELD: An error occurred while transferring job input files: 2 (Errno or plug-in error)"),
        ((37, 9), "HELD: User error in the EC2 universe: Failed to authenticate"),
        ((37, 99), "HELD: User error in the EC2 universe: 99"),
        ((2, 0), "(5, 2, 0)"),
        ((0, 0), "(5, 0, 0)"),
        ((99, 7), "(5, 99, 7)"),
    ],
)
def test_a_hold_is_told_by_its_message_and_a_subcode_that_is_not_0(hold: tuple[int, int], status: str) -> None:
    assert render_status(HELD, hold) == status


def test_every_code_of_the_manual_has_a_message() -> None:
    known = {code for code in range(100) if render_status(HELD, (code, 0)).startswith("HELD: ")}

    assert known == {1, *range(3, 28), *range(32, 49)}


def test_other_states_are_told_by_their_word() -> None:
    assert render_status(IDLE) == "IDLE"
