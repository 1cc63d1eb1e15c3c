"""How do tests run Muster as its users do? As processes: `muster up`, or `muster serve` and `muster site` apart.

Everything of a stack stands in one folder. A part is started, stopped politely, or killed with SIGKILL; a crash point makes a part kill
itself. What a test leaves running is killed when the stack is closed, workers and tasks included.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.processes import attempts_alive, find_with, workers_alive
from harness.waiting import wait_for
from muster.client.synchronous import Client

MUSTER = Path(sys.executable).parent / "muster"


@dataclass
class Part:
    """One running process of a stack."""

    process: "subprocess.Popen[bytes]"
    log: Path
    environment: dict[str, str]

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


@dataclass
class Stack:
    """One Muster in one folder.

    Args:
        root: holds the state folder `muster` and the logs of the processes.
        host: the loopback address that this stack has to itself.
        database_url: None is SQLite in the state folder.
        wrapper: a command that runs the parts, e.g. in a namespace of their own.
        environment: extra variables for every part, e.g. shorter times.
    """

    root: Path
    host: str
    database_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    parts: dict[str, Part] = field(default_factory=dict)
    _port: int = 0

    @property
    def state(self) -> Path:
        return self.root / "muster"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self._port}"

    @property
    def token(self) -> str:
        return (self.state / "token").read_text().strip()

    def client(self) -> Client:
        return Client(self.url, token=self.token)

    # -- parts -------------------------------------------------------------------------------------------------

    def start_serve(self, name: str = "serve", *, crash: str | None = None, times: int = 1, **variables: str) -> Part:
        """Start `muster serve` and wait until it is ready, unless it is to crash."""
        self.state.mkdir(exist_ok=True)
        if name == "serve":
            self._port = self._port or _free_port(self.host)
            port = self._port
        else:
            port = _free_port(self.host)
        part = self._start(
            name,
            ["serve"],
            crash=crash,
            times=times,
            MUSTER_HOST=self.host,
            MUSTER_PORT=str(port),
            MUSTER_DATABASE_URL=self.database_url or f"sqlite:///{self.state / 'muster.db'}",
            MUSTER_TOKEN_FILE=str(self.state / "token"),
            MUSTER_FILES_DIR=str(self.state / "files"),
            MUSTER_LOCATIONS=json.dumps({"local": {"schedd": "local"}}),
            **variables,
        )
        wait_for(
            lambda: not part.is_alive or _answers(self.host, port),
            f"{name} answers (log: {part.log})",
            deadline_s=30,
        )
        if crash is None:
            assert part.is_alive, part.log.read_text()[-4000:]
        return part

    def start_site(self, name: str = "site", *, crash: str | None = None, times: int = 1, **variables: str) -> Part:
        """Start `muster site`; its workers carry no crash point unless it is the workers' own."""
        return self._start(
            name,
            ["site"],
            crash=crash,
            times=times,
            MUSTER_SITE_NAME=name,
            MUSTER_SITE_URL=self.url,
            MUSTER_SITE_TOKEN_FILE=str(self.state / "token"),
            MUSTER_SITE_LOCATIONS="local",
            MUSTER_SITE_DIRECTORY=str(self.state / name),
            MUSTER_SITE_CLAIM_LEASE_S="3",
            **variables,
        )

    def start_up(self, *arguments: str, **variables: str) -> Part:
        """Start `muster up` and wait until it is ready."""
        part = self._start("up", ["up", "--dir", str(self.state), *arguments], crash=None, times=0, **variables)
        address = self.state / "address"
        wait_for(lambda: not part.is_alive or address.exists(), "the address is written", deadline_s=30)
        assert part.is_alive, part.log.read_text()[-4000:]
        host, _, port = address.read_text().strip().removeprefix("http://").rpartition(":")
        self.host, self._port = host, int(port)
        wait_for(lambda: not part.is_alive or _answers(host, int(port)), "muster up answers", deadline_s=30)
        assert part.is_alive, part.log.read_text()[-4000:]
        return part

    def _start(self, name: str, command: list[str], *, crash: str | None, times: int, **variables: str) -> Part:
        known = self.parts.get(name)
        assert known is None or not known.is_alive, f"{name} is running"
        log = self.root / f"{name}.log"
        # The same whether or not bwrap is installed.
        ours = {"MUSTER_TEST_STACK": str(self.root), "MUSTER_SITE_ISOLATION": "none"}
        environment = clean_environment() | ours | self.environment | variables
        if crash is not None:
            counter = self.root / f"crashes-{crash}"
            if not counter.exists():
                counter.write_text(str(times))
            environment |= {"MUSTER_TEST_CRASH": crash, "MUSTER_TEST_CRASH_FILE": str(counter)}
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self.wrapper, str(MUSTER), *command],
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        part = Part(process, log, environment)
        self.parts[name] = part
        return part

    def kill(self, name: str) -> None:
        """Kill -9 one part; its children live on."""
        part = self.parts[name]
        part.process.kill()
        part.process.wait(timeout=30)

    def stop(self, name: str, *, how: signal.Signals = signal.SIGTERM, deadline_s: float = 30) -> int:
        """Ask one part to stop, and return its exit status."""
        part = self.parts[name]
        part.process.send_signal(how)
        return part.process.wait(timeout=deadline_s)

    def wait_for_crash(self, name: str, *, deadline_s: float = 30) -> None:
        """Wait until a part has killed itself at its crash point."""
        part = self.parts[name]
        wait_for(lambda: not part.is_alive, f"{name} crashes (log: {part.log})", deadline_s=deadline_s)
        assert part.process.returncode == -signal.SIGKILL, part.log.read_text()[-4000:]

    def run(
        self,
        *arguments: str,
        stdin: str | None = None,
        deadline_s: float = 60,
        sign_in: dict[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command line as a user would: `stack.run("workflow", "list", "--json")`.

        Args:
            sign_in: variables to sign in by; None: those of the stack's own token.
        """
        environment = clean_environment() | {"MUSTER_URL": self.url}
        environment |= {"MUSTER_TOKEN_FILE": str(self.state / "token")} if sign_in is None else sign_in
        return subprocess.run(
            [str(MUSTER), *arguments],
            cwd=self.root,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )

    def run_json(self, *arguments: str, stdin: str | None = None) -> Any:
        """Run a command with `--json`; it must succeed."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextlib.contextmanager
    def keep_running(self, *names: str) -> Iterator[None]:
        """Start the named parts again whenever they die of SIGKILL, as systemd would; any other end is left alone."""
        stopping = threading.Event()

        def watch() -> None:
            while not stopping.wait(0.02):
                for name in names:
                    if self.parts[name].process.poll() == -signal.SIGKILL:
                        self.parts[name] = self._again(name)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _again(self, name: str) -> Part:
        known = self.parts[name]
        with known.log.open("ab") as output:
            process = subprocess.Popen(
                known.process.args,
                cwd=self.root,
                env=known.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return Part(process, known.log, known.environment)

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Kill whatever is left of this stack."""
        for part in self.parts.values():
            if part.is_alive:
                part.process.kill()
                part.process.wait(timeout=30)
        for pid in {
            *workers_alive(self.root),
            *attempts_alive(self.root),
            *find_with("MUSTER_TEST_STACK", str(self.root)),
        }:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _answers(host: str, port: int) -> bool:
    import httpx

    try:
        return httpx.get(f"http://{host}:{port}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def clean_environment() -> dict[str, str]:
    """Ours, without what would lead Muster's programs astray."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUSTER_", "EWMS_", "PYTEST_")) and name != "PYTHONWARNINGS"
    }
