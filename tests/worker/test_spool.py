"""Do results survive a worker whose service is away, bounded, and are they handed in once?"""

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from queue import SimpleQueue

import pytest

from harness.namespaces import on_small_disk
from harness.waiting import wait_for
from muster.worker.calls import Calls
from muster.worker.desk import Desk
from muster.worker.link import parse_address
from muster.worker.log_lines import LogLines
from muster.worker.messages import Failure, Handed, Usage
from muster.worker.pace import Pace
from muster.worker.safekeeping import LATE_S, Safekeeping
from muster.worker.service import Patience, Session
from muster.worker.spool import AGAIN_S, Spool
from worker.conftest import Worker
from worker.fake_service import FakeService
from worker.test_service_trouble import GATED, gated

Start = Callable[..., Worker]
Script = Callable[[str], str]

DONE = Handed("EV-0000000000000001", 3, "done", b'{"kind":"json","body":1.10}', None, 0.5)
FINAL = Handed("EV-0000000000000004", 1, "failed", None, Failure("no base64", "body"), 0.5, is_final=True)
FAILED = Handed("EV-0000000000000002", 1, "failed", None, Failure("no luck", "luck"), 0.5)


class Disk:
    """A spool's folder, its log and its clock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = StringIO()
        self.now = 0.0

    def open(self, *, taskforce: str = "TF-1", bytes_max: int = 1 << 20) -> Spool:
        log = LogLines(self.log)
        return Spool(str(self.path), taskforce=taskforce, bytes_max=bytes_max, log=log, clock=lambda: self.now)

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "spool")


def test_what_is_kept_is_read_as_it_would_have_been_sent_and_is_nobody_elses_to_read(disk: Disk) -> None:
    disk.open().keep([DONE, FAILED, FINAL])

    spool = disk.open()
    left = spool.read()

    assert [one.render() for one in left] == [DONE.render(), FAILED.render(), FINAL.render()]
    assert [(one.event, one.fence, one.outcome) for one in left] == [
        (DONE.event, 3, "done"),
        (FAILED.event, 1, "failed"),
        (FINAL.event, 1, "failed"),
    ]
    assert len(spool) == 3
    assert stat.S_IMODE(disk.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in disk.path.iterdir()} == {0o600}
    assert "1.10" not in disk.log.getvalue()
    spool.let_go(left)
    assert (disk.files, len(spool)) == ([], 0)


def test_a_worker_without_trouble_makes_no_folder(disk: Disk) -> None:
    spool = disk.open()
    assert spool.read() == []
    spool.let_go([DONE])
    spool.keep([])
    assert not disk.path.exists()


@pytest.mark.parametrize("cut", ["begin", "end", "middle", "all"])
def test_a_torn_file_is_dropped_and_the_others_are_not(disk: Disk, cut: str) -> None:
    disk.open().keep([DONE, FAILED])
    path = disk.path / disk.files[0]
    whole = path.read_bytes()
    path.write_bytes({"begin": whole[7:], "end": whole[:-1], "middle": whole[:90] + b"?" + whole[91:], "all": b""}[cut])

    assert [one.render() for one in disk.open().read()] == [FAILED.render()]

    assert len(disk.files) == 1
    assert "its checksum is not that of its content" in disk.log.getvalue()


def test_what_is_no_file_or_a_draft_is_dropped_too(disk: Disk) -> None:
    disk.open().keep([DONE])
    os.mkfifo(disk.path / "a-pipe")
    (disk.path / "EV-1.1.new").write_bytes(b"half")
    (disk.path / "a-folder").mkdir()

    assert len(disk.open().read()) == 1

    assert disk.files == [f"{DONE.event}.3", "a-folder"]


def test_another_taskforces_attempts_are_not_handed_in(disk: Disk) -> None:
    disk.open(taskforce="TF-0").keep([DONE, FAILED])

    assert disk.open(taskforce="TF-1").read() == []

    assert disk.files == []
    assert '"results of another taskforce deleted", "count": 2' in disk.log.getvalue()


def test_it_is_bounded_and_has_room_again_once_some_are_let_go(disk: Disk) -> None:
    spool = disk.open(bytes_max=len(DONE.render()) + 1)
    spool.keep([DONE])
    assert (len(spool), spool.is_full) == (1, False)
    spool.keep([DONE, FAILED])
    assert (len(spool), spool.is_full) == (2, True)
    another = Handed("EV-0000000000000003", 1, "done")
    spool.keep([another])
    assert len(spool) == 2
    spool.let_go([FAILED])
    spool.keep([another])
    assert (len(spool), len(disk.files)) == (2, 2)


def test_a_disk_that_will_not_have_it_is_told_and_tried_again_later(disk: Disk) -> None:
    disk.path.write_text("no folder")
    spool = disk.open()
    spool.keep([DONE])
    assert (len(spool), spool.is_full, spool.again_at) == (0, False, AGAIN_S)
    assert "results cannot wait on disk" in disk.log.getvalue()
    disk.path.unlink()
    spool.keep([DONE])
    assert len(spool) == 0, "not yet"
    disk.now = AGAIN_S
    spool.keep([DONE])
    assert (len(spool), spool.again_at) == (1, None)


def test_none_is_kept_where_there_is_to_be_none(disk: Disk) -> None:
    spool = disk.open(bytes_max=0)
    spool.keep([DONE])
    assert (len(spool), spool.is_full) == (0, False)
    assert not disk.path.exists()


def test_a_call_that_hangs_counts_as_no_answer_once_it_is_late(disk: Disk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = parse_address(f"http://127.0.0.1:{silent.getsockname()[1]}")
        patience, inbox = Patience(offline_s=60.0), SimpleQueue[object]()
        calls = Calls(address, patience, LogLines(disk.log), inbox)
        safe = Safekeeping(disk.open(), calls=calls, patience=patience)
        safe.begin(Desk(Pace(slots=1, batch=16), slots=1, wake=lambda: None))
        call = calls.step(Session(1, "a token", 60.0), 1, [DONE], want=1, wait_s=20.0, isolation="")

        due_at = safe.look(call.made_at)

        assert due_at == call.made_at + 20.0 + LATE_S
        assert safe.n_kept == 0
        assert safe.look(due_at) is None
        assert safe.n_kept == 1


# -- whole workers ---------------------------------------------------------------------------------------------------------


def wait_for_files(worker: Worker, number: int) -> None:
    spool = worker.folder / "spool"

    def are_there() -> bool:
        return spool.is_dir() and len([one for one in spool.iterdir() if one.suffix != ".new"]) == number

    wait_for(are_there, f"{number} results are on disk")


def run_while_the_service_is_away(start: Start, service: FakeService, tmp_path: Path, **settings: object) -> Worker:
    """A worker whose only task has ended, and whose service has gone before."""
    service.publish(gated(tmp_path, 1))
    worker = start(service, **settings)
    service.wait((tmp_path / "tally").exists, "the task is at work")
    service.fail_with = lambda _: -1
    (tmp_path / "gate").touch()
    return worker


@pytest.mark.system
@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_result_outlives_its_worker_and_the_next_start_hands_it_in_before_all_else(
    start: Start, script: Script, tmp_path: Path, how: str
) -> None:
    with FakeService(args=script(GATED)) as service:
        first = run_while_the_service_is_away(start, service, tmp_path)
        wait_for_files(first, 1)
        if how == "kill":
            first.process.kill()
            first.wait()
        else:
            first.terminate()
            assert first.wait() == 0
            assert first.ended["why"].endswith("; attempts on disk that were not handed in: 1")
        service.publish(gated(tmp_path, 2))
        service.fail_with = lambda _: None

        second = start(service, again=first, START=1)
        service.wait_for(done=2)
        service.tell_to("finish")

        assert second.wait() == 0
        assert service.results() == [1, 2]
        assert (tmp_path / "tally").read_text() == "1\n2\n", "each was run once"
        assert service.verdicts == {"late": 1, "done": 1}
        assert second.ended["why"] == "told to finish"
        assert second.ended["counts"] == {"done": 1}
        assert list((second.folder / "spool").iterdir()) == []


@pytest.mark.system
def test_a_result_that_comes_after_another_workers_counts_nothing(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        first = run_while_the_service_is_away(start, service, tmp_path)
        wait_for_files(first, 1)
        first.process.kill()
        first.wait()
        service.end_session()
        service.fail_with = lambda _: None
        start(service, proc=1)
        service.wait_for(done=1)

        again = start(service, again=first, START=1)

        service.wait(lambda: service.verdicts["duplicate"] == 1, "it hands in what was done meanwhile")
        wait_for_files(again, 0)
        assert service.verdicts == {"done": 1, "duplicate": 1}
        assert service.results() == [1]


@pytest.mark.system
def test_nothing_is_written_while_the_service_answers_parked_or_not(start: Start, script: Script) -> None:
    with FakeService(args=script("from muster import task; task.run(lambda event: event)"), warm=True) as service:
        service.publish(*range(500))
        worker = start(service)
        service.wait_for(done=500)
        service.wait(lambda: service.parked == 1, "a call is parked")
        service.tell_to("finish")
        assert worker.wait() == 0
        assert not (worker.folder / "spool").exists()


@pytest.mark.system
def test_a_worker_that_gives_up_says_how_many_wait_on_disk(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        worker = run_while_the_service_is_away(start, service, tmp_path, OFFLINE_S=2)
        assert worker.wait() == 1
        assert worker.ended["why"].startswith("no service for 2 s: ")
        assert worker.ended["why"].endswith("; attempts on disk that were not handed in: 1")
        wait_for_files(worker, 1)


@pytest.mark.system
def test_a_disk_without_room_keeps_results_in_memory_and_ends_no_worker(
    start: Start, script: Script, tmp_path: Path
) -> None:
    with FakeService(args=script(GATED)) as service:
        worker = run_while_the_service_is_away(
            start, service, tmp_path, wrapper=lambda folder: on_small_disk(f"{folder}/spool", "nr_inodes=1")
        )
        wait_for(lambda: "results cannot wait on disk" in worker.said, "it says so")
        assert "No space left on device" in worker.said
        service.fail_with = lambda _: None
        service.wait_for(done=1)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert worker.ended["why"] == "told to finish"


@pytest.mark.system
def test_no_event_is_begun_while_there_is_no_room_for_what_would_come_of_it(
    start: Start, script: Script, tmp_path: Path
) -> None:
    source = f"""
