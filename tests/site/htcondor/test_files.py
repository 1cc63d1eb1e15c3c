"""Whatever happens to the file of a log: is each event counted, and counted once?"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.event_logs import EXCERPT, chirp, describe, execute, look, submit, tally_of, terminated
from muster.site.adapters.htcondor.event_log import log_file
from muster.site.adapters.htcondor.event_log.log_reader import LogReader
from muster.site.adapters.htcondor.event_log.statuses import look_at

CLEAN = b"".join(EXCERPT)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.log"


@pytest.fixture
def reader(path: Path) -> Iterator[LogReader]:
    made = LogReader(path, zone=UTC)
    yield made
    made.close()


def _append(path: Path, *events: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(events))


def _overwrite(path: Path, *events: bytes) -> None:
    """In its place, as an editor may."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(b"".join(events))


def _statuses(reader: LogReader, cluster: int = 7) -> object:
    while reader.poll():
        pass
    return dict(look_at(reader.clusters[cluster]).statuses) if cluster in reader.clusters else None


def test_a_log_that_is_not_there_yet_is_waited_for(path: Path, reader: LogReader) -> None:
    assert not reader.poll()
    assert len(reader._files) == 0

    _append(path, submit())

    assert _statuses(reader) == {("IDLE", None): 1}


@settings(max_examples=40)
@given(st.lists(st.integers(1, len(CLEAN)), max_size=30))
def test_in_whatever_pieces_a_log_grows_it_comes_to_the_same(cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        reader = LogReader(path, zone=UTC)
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(CLEAN)], strict=True):
            _append(path, CLEAN[begin:end])
            reader.poll()
        reader.close()

        assert describe(reader) == describe(tally_of(CLEAN))
        assert reader.damage.count == 0


@settings(max_examples=40)
@given(
    st.integers(0, len(CLEAN)), st.lists(st.integers(1, len(CLEAN)), max_size=10), st.binary(min_size=1, max_size=40)
)
def test_in_whatever_pieces_a_damaged_log_grows_it_comes_to_the_same(at: int, cuts: list[int], stray: bytes) -> None:
    log = CLEAN[:at] + stray + CLEAN[at:] + CLEAN[:3000]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        reader = LogReader(path, zone=UTC)
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(log)], strict=True):
            _append(path, log[begin:end])
            reader.poll()
        reader.close()

        assert describe(reader) == describe(tally_of(log[: log.rfind(b"\n...\n") + 5]))


def test_blocks_of_any_size_come_to_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _append(path, CLEAN)
    for size in (1, 100, 1000, 4096, 1 << 20):
        monkeypatch.setattr(log_file, "BLOCK_BYTES", size)
        reader = LogReader(path, zone=UTC)
        while reader.poll(at_most_bytes=1500):
            pass
        reader.close()

        assert describe(reader) == describe(tally_of(CLEAN))


def test_nothing_is_read_where_nothing_changed(path: Path, reader: LogReader) -> None:
    _append(path, submit())
    reader.poll()
    assert reader.take_changes() == {7}

    reader.poll()

    assert reader.take_changes() == frozenset()


def test_only_clusters_that_something_happened_to_have_changed(path: Path, reader: LogReader) -> None:
    _append(path, submit(cluster=1), submit(cluster=2))
    reader.poll()
    assert reader.take_changes() == {1, 2}

    _append(path, execute(cluster=2))
    reader.poll()

    assert reader.take_changes() == {2}


def test_after_a_rename_the_old_file_is_read_on_beside_the_new_one(path: Path, reader: LogReader) -> None:
    _append(path, submit(), submit(1), execute(), execute(1))
    reader.poll()
    old = path.rename(path.with_suffix(".old"))
    _append(path, submit(2))
    assert _statuses(reader) == {("RUNNING", None): 2, ("IDLE", None): 1}

    _append(old, terminated())
    _append(path, execute(2))

    assert _statuses(reader) == {("COMPLETED", None): 1, ("RUNNING", None): 2}
    assert len(reader._files) == 2


def test_after_a_rename_within_an_event_the_old_file_still_ends_it(path: Path, reader: LogReader) -> None:
    _append(path, submit(), execute()[:40])
    reader.poll()
    old = path.rename(path.with_suffix(".old"))
    _append(path, submit(1))
    reader.poll()

    _append(old, execute()[40:])

    assert _statuses(reader) == {("RUNNING", None): 1, ("IDLE", None): 1}
    assert reader.damage.count == 0


def test_after_a_deletion_what_running_procs_still_write_is_read(path: Path, reader: LogReader) -> None:
    _append(path, submit(), execute())
    with path.open("ab") as shadow:
        reader.poll()
        path.unlink()
        shadow.write(chirp("Status", '"Done"'))
        shadow.flush()
        assert _statuses(reader) == {("RUNNING", "Done"): 1}

        _append(path, submit(1))
        shadow.write(terminated())
        shadow.flush()

        assert _statuses(reader) == {("COMPLETED", "Done"): 1, ("IDLE", None): 1}


