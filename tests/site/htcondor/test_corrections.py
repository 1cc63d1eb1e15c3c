"""When queue or history know better than the log: what counts, and until when?"""

import pytest

from harness.event_logs import (
    ProcReport,
    aborted,
    chirp,
    event,
    execute,
    held,
    look_at_procs,
    released,
    submit,
    tally_of,
    terminated,
)
from muster.site.adapters.htcondor.event_log.cluster_tally import Correction
from muster.site.adapters.htcondor.event_log.events import COMPLETED, HELD, IDLE, REMOVED, RUNNING
from muster.site.adapters.htcondor.event_log.log_tally import LogTally
from muster.site.adapters.htcondor.event_log.proc_entries import UnbelievableError
from muster.site.adapters.htcondor.event_log.split import split_block
from muster.site.adapters.htcondor.event_log.statuses import look_at

NOON = 1795348800.0  # 2026-11-22 12:00:00
BEFORE, AFTER = "2026-11-22 11:59:59", "2026-11-22 12:00:01"


def _take(tally: LogTally, *events: bytes) -> None:
    tally.take_block(split_block(b"".join(events)), 0)


def _only(tally: LogTally) -> ProcReport:
    (one,) = look_at_procs(tally.clusters[7])
    return one


def test_the_queue_says_that_a_proc_is_held() -> None:
    tally = tally_of(submit() + execute())
    tally.clusters[7].correct(0, Correction(state=HELD, at=NOON, hold=(3, 7)))

    assert (_only(tally).status.startswith("HELD: "), _only(tally).is_corrected) == (True, True)
    assert look_at(tally.clusters[7]).n_left == 1


def test_an_event_from_before_does_not_change_what_is_known_and_one_from_after_does() -> None:
    tally = tally_of(submit() + execute())
    tally.clusters[7].correct(0, Correction(state=HELD, at=NOON, hold=(3, 7)))

    _take(tally, execute(at=BEFORE))
    assert _only(tally).is_corrected

    _take(tally, released(at=AFTER))
    assert (_only(tally).status, _only(tally).is_corrected) == ("IDLE", False)


def test_events_that_change_no_state_leave_what_is_known() -> None:
    tally = tally_of(submit() + execute())
    tally.clusters[7].correct(0, Correction(state=HELD, at=NOON, hold=(3, 7)))

    _take(tally, event(41, "Bytes reserved", at=AFTER), event(6, "Image size of job updated: 1", at=AFTER))
    _take(tally, event(40, "Finished transferring input files", at=AFTER), chirp("Status", '"Done"', at=AFTER))

    assert (_only(tally).pilot, _only(tally).is_corrected, tally.damage.count) == ("Done", True, 0)


def test_history_says_how_a_proc_ended_and_it_does_not_run_again() -> None:
    tally = tally_of(submit() + execute())
    tally.clusters[7].correct(0, Correction(state=COMPLETED, at=NOON, exit_code=1, ended_at=NOON - 60))

    _take(tally, execute(at=AFTER), chirp("Status", '"Tasking"', at=AFTER), held(at=AFTER))

    assert (_only(tally).status, _only(tally).exit_code) == ("COMPLETED", 1)
    report = look_at(tally.clusters[7])
    assert (report.n_left, report.ended_at) == (0, NOON - 60)


@pytest.mark.parametrize(("ending", "status", "code"), [(terminated(), "COMPLETED", 0), (aborted(), "REMOVED", None)])
def test_the_event_of_an_end_says_it_better_than_history(ending: bytes, status: str, code: int | None) -> None:
    tally = tally_of(submit() + execute())
    tally.clusters[7].correct(0, Correction(state=REMOVED, at=NOON))

    _take(tally, ending)

    assert (_only(tally).status, _only(tally).exit_code, _only(tally).is_corrected) == (status, code, False)


def test_a_proc_that_the_log_never_named_can_be_known() -> None:
    tally = tally_of(submit())
    tally.clusters[7].correct(3, Correction(state=RUNNING, at=NOON))
    tally.clusters[7].correct(3, Correction(state=COMPLETED, at=NOON + 1, signal=9))

    procs = {one.proc: (one.status, one.signal) for one in look_at_procs(tally.clusters[7])}
    assert procs == {0: ("IDLE", None), 3: ("COMPLETED", 9)}


def test_a_proc_that_the_log_took_for_ended_can_be_known_to_be_left() -> None:
    tally = tally_of(submit() + terminated())
    tally.clusters[7].correct(0, Correction(state=IDLE, at=NOON))

    assert look_at(tally.clusters[7]).n_left == 1
    _take(tally, terminated(at=AFTER))
    assert look_at(tally.clusters[7]).n_left == 0


def test_a_correction_changes_the_cluster() -> None:
    tally = tally_of(submit())
    tally.take_changes()

    tally.correct(7, 0, Correction(state=RUNNING, at=NOON))

    assert tally.take_changes() == {7}


def test_a_proc_that_cannot_be_is_refused() -> None:
    tally = tally_of(submit())
    tally.expect(7, 1)

    with pytest.raises(UnbelievableError):
        tally.clusters[7].correct(1, Correction(state=RUNNING, at=NOON))
