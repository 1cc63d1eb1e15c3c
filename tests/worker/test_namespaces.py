"""Does each thing hold that keeps an isolated task from its machine: its IPC, its rights, its devices, its end? With the real bwrap.

Every test fails where one word of the wrapper's is left out. Beside that, a task that is not isolated shows that what is looked for can
be seen at all.
"""

import ctypes
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.waiting import wait_for
from muster.worker.procfs import find_process, list_processes
from worker.conftest import Worker, bare_and_isolated
from worker.fake_service import FakeService
from worker.test_isolation import HEAD, isolated

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

Start = Callable[..., Worker]
Script = Callable[[str], str]

MESSAGES = Path("/proc/sysvipc/msg")
IPC_PRIVATE, IPC_CREAT, IPC_RMID = 0, 0o1000, 0
USUAL = {"console", "core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty"}
USUAL |= {"urandom", "zero"}
OF_TASKS = ("nvidia*", "dri", "kfd", "infiniband", "fuse")
"""Devices of the machine that tasks use."""
OVER_FILES = sum(1 << number for number in (0, 1, 3))
"""CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_FOWNER (linux/capability.h)."""


@pytest.fixture
def is_isolated(request: pytest.FixtureRequest) -> bool:
    """By the parameter of `start`."""
    return bool(request.node.callspec.params["start"] == "bwrap")


def list_message_queues() -> set[int]:
    return {int(line.split()[1]) for line in MESSAGES.read_text().splitlines()[1:]}


@pytest.fixture
def message_queue() -> Iterator[int]:
    """One of System V's, as any program of the machine may have. What comes beside it is taken away, too."""
    if not MESSAGES.exists():
        pytest.skip("the kernel has no System V IPC")
    libc = ctypes.CDLL(None, use_errno=True)
    before = list_message_queues()
    number = libc.msgget(IPC_PRIVATE, IPC_CREAT | 0o600)
    assert number >= 0, os.strerror(ctypes.get_errno())
    yield number
    for one in list_message_queues() - before:
        libc.msgctl(one, IPC_RMID, None)


@bare_and_isolated
def test_a_task_neither_sees_nor_leaves_any_ipc_of_system_v(
    start: Start,
    script: Script,
    message_queue: int,
    is_isolated: bool,  # noqa: FBT001
) -> None:
    before = list_message_queues()
    source = f"""
{HEAD}
import ctypes
seen = [int(line.split()[1]) for line in pathlib.Path("/proc/sysvipc/msg").read_text().splitlines()[1:]]
tell([event in seen, ctypes.CDLL(None).msgget(0, 0o1600) >= 0])
"""
    with FakeService(args=script(source)) as service:
        service.publish(message_queue)
        start(service)
        service.wait_for(done=1)
        assert service.results() == [[not is_isolated, True]]
    assert (list_message_queues() == before) is is_isolated


@isolated
def test_a_task_has_no_rights_beside_those_over_files(start: Start, script: Script) -> None:
    """None at all, where its worker is no root's; and none come by what it starts."""
    source = f"""
{HEAD}
import stat, subprocess
words = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
pathlib.Path("own").touch()
tell({{
    "rights": sorted({{int(words[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")}}),
    "new": words["NoNewPrivs"].strip(),
    "of a child": int(subprocess.check_output(["sh", "-c", "grep CapEff /proc/self/status"]).split()[1], 16),
    "device": attempt(lambda: os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(7, 0))),
    "root": attempt(lambda: os.chroot(".")),
    "user": attempt(lambda: os.setuid(12345)),
    "owner": attempt(lambda: os.chown("own", 12345, -1)),
}})
"""
    with FakeService(args=script(source)) as service:
        service.publish(1)
        start(service)
        service.wait_for(done=1)
        [seen] = service.results()

    is_root = os.geteuid() == 0
    allowed = OVER_FILES if is_root else 0
    assert seen == {
        "rights": [allowed],
        "new": "1",
        "of a child": allowed,
        "device": "PermissionError",
        "root": "PermissionError",
        "user": "PermissionError",
        "owner": "None" if is_root else "PermissionError",
    }


@pytest.fixture
def shared_memory() -> Iterator[Path]:
    """What another program of the machine has in memory under a name."""
    path = Path(f"/dev/shm/muster-test-{uuid.uuid4().hex}")
    path.write_text("of another")
    yield path
    for one in (path, path.with_suffix(".of-task")):
        one.unlink(missing_ok=True)


