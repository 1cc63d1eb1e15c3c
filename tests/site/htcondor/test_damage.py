"""Whatever is wrong in a log: are all other events counted, is what was passed over told, and does nothing stop?"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.event_logs import (
    EXCERPT,
    aborted,
    chirp,
    cut_into_events,
    describe,
    event,
    execute,
    held,
    look,
    look_at_one,
    submit,
    tally_of,
    terminated,
)
from muster.site.adapters.htcondor.event_log.log_file import EVENT_BYTES_MAX
from muster.site.adapters.htcondor.event_log.log_reader import LogReader
from muster.site.adapters.htcondor.event_log.proc_entries import GAP_MAX
from muster.site.adapters.htcondor.event_log.split import TERMINATOR, split_block

CLEAN = b"".join(EXCERPT)
SENTINEL = submit(cluster=99) + aborted(cluster=99)
STRAY = (
    b"a line that nobody meant to write\n",
    b"two lines\n\tof it\n",
    b"\0" * 600,
    b"no line at all",
    b"...\n",
    b"\n\n",
    b"some rest of an event\n\tCode 1 Subcode 0" + TERMINATOR,
    b"0", b"00", b"012 (", b"012 (012.000.000) 2026-11-22",
    event(99, "Something new\n\tbelongs to it"),
    event(123, "and what the execution point writes"),
)  # fmt: skip


def _without(index: int) -> bytes:
    return b"".join(EXCERPT[:index] + EXCERPT[index + 1 :])


@given(st.integers(0, len(EXCERPT) - 1), st.sampled_from(STRAY))
def test_what_stands_between_two_events_changes_neither(index: int, stray: bytes) -> None:
    log = b"".join(EXCERPT[:index]) + stray + b"".join(EXCERPT[index:])

    assert describe(tally_of(log)) == describe(tally_of(CLEAN))


@given(st.integers(0, len(EXCERPT) - 2), st.data())
def test_an_event_that_was_cut_off_takes_no_other_with_it(index: int, data: st.DataObject) -> None:
    cut_at = data.draw(st.integers(1, len(EXCERPT[index]) - len(TERMINATOR)))
    log = b"".join(EXCERPT[:index]) + EXCERPT[index][:cut_at] + b"".join(EXCERPT[index + 1 :])

    tally = tally_of(log)

    assert describe(tally) == describe(tally_of(_without(index)))
    if (
        EXCERPT[index][:3] != EXCERPT[index + 1][:3]
    ):  # an event that nobody looks into does not show that it has two beginnings
        assert [(one.offset, one.size_bytes) for one in tally.damage.first] == [
            (sum(map(len, EXCERPT[:index])), cut_at)
        ]


@given(st.integers(0, len(EXCERPT) - 2), st.data())
def test_nuls_in_an_event_take_no_other_with_it(index: int, data: st.DataObject) -> None:
    broken = EXCERPT[index]
    at = data.draw(st.integers(0, len(broken) - 1))
    hole = data.draw(st.integers(1, len(broken) - at))
    log = b"".join([*EXCERPT[:index], broken[:at], bytes(hole), broken[at + hole :], *EXCERPT[index + 1 :]])

    assert describe(tally_of(log)) == describe(tally_of(_without(index)))


@given(st.integers(0, len(EXCERPT) - 2), st.sampled_from([b"9", b"x", b" ", b"\n"]))
def test_a_damaged_number_takes_no_other_event_with_it(index: int, byte: bytes) -> None:
    broken = byte + EXCERPT[index][1:]
    log = b"".join([*EXCERPT[:index], broken, *EXCERPT[index + 1 :]])

    assert describe(tally_of(log)) == describe(tally_of(_without(index)))


@given(st.integers(0, len(EXCERPT) - 2), st.integers(0, 47))
def test_an_event_whose_number_became_another_does_not_pass_for_it(index: int, number: int) -> None:
    broken = b"%03d" % number + EXCERPT[index][3:]
    log = b"".join([*EXCERPT[:index], broken, *EXCERPT[index + 1 :]])

    if number != 21:  # the texts of which are of any kind
        assert _procs(log) in [_procs(CLEAN), _procs(_without(index))]


def _procs(log: bytes) -> list[object]:
    """What damage to a number cannot change: the procs; of the clusters, when they were last heard of may."""
    return [procs for _, procs in describe(tally_of(log)).values()]


_MUTATION = st.tuples(
    st.sampled_from(["replace", "delete", "insert", "copy"]),
    st.floats(0, 1),
    st.integers(1, 400),
    st.binary(max_size=60),
)


def _mutate(log: bytes, mutations: list[tuple[str, float, int, bytes]]) -> bytes:
    for kind, where, size, content in mutations:
        at = int(where * len(log))
        match kind:
            case "replace":
                log = log[:at] + content + log[at + len(content) :]
            case "delete":
                log = log[:at] + log[at + size :]
            case "insert":
                log = log[:at] + content + log[at:]
            case "copy":
                log = log[:at] + log[at : at + size] + log[at:]
    return log


@given(st.lists(_MUTATION, min_size=1, max_size=12))
def test_a_log_that_was_mangled_stops_nothing(mutations: list[tuple[str, float, int, bytes]]) -> None:
    tally = tally_of(_mutate(CLEAN, mutations) + SENTINEL)

    assert (tally.clusters[99].n_procs, tally.clusters[99].n_ended) == (1, 1)
    for cluster in tally.clusters.values():
        assert sum(cluster.counts.values()) == cluster.n_procs
        assert min(cluster.counts.values(), default=0) >= 0
    describe(tally)


@given(st.binary(max_size=4000))
def test_anything_at_all_before_the_events_stops_nothing(garbage: bytes) -> None:
    assert tally_of(garbage + SENTINEL).clusters[99].n_ended == 1


def test_two_damages_that_make_up_for_each_other_are_both_seen() -> None:
    cut = EXCERPT[3][:30]
    log = b"".join(EXCERPT[:3]) + cut + b"".join(EXCERPT[4:8]) + b"no header" + TERMINATOR + b"".join(EXCERPT[8:])

    tally = tally_of(log)

    assert describe(tally) == describe(tally_of(_without(3)))
    assert tally.damage.count == 2


@pytest.mark.parametrize(
    "text",
    [
        '"it said 005 (007.001.000) 2026-11-22 03:08:55 Job terminated."',
        '"009 (007.001.000) 2026-11-22 03:08:55 Job was aborted. (1.000) "',
        '"' + "x" * 900 + "009 (007.001.000) 2026-11-22 03:08:55 Job was aborted." + "x" * 100,
    ],
)
def test_what_the_pilot_says_is_no_event_whatever_it_looks_like(text: str) -> None:
    text = text[: 1023 - len("HTChirpEWMSPilotError: ")] if len(text) > 200 else text
    log = submit() + submit(1) + execute() + execute(1) + chirp("Error", text) + chirp("Status", '"Done"', proc=1)

    report = look(log)

    assert report.statuses == {("RUNNING", None): 1, ("RUNNING", "Done"): 1}
    assert len(report.errors) == 1
    assert tally_of(log).damage.count == 0


def test_a_hold_reason_that_looks_like_codes_is_none() -> None:
    assert look_at_one(submit() + held(code=3, subcode=42, reason="Code 1 Subcode 0")).status.endswith(
        "42 (User Specified)"
    )


def test_a_chirp_that_htcondor_cut_keeps_what_is_left_of_it() -> None:
    log = submit() + execute() + chirp("Error", '"' + "a\\n" * 20)

    assert look(log).errors == {"a\n" * 20: 1}


def test_a_proc_far_beyond_all_others_takes_the_room_of_one() -> None:
    tally = tally_of(submit() + execute() + submit(999_999_999) + aborted(999_999_999) + submit(1)).clusters[7]

    assert (tally.n_procs, tally.n_ended) == (3, 1)
    assert tally.size < 1000


def test_a_log_that_begins_with_high_numbers_is_counted_and_so_are_the_lower_ones_that_follow() -> None:
    high = range(GAP_MAX * 2, GAP_MAX * 2 + 50)
    log = b"".join(submit(proc) + execute(proc) for proc in high)
    low = b"".join(submit(proc) for proc in range(500))
    ends = b"".join(terminated(proc) for proc in [*high, *range(500)])

    assert look(log).statuses == {("RUNNING", None): 50}
    assert look(log + low).statuses == {("RUNNING", None): 50, ("IDLE", None): 500}
    assert look(log + low + ends).statuses == {("COMPLETED", None): 550}


def test_procs_out_of_line_get_in_line_once_it_reaches_them() -> None:
    far = GAP_MAX + 70
    log = submit(far) + execute(far) + submit() + chirp("Status", '"Tasking"', proc=far)
    reached = log + submit(GAP_MAX - 1) + submit(far + 10) + execute(3)

    tally = tally_of(reached).clusters[7]

    assert tally.apart == {}
    assert look_at_one(reached, far).pilot == "Tasking"
    assert tally.n_procs == 5


def test_a_cluster_of_known_size_has_no_other_procs() -> None:
    tally = tally_of(submit() + submit(1) + execute(5))
    tally.expect(7, 2)
    tally.take_block(split_block(execute(6) + execute(1)), 0)

    assert (tally.clusters[7].n_procs, tally.damage.count) == (2, 1)


def test_an_end_that_never_comes_is_passed_over_at_the_next_event(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(submit() + b"x" * (EVENT_BYTES_MAX * 2 + 5000) + b"\n" + execute() + SENTINEL)
    reader = LogReader(path)

    while reader.poll():
        pass

    assert (reader.clusters[7].numbers["starts"], reader.clusters[99].n_ended) == (1, 1)
    assert reader.damage.count >= 1
    assert EVENT_BYTES_MAX * 2 + 4000 < reader.damage.size_bytes < EVENT_BYTES_MAX * 2 + 6000
    reader.close()


def test_only_the_first_few_places_of_damage_are_kept_and_all_are_counted() -> None:
    tally = tally_of((submit() + b"stray\n") * 100 + SENTINEL)

    assert (tally.damage.count, tally.damage.size_bytes, len(tally.damage.first)) == (100, 600, 20)


def test_an_excerpt_is_made_of_whole_events() -> None:
    assert cut_into_events(CLEAN) == EXCERPT
    assert tally_of(CLEAN).damage.count == 0
