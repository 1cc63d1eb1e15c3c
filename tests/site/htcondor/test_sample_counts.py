"""Does a real log come to what is known of it, and where do we differ from upstream on purpose?"""

from collections import Counter

import pytest

from harness.event_logs import (
    SAMPLE,
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
    render_told,
    submit,
    tally_of,
    terminated,
)
from muster.site.adapters.htcondor.event_log.split import split_block

EXCEPTION = event(7, "Shadow exception!\n\tno reason\n\t0  -  Run Bytes Sent By Job")
TIMED_OUT = "RuntimeError: 1 TASK(S) FAILED: ContainerRunError('task failed: [Timeout-Error] timed out after 30s')"


def test_the_sample_has_the_statuses_that_upstream_reports_for_it() -> None:
    assert render_told(look(SAMPLE, 12)) == {
        "COMPLETED": {"Done": 31, "FatalError": 7},
        "REMOVED": {"Tasking": 8, "AwaitingFirstMessage": 1, "Done": 1, "null": 2},
    }
    assert render_told(look(SAMPLE, 13)) == {"COMPLETED": {"Done": 6}}


def test_the_sample_has_three_error_texts() -> None:
    errors = look(SAMPLE, 12).errors

    assert list(errors.values()) == [3, 2, 2]
    assert errors[TIMED_OUT] == 2
    assert any("gotta fail!" in text for text in errors)


def count_numbers() -> Counter[int]:
    block = split_block(SAMPLE)
    return Counter({int(code[:3]): count for code, count in block.numbers.items()}) + block.unknown


def test_the_sample_has_so_many_events_of_each_number() -> None:
    numbers = "0:56 1:57 4:11 5:44 6:56 8:909 9:12 10:1 11:1 12:5 13:2 21:1 22:1 24:1 28:474 35:1 36:1 40:225"

    assert " ".join(f"{number}:{count}" for number, count in sorted(count_numbers().items())) == numbers


def test_the_sample_tells_when_each_cluster_was_done() -> None:
    plain, factory = look(SAMPLE, 12), look(SAMPLE, 13)

    tallies = tally_of(SAMPLE).clusters
    assert (tallies[12].taskforce, tallies[13].taskforce) == ("TF-sample0001-aaaa-bbbb", "TF-sample0002-cccc-dddd")
    assert (plain.n_procs, plain.n_left, factory.n_procs, factory.n_left) == (50, 0, 6, 0)
    assert (plain.ended_at, factory.ended_at) == (1795317038.0, 1795317037.0)
    assert (tallies[12].is_factory, tallies[12].removed_at) == (False, None)
    assert (tallies[13].is_factory, tallies[13].removed_at) == (True, 1795317037.0)


def test_the_sample_tells_how_each_proc_ended() -> None:
    procs = list(look_at_procs(tally_of(SAMPLE).clusters[12]))

    assert Counter((one.status, one.exit_code, one.signal) for one in procs) == {
        ("COMPLETED", 0, None): 30,
        ("COMPLETED", 1, None): 7,
        ("COMPLETED", None, 11): 1,
        ("REMOVED", None, None): 12,
    }
    assert [one.proc for one in procs if one.signal] == [37]
    assert [(one.proc, one.n_starts) for one in procs if one.n_starts != 1] == [
        (29, 2),
        (41, 2),
        (42, 2),
        (47, 0),
        (49, 0),
    ]
    assert [one.proc for one in procs if one.n_disconnects] == [42]


def test_the_sample_tells_what_happened_on_the_way() -> None:
    report = look(SAMPLE, 12)

    assert report.numbers == {
        "starts": 51,
        "restarts": 3,
        "evictions": 4,  # those that a removal did are none
        "disconnects": 1,
        "reconnect failures": 1,
        "suspensions": 1,
        "remote errors": 1,  # a hold followed, so that it was no failed start
    }
    assert (report.holds, report.hosts, report.sites, report.phases) == ({}, {}, {}, {})


