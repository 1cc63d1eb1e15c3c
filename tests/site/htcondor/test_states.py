"""In whatever order events come, and however often: which state does a proc take, and do the counts stay those of the procs?"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.event_logs import (
    aborted,
    chirp,
    event,
    evicted,
    execute,
    held,
    look,
    look_at_one,
    look_at_procs,
    released,
    submit,
    tally_of,
    terminated,
)
from muster.site.adapters.htcondor.event_log.events import ENDED, NEXT, WORDS, Number
from muster.site.adapters.htcondor.event_log.proc_entries import exit_of
from muster.site.adapters.htcondor.event_log.statuses import look_at

DISCONNECTED = event(22, "Job disconnected, attempting to reconnect\n    Socket closed")
FAILED = event(24, "Job reconnection failed\n    gone")
SUSPENDED = event(10, "Job was suspended.\n\tNumber of processes actually suspended: 1")
UNSUSPENDED = event(11, "Job was unsuspended.")
EXCEPTION = event(7, "Shadow exception!\n\tno reason\n\t0  -  Run Bytes Sent By Job")
STARTED_INPUT = event(40, "Started transferring input files")


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([submit(), terminated()], "COMPLETED"),  # the start is missing
        ([submit(), execute(), terminated(), event(6, "Image size of job updated: 2")], "COMPLETED"),
        ([submit(), execute(), terminated(), chirp("Status", '"Tasking"')], "COMPLETED"),
        ([submit(), execute(), terminated(), execute(at="2026-11-22 05:00:00")], "COMPLETED"),
        ([submit(), execute(), terminated(), aborted()], "COMPLETED"),
        ([submit(), execute(), aborted(), terminated()], "REMOVED"),
        ([submit(), execute(), aborted(), evicted()], "REMOVED"),
        ([submit(), execute(), terminated(), held()], "COMPLETED"),
        ([terminated(), submit()], "COMPLETED"),
        ([execute(), submit()], "RUNNING"),
        ([submit(), execute(), held(), evicted()], "HELD: The user put the job on hold with condor_hold"),
        ([submit(), held(), execute()], "RUNNING"),  # the release is missing
        ([submit(), execute(), released()], "RUNNING"),
        ([submit(), execute(), EXCEPTION], "IDLE"),
        ([submit(), execute(), DISCONNECTED], "RUNNING"),
        ([submit(), execute(), DISCONNECTED, FAILED, evicted()], "IDLE"),
        ([submit(), SUSPENDED], "SUSPENDED"),
        ([submit(), execute(), SUSPENDED, terminated()], "COMPLETED"),
        ([UNSUSPENDED], "RUNNING"),
        ([chirp("Status", '"Tasking"')], "RUNNING"),
        ([STARTED_INPUT], "IDLE"),
        ([submit(), event(46, "Dataflow job was skipped.\n\tall there")], "COMPLETED"),
    ],
)
def test_a_proc_takes_the_state_that_its_events_leave_it_in(events: list[bytes], status: str) -> None:
    assert look_at_one(b"".join(events)).status == status


def test_an_ended_proc_keeps_what_its_pilot_said_last_and_how_it_ended() -> None:
    log = submit() + execute() + chirp("Status", '"Done"') + terminated(how="(0) Abnormal termination (signal 9)")
    late = chirp("Status", '"Tasking"') + chirp("Error", '"late"') + terminated() + aborted()

    assert look_at_one(log + late) == look_at_one(log)
    assert (look_at_one(log).signal, look_at_one(log).exit_code) == (9, None)


def test_a_start_that_is_written_twice_is_one_start() -> None:
    log = submit() + execute() + chirp("Status", '"Tasking"')

    assert look_at_one(log + execute()) == look_at_one(log)
    assert look_at_one(log + execute(at="2026-11-22 03:08:11")).n_starts == 2


def test_the_latest_end_counts_for_the_cluster() -> None:
    log = submit() + submit(1) + terminated(at="2026-11-22 05:00:00") + aborted(1, at="2026-11-22 04:00:00")

    assert (look(log).n_left, look(log).ended_at) == (0, 1795323600.0)


def test_no_event_leads_out_of_an_end() -> None:
    assert all(not ENDED & row.keys() for row in NEXT.values())
    assert {state for row in NEXT.values() for state in row.values()} <= WORDS.keys()


def test_hold_reasons_are_counted_each_on_its_own() -> None:
    log = (
        b"".join(submit(proc) + held(proc, code=3, subcode=proc % 3) for proc in range(9))
        + released(0)
        + held(0, code=34)
    )

    assert sorted(look(log).holds.values()) == [1, 2, 3, 3]


_EVENTS = st.sampled_from(
    [
        *[lambda proc, _: submit(proc), lambda proc, _: evicted(proc), lambda proc, _: terminated(proc)],
        *[lambda proc, _: aborted(proc), lambda proc, _: released(proc)],
        lambda proc, n: execute(proc, slot=f"slot1@m{n % 3}", at=f"2026-11-22 03:08:{n:02}"),
        lambda proc, n: held(proc, code=n % 5, subcode=n % 2),
        lambda proc, n: chirp("Status", f'"word {n % 4}"', proc=proc),
        lambda proc, n: chirp("Error", f'"error {n % 7}"', proc=proc),
        lambda proc, n: event(40, ("Started", "Finished")[n % 2] + " transferring output files", proc=proc),
        *[lambda proc, _, one=one: one.replace(b".000.000)", b".%03d.000)" % proc) for one in (DISCONNECTED, FAILED)],
        *[lambda proc, _, one=one: one.replace(b".000.000)", b".%03d.000)" % proc) for one in (SUSPENDED, UNSUSPENDED)],
        lambda proc, _: EXCEPTION.replace(b".000.000)", b".%03d.000)" % proc),
        lambda proc, _: event(21, "Error from starter on x:\n\tno\n\tCode 6 Subcode 2", proc=proc),
        lambda proc, _: event(23, "Job reconnected to slot1@m0", proc=proc),
    ]
)


@given(st.lists(st.tuples(_EVENTS, st.integers(0, 4), st.integers(0, 59)), max_size=80))
def test_after_any_events_the_counts_are_those_of_the_procs(steps: list[tuple[Any, int, int]]) -> None:
    tally = tally_of(b"".join(make(proc, n) for make, proc, n in steps) + submit(cluster=8))
    if 7 not in tally.clusters:
        return
    report, procs = look_at(tally.clusters[7]), list(look_at_procs(tally.clusters[7]))

    assert tally.damage.count == 0
    assert report.n_procs == len(procs)
    assert report.statuses == Counter((one.status, one.pilot) for one in procs)
    assert report.errors == Counter(one.error for one in procs if one.error)
    assert report.n_left == sum(one.status not in ("COMPLETED", "REMOVED") for one in procs)
    assert sum(report.holds.values()) == report.states.get(5, 0)
    assert sum(report.hosts.values()) <= report.states.get(2, 0) + report.states.get(7, 0)
    assert report.numbers.get("starts", 0) == sum(one.n_starts for one in procs)
    assert report.numbers.get("evictions", 0) == sum(one.n_evictions for one in procs)
    assert report.numbers.get("restarts", 0) == sum(max(0, one.n_starts - 1) for one in procs)
    assert 0 <= report.numbers.get("disconnected", 0) <= report.numbers.get("disconnects", 0)
    assert all(count >= 0 for count in report.phases.values())
    silent = Counter(
        (exit_of(one.exit_code, one.signal), one.error is not None)
        for one in procs
        if one.status == "COMPLETED" and one.pilot is None
    )
    assert +tally.clusters[7].silent == silent
    assert (report.ended_at is not None) == any(one.status in ("COMPLETED", "REMOVED") for one in procs)


def test_every_state_change_of_the_table_is_that_of_its_event() -> None:
    assert {number for number in NEXT if number not in Number} == set()
    assert NEXT[Number.HELD].keys() == NEXT[Number.TERMINATED].keys() == NEXT[Number.ABORTED].keys()
