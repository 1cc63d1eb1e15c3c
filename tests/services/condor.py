"""Where does a test's HTCondor come from? An installed one, or one fetched into the cache; a pool of its own, started for this run.

`condor` is a pool for all tests of a process; `own_condor` one that a test may maltreat. This process talks to one of them at a time:
`Condor.use` says to which.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import htcondor2
import pytest

from harness.addresses import take_address
from harness.waiting import wait_for
from services.fetching import ROOT, NotFetchedError, fetch

SCRIPTS = ROOT / "deploy" / "pool"
PORT = 9618
START_S = 60.0


def find_condor() -> Path:
    """The folder in which HTCondor's `usr` is: that of the installed one, or the fetched one. Raises NotFetchedError."""
    if shutil.which("condor_master") is not None:
        return Path("/")
    return fetch("HTCondor", SCRIPTS / "fetch-condor.sh", "condor")


@dataclass
class Condor:
    """One pool. `folder`: what it writes. `address`: of all its daemons but the nodes'. `wrapper`: words before what starts it."""

    root: Path
    folder: Path
    address: str
    further: Mapping[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    master: "subprocess.Popen[bytes] | None" = None
    nodes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    _lines: dict[str, object] = field(default_factory=dict)
    _own_slots: int = 1

    @property
    def config(self) -> Path:
        """What CONDOR_CONFIG is to name."""
        return self.folder / "condor_config"

    def configure(self, **lines: object) -> None:
        """Lines of its configuration, over those of the script. Before the start; see `reconfigure`."""
        folder = self.folder / "local.d"
        folder.mkdir(parents=True, exist_ok=True)
        self._lines.update(lines)
        (folder / "test.conf").write_text("".join(f"{name} = {value}\n" for name, value in self._lines.items()))

    def reconfigure(self, daemon: str, **lines: object) -> None:
        """The same while it runs, for the daemons whose program has this name. Returns when the schedd has taken them up."""
        self.configure(**lines)
        with self.config.open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in lines.items())
        for pid in self.find_daemons(daemon):
            os.kill(pid, signal.SIGHUP)
        ad = htcondor2.Collector().locate(htcondor2.DaemonType.Schedd)

        def is_known() -> bool:
            told = htcondor2.RemoteParam(ad)
            return all(str(told.get(name)) == str(value) for name, value in lines.items())

        wait_for(is_known, f"{daemon} knows its new configuration")

    def start(self) -> None:
        """Raises AssertionError, with the end of its log, when no slot, or no schedd, is there in time."""
        self.master = self._launch("start-pool.sh", str(self.folder))
        self._wait_for_slots(self._own_slots)
        wait_for(
            lambda: self.run("condor_status", "-schedd", "-af", "Name").strip(),
            "a schedd is in the pool",
            deadline_s=START_S,
        )

    def leave_work_to_nodes(self) -> None:
        """No execution point beside the schedd. Before the start."""
        self._own_slots = 0
        self.configure(DAEMON_LIST="MASTER, SHARED_PORT, COLLECTOR, NEGOTIATOR, SCHEDD")

    def add_node(self, name: str, address: str, *, cpus: int) -> None:
        """One more execution point."""
        self.nodes[name] = self._launch("add-node.sh", str(self.folder), name, address, str(cpus))
        self._wait_for_slots(self._own_slots + len(self.nodes))

    def kill_node(self, name: str) -> None:
        """Everything of a node at once, jobs too, as when its power goes."""
        master = self.nodes.pop(name)
        pids = {master.pid}
        while further := {pid for pid, parent in _list_parents().items() if parent in pids and pid not in pids}:
            pids |= further
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # so that none of them can do anything about another's end
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        master.wait(START_S)

    @property
    def environment(self) -> dict[str, str]:
        """What an agent beside its schedd is told."""
        return {"CONDOR_CONFIG": str(self.config), "MUSTER_SITE_POOL": "htcondor"}

    def use(self) -> None:
        """From now on HTCondor's bindings in this process talk to this pool."""
        os.environ["CONDOR_CONFIG"] = str(self.config)
        htcondor2.reload_config()

    def run(self, program: str, *words: str) -> str:
        """What one of HTCondor's programs prints."""
        done = subprocess.run(
            [self.root / "usr" / "bin" / program, *words],
            env={**os.environ, "CONDOR_CONFIG": str(self.config)},
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
        )
        assert done.returncode == 0, f"{program}: {done.stderr[-1000:]}"
        return done.stdout

    @contextmanager
    def identity(self, identity: str) -> Iterator[None]:
        """Programs that are started meanwhile, and HTCondor's processes that are, are somebody else to this pool, by a token."""
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            name = "somebody"
            self.run("condor_token_create", "-identity", identity, "-token", name)
            place = Path(folder) / name
            shutil.move(self.folder / "tokens.d" / name, place)
            place.chmod(0o600)
            patch.setenv("_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS", "IDTOKENS")
            for variable in ("SEC_TOKEN_DIRECTORY", "SEC_TOKEN_SYSTEM_DIRECTORY"):
                patch.setenv(f"_CONDOR_{variable}", folder)
            yield

    def submit(self, folder: Path, **commands: object) -> int:
        """Submit one job with condor_submit; returns its number. `commands`: with `MY_` in place of `MY.`."""
        lines = (f"{name.replace('MY_', 'MY.')} = {value}" for name, value in commands.items())
        file = folder / "job.sub"
        file.write_text("\n".join([*lines, "queue", ""]))
        return int(self.run("condor_submit", "-terse", str(file)).split(".")[0])

    def find_daemons(self, name: str) -> list[int]:
        """Pids of the daemons of this pool whose program has this name: `condor_schedd`, `condor_startd`, `condor_shadow`, ..."""
        wanted = f"CONDOR_CONFIG={self.folder}/".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                is_named = entry.name.isdigit() and (entry / "exe").readlink().name == name
                if is_named and wanted in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def kill(self, name: str) -> None:
        """As kill -9 does; the master starts what it started again."""
        for pid in self.find_daemons(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def hung(self, name: str) -> Iterator[None]:
        """Daemons that take nothing in, and end nothing; they go on at the end."""
        pids = self.find_daemons(name)
        assert pids, f"there is no {name}"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """End everything that belongs to it."""
        for process in [*self.nodes.values(), *([self.master] if self.master else [])]:
            process.send_signal(signal.SIGQUIT)  # does nothing to one that has ended
        for process in [*self.nodes.values(), *([self.master] if self.master else [])]:
            with suppress(subprocess.TimeoutExpired):
                process.wait(START_S)
        self.kill_everything()

    def kill_everything(self) -> None:
        """Every process that names its folder in its variables."""
        wanted = f"CONDOR_CONFIG={self.folder}/".encode()
        deadline = time.monotonic() + START_S
        while True:
            left = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _has(entry, wanted)]
            if not left:
                return
            assert time.monotonic() < deadline, f"{left} do not end"
            for entry in left:
                with suppress(ProcessLookupError):
                    os.kill(int(entry.name), signal.SIGKILL)
            time.sleep(0.05)

    def _launch(self, script: str, *words: str) -> "subprocess.Popen[bytes]":
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "CONDOR_ROOT": "" if self.root == Path("/") else str(self.root),
            "CONDOR_ADDRESS": self.address,
            "CONDOR_PORT": str(PORT),
            **self.further,
        }
        environment.pop("CONDOR_CONFIG", None)
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [*self.wrapper, "bash", SCRIPTS / script, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    def _wait_for_slots(self, count: int) -> None:
        def has_slots() -> bool:
            assert self.master is not None
            assert self.master.poll() is None, (self.folder / "output").read_text()[-2000:]
            if not self.config.exists():
                return False
            with suppress(AssertionError):
                if not count:
                    return bool(self.run("condor_status", "-schedd", "-af", "Name").split())
                return len(set(self.run("condor_status", "-startd", "-af", "Machine").split())) >= count
            return False

        wait_for(has_slots, "a slot is in the pool", deadline_s=START_S)


def _has(entry: Path, wanted: bytes) -> bool:
    try:
        return wanted in (entry / "environ").read_bytes()
    except OSError:
        return False


def _list_parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    return parents


@contextmanager
def make_condor(**further: str) -> Iterator[Condor]:
    """A pool that is yet to be started. `further`: variables of `start-pool.sh`."""
    root = find_condor()
    with ExitStack() as stack:
        # Paths of sockets must be short, and pytest's folders are not.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="condor-", dir="/tmp")))
        address = stack.enter_context(take_address())
        pool = Condor(root, folder / "pool", address, further)
        programs = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
        pool.configure(STARTER_JOB_ENVIRONMENT=f'"PATH={programs}"')
        stack.callback(pool.stop)
        yield pool


@contextmanager
def run_condor(**further: str) -> Iterator[Condor]:
    """A pool. `further`: variables of `start-pool.sh`."""
    with make_condor(**further) as pool:
        pool.start()
        yield pool


@pytest.fixture(scope="session")
def shared_condor() -> Iterator[Condor]:
    """The pool of this process."""
    try:
        find_condor()
    except NotFetchedError as error:
        pytest.skip(str(error))
    with run_condor(CONDOR_CPUS="64", CONDOR_MEMORY="65536") as pool:
        yield pool


@pytest.fixture
def condor(shared_condor: Condor) -> Condor:
    """The pool of this process, and its bindings talk to it."""
    shared_condor.use()
    return shared_condor


@pytest.fixture
def own_condor() -> Iterator[Condor]:
    """A pool that this test may maltreat."""
    try:
        find_condor()
    except NotFetchedError as error:
        pytest.skip(str(error))
    with run_condor() as pool:
        pool.use()
        yield pool