def test_halfway_the_sample_tells_who_runs_where_and_who_is_held_for_what() -> None:
    events = SAMPLE.split(b"\n...\n")
    begin = next(index for index, one in enumerate(events) if one.startswith(b"012 (012.046.000)"))
    report = look(b"\n...\n".join(events[: begin + 1]) + b"\n...\n", 12)

    assert "HELD: The PERIODIC_HOLD expression evaluated to True. Or, ON_EXIT_HOLD was true: 77 (User Specified)" in (
        render_told(report)
    )
    assert set(report.hosts) <= {"vm"}
    assert sum(report.hosts.values()) == report.states.get(2, 0) + report.states.get(7, 0)
    assert sum(report.states.values()) == report.n_procs == 50


def test_what_the_pilot_said_is_forgotten_at_the_next_start() -> None:
    said = submit() + execute() + chirp("Status", '"Tasking"') + chirp("Error", '"no luck"') + evicted()
    again = said + execute(at="2026-11-22 03:09:00")

    assert (look(said).statuses, look(said).errors) == ({("IDLE", "Tasking"): 1}, {"no luck": 1})
    assert (look(again).statuses, look(again).errors) == ({("RUNNING", None): 1}, {})


def test_the_error_of_a_proc_that_has_ended_stays() -> None:
    log = submit() + execute() + chirp("Error", '"no luck"') + terminated(how="(1) Normal termination (return value 1)")

    assert (look(log).errors, look_at_one(log).exit_code) == ({"no luck": 1}, 1)


def test_a_proc_that_goes_on_after_a_suspension_runs() -> None:
    suspended = submit() + execute() + event(10, "Job was suspended.\n\tNumber of processes actually suspended: 3")

    assert look(suspended).statuses == {("SUSPENDED", None): 1}
    assert look(suspended).hosts == {"ep": 1}
    assert look(suspended + event(11, "Job was unsuspended.")).statuses == {("RUNNING", None): 1}


def test_a_hold_of_a_running_proc_and_its_release_show_the_reason_and_take_it_away() -> None:
    log = submit() + execute() + evicted() + held(code=34)

    assert render_told(look(log)) == {"HELD: Memory usage exceeds a memory limit": {"null": 1}}
    assert look(log).holds == {"Memory usage exceeds a memory limit": 1}
    assert render_told(look(log + released())) == {"IDLE": {"null": 1}}
    assert look(log + released()).holds == {}


def test_an_error_on_a_machine_is_a_failed_start_unless_a_hold_follows() -> None:
    error = event(21, "Error from starter on slot1_2@vm:\n\tno such image\n\tCode 35 Subcode 0")
    log = submit() + execute() + error + evicted()

    assert look(log).numbers["failed starts"] == 1
    assert "failed starts" not in look(log + held(code=35)).numbers


def test_no_more_than_ten_error_texts_are_told_the_most_common_ones() -> None:
    log = b"".join(
        submit(proc) + execute(proc) + chirp("Error", f'"error {min(proc, 15)}"', proc=proc) for proc in range(20)
    )

    errors = look(log).errors

    assert len(errors) == 10
    assert next(iter(errors.items())) == ("error 15", 5)


@pytest.mark.parametrize(
    ("event_1", "hosts", "sites"),
    [
        (execute(slot="slot1_1@wn1.example.org"), {"wn1.example.org": 1}, {"wn1.example.org": 1}),
        (execute(slot="slot1_2@glidein_7@wn2", props='\n\tGLIDEIN_Site = "SDSC"'), {"wn2": 1}, {"SDSC": 1}),
        (event(1, "Job executing on host: <10.0.0.1:9618?alias=wn3&noUDP>"), {"wn3": 1}, {"wn3": 1}),
        (event(1, "Job executing on host: <10.0.0.1:9618?noUDP>"), {"10.0.0.1:9618": 1}, {"10.0.0.1:9618": 1}),
        (event(1, "Job executing on host: wn4"), {"wn4": 1}, {"wn4": 1}),
    ],
)
def test_a_start_names_machine_and_site(event_1: bytes, hosts: dict[str, int], sites: dict[str, int]) -> None:
    report = look(submit() + event_1)

    assert (report.hosts, report.sites) == (hosts, sites)
    assert look(submit() + event_1 + terminated()).hosts == {}