def test_an_old_file_is_let_go_once_nobody_writes_to_it(path: Path, reader: LogReader) -> None:
    _append(path, submit(), execute())
    reader.poll()
    old = path.rename(path.with_suffix(".old"))
    _append(old, terminated())
    _append(path, submit(1))

    reader.settle()
    _append(old, submit(5))

    assert len(reader._files) == 1
    assert _statuses(reader) == {("COMPLETED", None): 1, ("IDLE", None): 1}


def test_a_file_that_is_back_under_its_name_is_not_read_twice(path: Path, reader: LogReader) -> None:
    _append(path, submit(), execute())
    reader.poll()
    old = path.rename(path.with_suffix(".old"))
    _append(path, submit(1))
    reader.poll()
    old.rename(path)
    _append(path, terminated())

    assert _statuses(reader) == {("COMPLETED", None): 1, ("IDLE", None): 1}
    assert look_at(reader.clusters[7]).numbers == {"starts": 1}


def test_a_log_that_was_emptied_keeps_its_counts_and_is_read_from_its_beginning(path: Path, reader: LogReader) -> None:
    _append(path, submit(), execute(), submit(1))
    reader.poll()

    _overwrite(path, terminated())

    assert _statuses(reader) == {("COMPLETED", None): 1, ("IDLE", None): 1}
    assert reader.damage.first[0].why == "overwritten"


@pytest.mark.parametrize("more", [0, 1, 40])
def test_a_log_that_was_overwritten_with_as_much_or_more_is_read_from_its_beginning(
    path: Path, reader: LogReader, more: int
) -> None:
    _append(path, submit(), execute())
    reader.poll()
    os.utime(path, ns=(1, 1))  # so that the time of the last change tells, however coarse the clock of files is
    reader.poll()
    other = submit(1, at="2026-11-22 03:09:00") + chirp("Status", '"Done"', proc=1, at="2026-11-22 03:09:01")
    size = path.stat().st_size
    padding = b"\t" + b"x" * (size - len(other) + more - 2) + b"\n" if size + more > len(other) else b""

    _overwrite(path, other[: -len("\n...\n")] + b"\n" + padding + b"...\n")

    assert path.stat().st_size >= size
    assert _statuses(reader) == {("RUNNING", None): 1, ("IDLE", "Done"): 1}


def test_a_log_that_was_cut_short_keeps_its_counts_and_counts_what_follows(path: Path, reader: LogReader) -> None:
    _append(path, submit(), submit(1), execute(), execute(1))
    reader.poll()
    with path.open("r+b") as file:
        file.truncate(len(submit()) + len(submit(1)) + 20)
    reader.poll()

    _append(path, terminated())

    assert _statuses(reader) == {("COMPLETED", None): 1, ("RUNNING", None): 1}
    assert look_at(reader.clusters[7]).numbers == {"starts": 2}


def test_a_log_that_was_edited_in_its_place_is_counted_anew(path: Path, reader: LogReader) -> None:
    head = submit() + execute() + chirp("Status", '"Tasking"')
    _append(path, head, submit(1), execute(1))
    reader.poll()

    _overwrite(path, head, execute(1, at="2026-11-22 04:00:00"), terminated(1, at="2026-11-22 05:00:00"))

    assert _statuses(reader) == {("RUNNING", "Tasking"): 1, ("COMPLETED", None): 1}
    assert look_at(reader.clusters[7]).numbers == {"starts": 2}
    assert reader.take_changes() == {7}


def test_a_copy_in_its_place_is_read_on_where_the_original_was(path: Path, reader: LogReader) -> None:
    _append(path, submit(), execute())
    reader.poll()
    shutil.copy(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    _append(path, terminated())

    assert _statuses(reader) == {("COMPLETED", None): 1}
    assert look_at(reader.clusters[7]).numbers == {"starts": 1}


def test_an_edited_copy_in_its_place_is_counted_anew(path: Path, reader: LogReader) -> None:
    head = submit() + submit(1) + submit(2) + submit(3)
    _append(path, head, execute(), execute(1))
    reader.poll()
    path.with_suffix(".new").write_bytes(head + execute(1))
    path.with_suffix(".new").replace(path)

    assert _statuses(reader) == {("RUNNING", None): 1, ("IDLE", None): 3}
    assert look_at(reader.clusters[7]).numbers == {"starts": 1}


def test_a_long_log_is_read_a_part_at_a_time(path: Path, reader: LogReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "BLOCK_BYTES", 1000)
    _append(path, *(submit(proc) for proc in range(200)))

    polls = 1
    while reader.poll(at_most_bytes=2000):
        polls += 1

    assert polls > 5
    assert look(path.read_bytes()).n_procs == reader.clusters[7].n_procs == 200
