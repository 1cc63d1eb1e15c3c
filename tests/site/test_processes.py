"""What is true of local processes beyond the contract: marks, crashes, secrets, and what people do behind our back?"""

# ruff: noqa: ASYNC240  # small local files, in tests

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from muster.domain.errors import UnavailableError
from muster.site.adapters.processes.pool import ProcessPool
from muster.site.adapters.processes.procfs import find_process, list_processes, read_variable
from muster.site.adapters.processes.restart import RestartPolicy
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.ports.pool import ClusterSpec, PilotStatus, ProcState

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).with_name("agent_program.py")
DEADLINE_S = 30.0
RUNNING = (ProcState.RUNNING, PilotStatus.TASKING)
DONE = (ProcState.COMPLETED, PilotStatus.DONE)
REMOVED = (ProcState.REMOVED, None)
SETTINGS = WorkerSettings(
    command=("false",),
    environment={"MUSTER_WORKER_URL": "http://127.0.0.1:1"},
    restart=RestartPolicy(starts_max=4, first_s=0.02, delay_s_max=0.1),
)
STAYS = ("sleep", "600")
NOTES_ITS_START = ("sh", "-c", 'echo "$MUSTER_WORKER_START" >> starts; exec sleep 600')

Reopen = Callable[[], Awaitable[ProcessPool]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture
def tag() -> str:
    return f"TF-{uuid.uuid4().hex}"


@pytest.fixture
async def reopen(folder: Path) -> AsyncIterator[Reopen]:
    """Opens the pool, letting go of the one opened before; at the end no worker is left."""
    opened: list[ProcessPool] = []

    async def reopen() -> ProcessPool:
        if opened:
            opened.pop().close()
        opened.append(await ProcessPool.open(folder, SETTINGS))
        return opened[-1]

    yield reopen
    last = await reopen()
    for placed in await last.list_placed():
        await last.remove(placed.cluster, grace_s=0)
    last.close()


def marked(tag: str) -> list[int]:
    """Pids of living processes that carry the taskforce's mark."""
    return [
        process.pid
        for process, environment in list_processes()
        if read_variable(environment, "MUSTER_TASKFORCE") == tag
    ]


def leaders(tag: str) -> Counter[str]:
    """How many living workers each proc has."""
    return Counter(
        read_variable(environment, "MUSTER_WORKER_PROC") or ""
        for process, environment in list_processes()
        if read_variable(environment, "MUSTER_TASKFORCE") == tag and process.session == process.pid
    )


async def wait_for(condition: Callable[[], object], pool: ProcessPool | None = None) -> None:
    """Wait for a condition, tending the pool meanwhile."""
    with anyio.fail_after(DEADLINE_S):
        while not condition():
            if pool is None:
                await anyio.sleep(0.01)
            else:
                await pool.wait_for_change(timeout_s=0.02)


def starts(folder: Path, tag: str, proc: int = 0) -> list[str]:
    path = folder / "clusters" / tag / "procs" / str(proc) / "starts"
    return path.read_text().split() if path.exists() else []


async def test_a_killed_worker_is_started_again_with_the_next_number(reopen: Reopen, folder: Path, tag: str) -> None:
    pool = await reopen()
    await pool.submit(ClusterSpec(1, "s3cret", argv=NOTES_ITS_START), tag=tag)
    await wait_for(lambda: starts(folder, tag) == ["0"], pool)

    for pid in marked(tag):
        os.kill(pid, signal.SIGKILL)

    await wait_for(lambda: starts(folder, tag) == ["0", "1"], pool)
    assert leaders(tag) == {"0": 1}


async def test_workers_that_cannot_be_written_down_for_a_while_are_started_when_they_can(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    """As on a full disk: the end cannot be written down, nor the next start."""
    pool = await reopen()
    broken, whole = tag, f"{tag}-other"
    for one in (broken, whole):
        await pool.submit(ClusterSpec(2, "s3cret", argv=NOTES_ITS_START), tag=one)
    await wait_for(lambda: all(starts(folder, one, proc) for one in (broken, whole) for proc in (0, 1)), pool)
    procs = folder / "clusters" / broken / "procs"
    procs.rename(procs.with_name("away"))
    procs.write_text("in the way")
    for pid in marked(broken) + marked(whole):
        os.kill(pid, signal.SIGKILL)

    troubles = 0
    with anyio.fail_after(DEADLINE_S):
        while troubles < 5 or leaders(whole) != {"0": 1, "1": 1}:
            try:
                await pool.wait_for_change(timeout_s=0.02)
            except UnavailableError:
                troubles += 1  # first that the end could not be written down, then that the start could not
    assert marked(broken) == []
    procs.unlink()
    procs.with_name("away").rename(procs)

    await wait_for(lambda: leaders(broken) == {"0": 1, "1": 1}, pool)


async def test_a_worker_killed_while_no_agent_was_there_is_started_again(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    first = await reopen()
    await first.submit(ClusterSpec(1, "s3cret", argv=NOTES_ITS_START), tag=tag)
    await wait_for(lambda: starts(folder, tag) == ["0"], first)
    first.close()
    for pid in marked(tag):
        os.kill(pid, signal.SIGKILL)
    await wait_for(lambda: not marked(tag))

    pool = await ProcessPool.open(folder, SETTINGS)
    await wait_for(lambda: starts(folder, tag) == ["0", "1"], pool)
    pool.close()

    assert leaders(tag) == {"0": 1}


async def test_what_a_dead_worker_left_running_is_killed_before_the_next_start(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    """The child has a session of its own, no parent, and none of the worker's marks but its attempt and its folder."""
    stray = 'env -i PATH="$PATH" MUSTER_ATTEMPT=EV-1/1 TMPDIR="$MUSTER_WORKER_DIR/scratch" setsid sleep 601 &'
    keeps = 'echo "$MUSTER_WORKER_START" >> starts; exec sleep 600'
    pool = await reopen()
    await pool.submit(ClusterSpec(1, "s3cret", argv=("sh", "-c", f"{stray} {keeps}")), tag=tag)

    def strays() -> list[int]:
        return [
            process.pid for process, variables in list_processes() if f"/{tag}/procs/0/scratch".encode() in variables
        ]

    await wait_for(lambda: starts(folder, tag) == ["0"] and len(strays()) == 1, pool)
    before = strays()

    for pid in marked(tag):
        os.kill(pid, signal.SIGKILL)

    await wait_for(lambda: starts(folder, tag) == ["0", "1"] and len(strays()) == 1, pool)
    assert strays() != before


@pytest.mark.parametrize("grace_s", [0.0, 0.3])
async def test_a_removal_also_finds_what_hides(reopen: Reopen, tag: str, grace_s: float) -> None:
    """The worker ignores SIGTERM; it has children that left its session, forked on, and dropped the variables."""
    hides = (
        "trap '' TERM; setsid sleep 602 & (setsid sh -c 'sleep 603 & sleep 604' &) ; "
        "env -i sleep 605 & while true; do sleep 1; done"
    )
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(2, "s3cret", argv=("sh", "-c", hides)), tag=tag)
    await wait_for(lambda: len(marked(tag)) >= 8)
    sessions = {process.pid for process, _ in list_processes() if process.pid in marked(tag)}

    await pool.remove(cluster, grace_s=grace_s)

    assert marked(tag) == []
    assert [process for process, _ in list_processes() if process.session in sessions] == []
    assert (await pool.observe(cluster)).counts == {REMOVED: 2}


async def test_workers_may_use_their_grace(reopen: Reopen, folder: Path, tag: str) -> None:
    says_goodbye = "trap 'echo bye > bye; exit 0' TERM; echo x > ready; while true; do sleep 0.05; done"
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(1, "s3cret", argv=("sh", "-c", says_goodbye)), tag=tag)
    proc = folder / "clusters" / tag / "procs" / "0"
    await wait_for((proc / "ready").exists)

    with anyio.fail_after(15):
        await pool.remove(cluster, grace_s=60)

    assert (proc / "bye").read_text() == "bye\n"


def start_later_than(tick: int) -> "subprocess.Popen[bytes]":
    """A process that has begun in another tick of the machine's clock: no pid is given twice in one."""
    while True:
        other = subprocess.Popen(["sleep", "600"], start_new_session=True)
        process = find_process(other.pid)
        if process is not None and process.started != tick:
            return other
        other.kill()
        other.wait()


async def test_a_pid_that_another_process_got_is_neither_taken_over_nor_killed(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(1, "s3cret", argv=NOTES_ITS_START), tag=tag)
    await wait_for(lambda: starts(folder, tag) == ["0"])
    pool.close()
    for pid in marked(tag):
        os.kill(pid, signal.SIGKILL)
    await wait_for(lambda: not marked(tag))
    path = folder / "clusters" / tag / "procs" / "0" / "proc.json"
    state = json.loads(path.read_text())
    with start_later_than(state["started"]) as other:
        try:
            path.write_text(json.dumps(state | {"pid": other.pid}))

            later = await ProcessPool.open(folder, SETTINGS)
            await wait_for(lambda: starts(folder, tag) == ["0", "1"], later)
            await later.remove(cluster, grace_s=1)
            later.close()

            process = find_process(other.pid)
        finally:
            other.kill()
    assert process is not None
    assert not process.is_zombie


async def test_a_worker_sees_what_it_needs_and_no_secret(
    reopen: Reopen, folder: Path, tag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_TOKEN", "agents-own-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "agents-own-key")
    monkeypatch.setenv("MUSTER_WORKER_CA_FILE", "/ours.pem")
    given = tmp_path / "täble.csv"
    given.write_text("1,2\n")
    shows = 'env -0 > variables; cat "$MUSTER_WORKER_INPUT_DIR/täble.csv" > seen; exec sleep 600'
    pool = await reopen()
    theirs = {
        "GREETING": "a b",
        "MUSTER_WORKER_URL": "http://theirs",
        "MUSTER_WORKER_CA_FILE": "/theirs.pem",
        "MUSTER_WORKER_PROC": "7",
    }
    asked = ClusterSpec(1, "s3cret", environment=theirs, input_files=(str(given),), argv=("sh", "-c", shows))
    cluster = await pool.submit(asked, tag=tag)
    proc = folder / "clusters" / tag / "procs" / "0"
    await wait_for(lambda: (proc / "seen").exists() and (proc / "seen").read_text() == "1,2\n")

    variables = dict(one.split("=", 1) for one in (proc / "variables").read_text().split("\0") if one)
    enrol = Path(variables["MUSTER_WORKER_ENROL_FILE"])
    shown = {
        name: variables.get(name)
        for name in ("MUSTER_TASKFORCE", *(f"MUSTER_WORKER_{name}" for name in ("CLUSTER", "PROC", "START", "CA_FILE")))
    }
    assert shown == {
        "MUSTER_TASKFORCE": tag,
        "MUSTER_WORKER_CLUSTER": str(cluster),
        "MUSTER_WORKER_PROC": "0",
        "MUSTER_WORKER_START": "0",
        "MUSTER_WORKER_CA_FILE": "/ours.pem",
    }
    assert variables["GREETING"] == "a b"
    assert variables["MUSTER_WORKER_URL"] == "http://127.0.0.1:1"
    assert variables["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert json.loads(enrol.read_text()) == {"taskforce": tag, "secret": "s3cret"}
    assert stat.S_IMODE(enrol.stat().st_mode) == 0o600
    secrets = ("s3cret", "agents-own-token", "agents-own-key")
    for pid in marked(tag):
        said = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert [secret for secret in secrets if secret.encode() in said] == []
    open_to_others = [path for path in folder.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert [path for path in open_to_others if proc not in path.parents and path.name != "next-cluster.lock"] == []


async def test_the_secret_goes_with_the_cluster_and_the_outputs_stay_a_while(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(1, "s3cret", argv=("sh", "-c", "echo hello")), tag=tag)
    with anyio.fail_after(DEADLINE_S):
        while (await pool.observe(cluster)).n_left:
            await pool.wait_for_change(timeout_s=1)

    await pool.forget(cluster)

    assert (folder / "ended" / tag / "procs" / "0" / "stdout").read_text() == "hello\n"
    assert [path for path in folder.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()] == []


@pytest.mark.parametrize("point", ["pool.submit.directory", "pool.submit.first"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_crash_while_placing_leaves_one_set_of_workers(
    reopen: Reopen, folder: Path, tag: str, tmp_path: Path, point: str, times: int
) -> None:
    left = tmp_path / "crashes"
    left.write_text(str(times))
    environment = os.environ | {"MUSTER_TEST_CRASH": point, "MUSTER_TEST_CRASH_FILE": str(left)}
    command = [sys.executable, str(PROGRAM), str(folder), tag, "3", *NOTES_ITS_START]

    ended = [(await anyio.run_process(command, env=environment, check=False)).returncode for _ in range(times + 1)]

    # "directory" is passed while placing only: the second run finds the cluster and has nothing to place.
    crashes = times if point == "pool.submit.first" else 1
    assert ended.count(-signal.SIGKILL) <= crashes
    assert ended[0] == -signal.SIGKILL
    assert ended[-1] == 0
    pool = await reopen()
    cluster = await pool.find(tag)
    assert cluster is not None
    await wait_for(lambda: leaders(tag) == {"0": 1, "1": 1, "2": 1}, pool)
    assert (await pool.observe(cluster)).counts == {RUNNING: 3}
    await pool.remove(cluster, grace_s=1)
    assert marked(tag) == []


async def test_a_worker_that_ended_well_while_no_agent_was_there_is_done(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    """Only its child learns a process's exit status; the next agent has the worker's exit.json."""
    ends = """printf '{"exit_code": 0, "why": "drained"}' > exit.json"""
    command = [sys.executable, str(PROGRAM), str(folder), tag, "1", "sh", "-c", f"sleep 0.5; {ends}"]
    await anyio.run_process(command)
    await wait_for(lambda: not marked(tag))

    pool = await reopen()
    cluster = await pool.find(tag)

    assert cluster is not None
    with anyio.fail_after(DEADLINE_S):
        while (await pool.observe(cluster)).n_left:  # nobody may have reaped it yet
            await pool.wait_for_change(timeout_s=1)
    assert (await pool.observe(cluster)).counts == {DONE: 1}


async def test_a_worker_taken_over_is_seen_to_end(reopen: Reopen, folder: Path, tag: str) -> None:
    waits = """while ! [ -e go ]; do sleep 0.02; done; printf '{"exit_code": 0}' > exit.json"""
    await anyio.run_process([sys.executable, str(PROGRAM), str(folder), tag, "1", "sh", "-c", waits])
    pool = await reopen()
    cluster = await pool.find(tag)
    assert cluster is not None
    assert (await pool.observe(cluster)).counts == {RUNNING: 1}

    (folder / "clusters" / tag / "procs" / "0" / "go").touch()

    with anyio.fail_after(DEADLINE_S):
        while (await pool.observe(cluster)).n_left:
            await pool.wait_for_change(timeout_s=1)
    assert (await pool.observe(cluster)).counts == {DONE: 1}


async def test_a_pause_leaves_no_worker_and_the_next_agent_goes_on(reopen: Reopen, folder: Path, tag: str) -> None:
    """However they end when they are asked to, well, badly or not at all, they are started again, uncounted."""
    ends = (
        'echo "$MUSTER_WORKER_START" >> starts; trap "exit $MUSTER_WORKER_PROC" TERM; while true; do sleep 0.05; done'
    )
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(2, "s3cret", argv=("sh", "-c", ends)), tag=tag)
    over = await pool.submit(ClusterSpec(1, "s3cret", argv=("true",)), tag=f"{tag}-over")
    await wait_for(lambda: starts(folder, tag, 0) + starts(folder, tag, 1) == ["0", "0"], pool)
    with anyio.fail_after(DEADLINE_S):
        while (await pool.observe(over)).n_left:
            await pool.wait_for_change(timeout_s=1)

    await pool.pause(grace_s=20)

    assert marked(tag) == []
    later = await reopen()
    await wait_for(lambda: starts(folder, tag, 0) + starts(folder, tag, 1) == ["0", "1", "0", "1"], later)
    assert (await later.observe(cluster)).counts == {RUNNING: 2}
    assert (await later.observe(over)).counts == {DONE: 1}


async def test_a_pause_that_cannot_be_written_down_leaves_no_worker_either(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    pool = await reopen()
    broken, whole = tag, f"{tag}-other"
    for one in (broken, whole):
        await pool.submit(ClusterSpec(2, "s3cret", argv=NOTES_ITS_START), tag=one)
    await wait_for(lambda: leaders(broken) == leaders(whole) == {"0": 1, "1": 1}, pool)
    (folder / "clusters" / broken / "paused").mkdir()  # in the way of the mark

    with pytest.raises(UnavailableError, match=broken):
        await pool.pause(grace_s=0.1)

    assert marked(broken) + marked(whole) == []
    (folder / "clusters" / broken / "paused").rmdir()


async def test_a_worker_that_cannot_be_watched_is_not_left_beside_another(
    reopen: Reopen, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await reopen()
    open_pidfd = os.pidfd_open

    def refuse_once(_pid: int) -> int:
        monkeypatch.setattr(os, "pidfd_open", open_pidfd)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", refuse_once)
    with pytest.raises(UnavailableError, match="Too many open files"):
        await pool.submit(ClusterSpec(1, "s3cret", argv=STAYS), tag=tag)

    assert marked(tag) == []
    await wait_for(lambda: leaders(tag) == {"0": 1}, pool)


async def test_a_cluster_that_cannot_be_read_is_moved_aside_and_stops_nobody(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    pool = await reopen()
    good = await pool.submit(ClusterSpec(1, "s3cret", argv=STAYS), tag=tag)
    bad = folder / "clusters" / "TF-bad"
    bad.mkdir()
    (bad / "cluster.json").write_bytes(b"{")
    (folder / "clusters" / ".tmp-TF-half").mkdir()

    later = await reopen()

    assert await later.find(tag) == good
    assert await later.find("TF-bad") is None
    assert len(later.damaged) == 1
    assert [path.name for path in (folder / "clusters").iterdir()] == [tag]


async def test_a_state_file_that_cannot_be_read_does_not_start_a_second_worker(
    reopen: Reopen, folder: Path, tag: str
) -> None:
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(2, "s3cret", argv=STAYS), tag=tag)
    (folder / "clusters" / tag / "procs" / "0" / "proc.json").write_bytes(b"")
    (folder / "clusters" / tag / "procs" / "1" / "proc.json").unlink()

    later = await reopen()
    await later.wait_for_change(timeout_s=0.2)

    assert leaders(tag) == {"0": 1, "1": 1}
    assert (await later.observe(cluster)).counts == {RUNNING: 2}


async def test_a_program_that_cannot_be_run_says_so(reopen: Reopen, tag: str) -> None:
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(1, "s3cret", argv=("/no/such/program",)), tag=tag)
    with anyio.fail_after(DEADLINE_S):
        while (await pool.observe(cluster)).n_left:
            await pool.wait_for_change(timeout_s=1)

    errors = (await pool.observe(cluster)).errors

    assert [text for text in errors if "status 127" in text and "/no/such/program" in text] == list(errors)


async def test_why_workers_fail_is_told_while_they_are_still_started_again(reopen: Reopen, tag: str) -> None:
    pool = await reopen()
    cluster = await pool.submit(ClusterSpec(2, "s3cret", argv=("/bin/sh", "-c", "exit 7")), tag=tag)
    seen: list[tuple[int, dict[str, int]]] = []
    with anyio.fail_after(DEADLINE_S):
        while not seen or seen[-1][0]:
            now = await pool.observe(cluster)
            seen.append((now.n_left, dict(now.errors)))
            await pool.wait_for_change(timeout_s=1)

    assert {"worker ended with status 7": 2} in [errors for n_left, errors in seen if n_left]
    assert seen[-1] == (0, {"worker ended with status 7": 2})


async def test_what_a_start_failed_of_is_no_trouble_once_another_went_well(
    reopen: Reopen, tag: str, tmp_path: Path
) -> None:
    mark = tmp_path / "was-here"
    pool = await reopen()
    argv = ("/bin/sh", "-c", f"[ -e {mark} ] && exit 0; touch {mark}; exit 7")
    cluster = await pool.submit(ClusterSpec(1, "s3cret", argv=argv), tag=tag)
    with anyio.fail_after(DEADLINE_S):
        while (await pool.observe(cluster)).n_left:
            await pool.wait_for_change(timeout_s=1)

    assert (await pool.observe(cluster)).errors == {}