@bare_and_isolated
def test_a_task_has_devices_of_its_own_and_those_of_the_machine_that_tasks_use(
    start: Start,
    script: Script,
    shared_memory: Path,
    is_isolated: bool,  # noqa: FBT001
) -> None:
    source = f"""
{HEAD}
tell({{
    "there": sorted(os.listdir("/dev")),
    "shared": attempt(lambda: pathlib.Path(event).read_text()),
    "left": attempt(lambda: pathlib.Path(event).with_suffix(".of-task").write_text("x")),
    "zero": attempt(lambda: len(open("/dev/zero", "rb").read(3))),
}})
"""
    with FakeService(args=script(source)) as service:
        service.publish(str(shared_memory))
        start(service)
        service.wait_for(done=1)
        [seen] = service.results()

    used = {path.name for name in OF_TASKS for path in Path("/dev").glob(name)}
    there = set(seen.pop("there"))
    assert used <= there
    assert not is_isolated or there <= USUAL | used
    assert seen == {"shared": "FileNotFoundError" if is_isolated else "of another", "left": "1", "zero": "3"}
    assert shared_memory.with_suffix(".of-task").exists() is not is_isolated


WAITS = f"""
{HEAD}
import subprocess, time
begun = pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"], "begun")
if not begun.exists():
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    begun.touch()
    time.sleep(3600)
tell(event)
"""


def wait_for_work(worker: Worker) -> None:
    wait_for((worker.folder / "ewms-pilot-data/data-hub/begun").exists, "it is at work")


@isolated
def test_nothing_of_a_task_outlives_its_worker_however_that_ends(start: Start, script: Script) -> None:
    """Killed, it can end nothing itself: so everything must be told by the kernel."""
    with FakeService(args=script(WAITS)) as service:
        service.publish(1)
        worker = start(service)
        wait_for_work(worker)
        assert len(worker.left()) >= 3

        worker.process.kill()

        assert worker.wait() == -signal.SIGKILL
        wait_for(lambda: not worker.left(), "nothing is left of its task", deadline_s=15)


@isolated
@pytest.mark.parametrize("victim", ["wrapper", "first of its processes"])
def test_a_wrapper_that_is_killed_takes_its_task_along_and_costs_one_attempt(
    start: Start, script: Script, victim: str
) -> None:
    with FakeService(args=script(WAITS)) as service:
        first, second = service.publish("first", "second")
        worker = start(service)
        wait_for_work(worker)
        of_it = worker.left()
        [wrapper] = list_children(worker.process.pid)
        [beneath] = list_children(wrapper)

        os.kill(wrapper if victim == "wrapper" else beneath, signal.SIGKILL)

        service.wait_for(done=2, deadline_s=60)
        assert [len(one.errors) for one in (first, second)] == [1, 0]
        assert first.errors[0]["text"].startswith("task failed (killed by signal 9, SIGKILL)")
        assert not set(of_it) & set(worker.left())
        assert sorted(service.results()) == ["first", "second"]


def list_children(pid: int) -> list[int]:
    children = []
    for one in list_processes():
        found = find_process(one)
        if found is not None and found.parent == pid:
            children.append(one)
    return children


@bare_and_isolated
def test_how_a_task_ended_is_told_as_it_was(
    start: Start,
    script: Script,
    is_isolated: bool,  # noqa: FBT001
) -> None:
    """A signal, or a status: at the edges of those by which a wrapper tells a signal, too."""
    killed = {1: "1, SIGHUP", 9: "9, SIGKILL", 11: "11, SIGSEGV", 15: "15, SIGTERM", 64: "64, SIGRTMAX"}
    ended = (1, 127, 128, 193, 255)
    told = {f"kill {number}": f"killed by signal {name}" for number, name in killed.items()}
    told |= {f"exit {status}": f"exit code {status}" for status in ended}
    if not is_isolated:  # nobody wraps it, so that a status is one
        told |= {"exit 139": "exit code 139", "exit 192": "exit code 192"}
    source = f"""
{HEAD}
import signal
how, number = event.split()
if how == "exit":
    sys.exit(int(number))
if number != "9":
    signal.signal(int(number), signal.SIG_DFL)  # whoever started the tests may have it ignored
os.kill(os.getpid(), int(number))
"""
    with FakeService(args=script(source), attempts=1) as service:
        events = service.publish(*told)
        start(service)
        service.wait_for(dead=len(told), deadline_s=60)

    found = {what: event.errors[0]["text"] for what, event in zip(told, events, strict=True)}
    assert found == {what: f"task failed ({text}): <no stderr logs>" for what, text in told.items()}
