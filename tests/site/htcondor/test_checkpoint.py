"""After a restart: does the reader go on where it stopped, and never with a wrong count?"""

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.event_logs import EXCERPT, chirp, describe, execute, held, submit, tally_of, terminated
from muster.site.adapters.htcondor.event_log.cluster_tally import Correction
from muster.site.adapters.htcondor.event_log.events import COMPLETED, RUNNING
from muster.site.adapters.htcondor.event_log.log_reader import LogReader
from muster.site.adapters.htcondor.event_log.proc_entries import GAP_MAX
from muster.site.adapters.htcondor.event_log.statuses import look_at

CLEAN = b"".join(EXCERPT)


def _open(path: Path) -> LogReader:
    return LogReader(path, checkpoint=path.with_suffix(".checkpoint"), zone=UTC)


def _save(path: Path) -> LogReader:
    reader = _open(path)
    while reader.poll():
        pass
    reader.save(sync=False)
    reader.close()
    return reader


def _append(path: Path, *events: bytes) -> None:
    with path.open("ab") as file:
        file.write(b"".join(events))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.log"


@settings(max_examples=60)
@given(st.lists(st.integers(0, len(CLEAN)), min_size=1, max_size=6))
def test_a_restart_at_any_place_comes_to_the_same(stops: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        for begin, end in zip([0, *sorted(stops)], [*sorted(stops), len(CLEAN)], strict=True):
            _append(path, CLEAN[begin:end])
            reader = _save(path)

        assert describe(reader) == describe(tally_of(CLEAN))


def test_what_was_read_is_not_read_again(path: Path) -> None:
    path.write_bytes(CLEAN)
    _save(path)
    content = path.read_bytes()
    path.write_bytes(
        CLEAN[:300] + content[300:2000].replace(b"Job", b"Xob") + content[2000:]
    )  # unseen: nobody looks there

    again = _open(path)

    assert describe(again) == describe(tally_of(CLEAN))
    assert again.take_changes() == {12, 13}
    assert not again.poll()
    assert describe(again) == describe(tally_of(CLEAN))
    again.close()


def test_everything_that_is_kept_of_a_cluster_survives(path: Path) -> None:
    far = 3 * GAP_MAX
    path.write_bytes(
        submit(notes="\n    MusterTaskforce=TF-1")
        + submit(1) + submit(2) + execute() + execute(1) + chirp("Status", '"Tasking"') + chirp("Error", '"no luck"')
        + held(2, code=3, subcode=7) + submit(far) + execute(far)
    )  # fmt: skip
    first = _open(path)
    first.poll()
    first.clusters[7].correct(1, Correction(state=COMPLETED, at=1795400000.0, exit_code=3))
    first.clusters[7].correct(far, Correction(state=RUNNING, at=1795400000.0))
    first.expect(7, n_procs=far + 1)
    first.save(sync=False)
    second = _open(path)

    assert describe(second) == describe(first)
    for reader in (first, second):
        _append(path, b"")
        tally = reader.clusters[7]
        assert (tally.corrected, tally.apart, tally.limit) == ({1: (1795400000.0, True), tally.apart[far]: (1795400000.0, False)},
                                                              {far: tally.apart[far]}, far + 1)  # fmt: skip
    _append(path, terminated(), terminated(1), submit(far + 1), terminated(far, at="2026-12-22 03:08:10"))
    for reader in (first, second):
        reader.poll()
    assert describe(second) == describe(first)
    assert look_at(second.clusters[7]).n_left == 1
    first.close()
    second.close()


def _truncated(content: bytes) -> bytes:
    return content[:-10]


def _flipped(content: bytes) -> bytes:
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


def _of_another_form(content: bytes) -> bytes:
    return content.replace(b"event log 2", b"event log 1")


@pytest.mark.parametrize("damage", [_truncated, _flipped, _of_another_form, lambda _: b"", lambda _: b"\0" * 5000])
def test_a_damaged_checkpoint_means_reading_again(path: Path, damage: Callable[[bytes], bytes]) -> None:
    path.write_bytes(CLEAN)
    _save(path)
    checkpoint = path.with_suffix(".checkpoint")
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))

    again = _open(path)
    assert len(again._files) == 0
    again.poll()

    assert describe(again) == describe(tally_of(CLEAN))
    again.close()


@pytest.mark.parametrize("size", [100, len(CLEAN), len(CLEAN) + 5000])
def test_another_log_in_the_same_inode_is_read_from_its_beginning(path: Path, size: int) -> None:
    path.write_bytes(CLEAN)
    _save(path)
    other = (submit(5) + execute(5)) * (1 + size // 100)

    path.write_bytes(other)

    assert describe(_save(path)) == describe(tally_of(other))


def test_another_log_under_its_name_is_read_from_its_beginning(path: Path) -> None:
    path.write_bytes(CLEAN)
    _save(path)
    shutil.copy(path, path.with_suffix(".copy"))
    path.unlink()
    path.with_suffix(".copy").replace(path)

    assert describe(_save(path)) == describe(tally_of(CLEAN))


def test_a_log_that_was_renamed_meanwhile_is_found_in_its_folder(path: Path) -> None:
    path.write_bytes(submit() + execute())
    _save(path)
    old = path.rename(path.with_name("events.log.1"))
    _append(old, terminated())
    _append(path, submit(1))

    reader = _save(path)

    assert dict(look_at(reader.clusters[7]).statuses) == {("COMPLETED", None): 1, ("IDLE", None): 1}


def test_old_files_are_read_on_after_a_restart_too(path: Path) -> None:
    path.write_bytes(submit() + execute())
    first = _open(path)
    first.poll()
    old = path.rename(path.with_name("events.log.1"))
    _append(path, submit(1))
    first.poll()
    first.save(sync=False)
    first.close()
    _append(old, terminated())

    second = _save(path)

    assert dict(look_at(second.clusters[7]).statuses) == {("COMPLETED", None): 1, ("IDLE", None): 1}


def test_a_log_that_is_gone_after_a_restart_is_waited_for(path: Path) -> None:
    path.write_bytes(submit())
    _save(path)
    path.unlink()

    reader = _open(path)
    reader.poll()
    assert reader.clusters == {}
    _append(path, submit(4))
    reader.poll()

    assert reader.clusters[7].n_procs == 1
    reader.close()


def test_a_checkpoint_before_there_is_a_log_is_none(path: Path) -> None:
    _save(path)

    assert not path.with_suffix(".checkpoint").exists()