import time, pathlib
from muster import task
def handle(event):
    with open({str(tmp_path / "tally")!r}, "a") as tally:
        tally.write(f"{{event}}\\n")
    gate = pathlib.Path({str(tmp_path)!r}) / ("first-gate" if event < 22 else "second-gate")
    while event >= 20 and not gate.exists():
        time.sleep(0.005)
    return [event, "x" * 700_000]
task.run(handle)
"""
    with FakeService(args=script(source), warm=True) as service:
        service.publish(*range(26))
        worker = start(service, SPOOL_MIB=1)
        service.wait_for(done=20, deadline_s=100)  # one after the other, each with a disk that must have it
        service.wait(lambda: service.counts["in work"] >= 5, "there are events in hand")
        service.fail_with = lambda _: -1
        (tmp_path / "first-gate").touch()
        wait_for_files(worker, 2)
        (tmp_path / "second-gate").touch()
        before = service.requests["step"]
        service.wait(lambda: service.requests["step"] > before + 2, "the worker tries again and again")
        begun = (tmp_path / "tally").read_text().split()
        wait_for_files(worker, 2)
        service.fail_with = lambda _: None
        service.wait_for(done=26, deadline_s=60)
        assert [result[0] for result in service.results()] == list(range(26))
        service.tell_to("finish")
        assert worker.wait() == 0
    assert len(begun) <= 23, "it has begun nothing since there is no room"
    assert sorted(map(int, (tmp_path / "tally").read_text().split())) == list(range(26)), "each was run once"


@pytest.mark.system
def test_one_that_the_service_will_never_have_is_dropped(start: Start, script: Script, tmp_path: Path) -> None:
    with FakeService(args=script(GATED)) as service:
        first = run_while_the_service_is_away(start, service, tmp_path)
        wait_for_files(first, 1)
        first.process.kill()
        first.wait()
        judge = service.step

        def step(session, asked):  # type: ignore[no-untyped-def]
            if any(one["outcome"] == "done" for one in asked["finished"]) and len(service.sessions) == 2:
                return 422, {"code": "invalid", "error": "a field that we do not know"}
            return judge(session, asked)

        service.step = step  # type: ignore[method-assign]
        service.fail_with = lambda _: None
        second = start(service, again=first, START=1)
        service.wait(lambda: "is refused" in second.said, "it says so")
        service.wait(lambda: len(service.events["EV-0000000000000001"].leased_at) == 2, "the event is run again")
        assert not list((second.folder / "spool").iterdir())


def test_what_a_former_start_has_left_is_handed_in_as_it_was_with_and_without_its_extras(disk: Disk) -> None:
    done = replace(DONE, usage=Usage(cpu_s=1.5, memory_bytes=7, bytes_in=1))
    failed = replace(FAILED, output=b'{"stdout":null}')
    disk.open().keep([done, failed])

    left = disk.open().read()

    assert [one.render() for one in left] == [done.render(), failed.render()]
    assert [one.without_extras().render() for one in left] == [DONE.render(), FAILED.render()]
    assert [(one.has_extras, one.without_extras().has_extras) for one in left] == [(True, False)] * 2