@pytest.mark.parametrize(
    "note", ["\n    MusterTaskforce=TF-1", "\n    EWMSTaskforceUUID=TF-1", '\n    other\n    MusterTaskforce="TF-1"']
)
def test_the_notes_of_a_submission_name_the_taskforce(note: str) -> None:
    assert tally_of(submit(notes=note)).clusters[7].taskforce == "TF-1"
    factory = event(35, f"Cluster submitted from host: <127.0.0.1:9618>{note}").replace(b".000.000)", b".-01.000)")
    assert tally_of(factory).clusters[7].taskforce == "TF-1"


def test_a_factory_that_makes_no_more_procs_says_why() -> None:
    paused = event(37, "Job Materialization Paused\n\tno more items\n\tPauseCode 1").replace(b".000.000)", b".-01.000)")
    resumed = event(38, "Job Materialization Resumed").replace(b".000.000)", b".-01.000)")

    assert look(paused).paused == "no more items\n\tPauseCode 1"
    assert look(paused + resumed).paused is None


def test_a_transfer_is_told_by_its_step_while_it_goes_on() -> None:
    log = submit() + event(40, "Entered queue to transfer input files")
    moving = log + event(40, "Started transferring input files\n\tTransferring to host: <x>")
    moved = moving + event(40, "Finished transferring input files")
    back = moved + execute() + event(40, "Started transferring output files")

    assert look(log).phases == {"input queued": 1}
    assert look(moving).phases == {"input started": 1}
    assert look(moved).phases == {}
    assert look(moving + execute()).phases == {}  # that it was finished was lost
    assert look(moving + EXCEPTION).phases == {}
    assert look(back).phases == {"output started": 1}
    assert look(back + event(40, "Finished transferring output files")).phases == {}
    assert look(back + terminated()).phases == {}


def test_an_eviction_by_a_removal_is_none() -> None:
    ran = submit() + execute(at="2026-11-22 03:08:00")
    evicted_first = ran + evicted(at="2026-11-22 03:09:00")
    again = evicted_first + execute(at="2026-11-22 03:09:05")

    def count(log: bytes) -> tuple[int, int]:
        return look(log).numbers.get("evictions", 0), look_at_one(log).n_evictions

    assert count(evicted_first) == (1, 1)
    assert count(evicted_first + aborted(at="2026-11-22 03:09:01")) == (0, 0)
    assert count(evicted_first + aborted(at="2026-11-22 03:19:00")) == (1, 1)  # it waited for another machine
    assert count(again + aborted(at="2026-11-22 03:09:06")) == (1, 1)  # of another start
    assert count(again + evicted(at="2026-11-22 03:09:09") + aborted(at="2026-11-22 03:09:09")) == (1, 1)
    by_hold = evicted_first + held(at="2026-11-22 03:09:00")
    assert count(by_hold + aborted(at="2026-11-22 03:09:02")) == (1, 1)


def test_a_machine_out_of_reach_is_told_until_it_is_back() -> None:
    log = submit() + execute() + event(22, "Job disconnected, attempting to reconnect\n    Socket closed\n    Trying")

    assert look(log).numbers["disconnected"] == 1
    assert "disconnected" not in look(log + event(23, "Job reconnected to slot1_1@ep")).numbers
    assert render_told(look(log + event(24, "Job reconnection failed\n    gone"))) == {"IDLE": {"null": 1}}
