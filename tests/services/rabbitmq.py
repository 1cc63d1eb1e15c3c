"""Where does a test's RabbitMQ come from? Debian's newest, fetched into the cache, with the plugin that reads our keys.

It runs as whoever runs the tests, in a folder and at an address of its own, and ends with the test however that ends.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.waiting import wait_for
from services.fetching import fetch

PORT = 5672
START_S, STOP_S = 90.0, 30.0
PLUGINS = "[rabbitmq_auth_backend_oauth2]."
_LOOPBACK = "127.0.0.1"
"""Where the broker's node is found by name: the address that `localhost` has."""


@dataclass(frozen=True)
class TokenRules:
    """How the broker judges tokens.

    Args:
        keys_url: of the published keys, https.
        ca_file: vouches for who is there.
    """

    keys_url: str
    ca_file: Path
    resource_server_id: str
    resource_server_type: str


def find_programs() -> Path:
    """The folder into which RabbitMQ is unpacked. Raises NotFetchedError."""
    return fetch("RabbitMQ", Path(__file__).with_name("fetch-rabbitmq.sh"), "rabbitmq")


@dataclass
class RabbitMq:
    """One broker that takes tokens alone."""

    programs: Path
    address: str
    folder: Path
    rules: TokenRules
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> None:
        """Raises AssertionError, with the end of its output, when it does not answer in time."""
        (self.folder / "rabbitmq.conf").write_text(self._write_settings())
        (self.folder / "enabled_plugins").write_text(PLUGINS)
        environment = self._make_environment()
        epmd = self._run([self.programs / "usr/bin/epmd"], environment)
        wait_for(lambda: _answers(_LOOPBACK, int(environment["ERL_EPMD_PORT"])), "epmd answers", deadline_s=START_S)
        [server] = (self.programs / "usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
        broker = self._run([server], environment)

        def is_ready() -> bool:
            assert broker.poll() is None, f"RabbitMQ ended: {self._output()}"
            assert epmd.poll() is None, f"epmd ended: {self._output()}"
            return _answers(self.address, PORT)

        wait_for(is_ready, "RabbitMQ answers", deadline_s=START_S)

    def stop(self) -> None:
        """The broker first, then what tells where it is."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(timeout=STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(timeout=STOP_S)
        self.processes.clear()

    def _run(self, command: list[Path], environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self.folder,
            )
        self.processes.append(process)
        return process

    def _output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")[-2000:]

    def _write_settings(self) -> str:
        rules = self.rules
        lines = {
            "listeners.tcp.1": f"{self.address}:{PORT}",
            "log.console": "false",
            "log.file.level": "warning",
            "vm_memory_high_watermark.absolute": "512MiB",
            "disk_free_limit.absolute": "50MB",
            "auth_backends.1": "rabbit_auth_backend_oauth2",
            "auth_oauth2.resource_server_id": rules.resource_server_id,
            "auth_oauth2.resource_server_type": rules.resource_server_type,
            "auth_oauth2.jwks_url": rules.keys_url,
            "auth_oauth2.algorithms.1": "RS256",
            "auth_oauth2.https.cacertfile": str(rules.ca_file),
            "auth_oauth2.https.peer_verification": "verify_peer",
        }
        return "".join(f"{name} = {value}\n" for name, value in lines.items())

    def _make_environment(self) -> dict[str, str]:
        epmd_port, node_port = _take_ports(2)
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "PATH": f"{self.programs / 'usr/bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the broker, and does not stand beside it
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_DIST_PORT": str(node_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
            "ERL_EPMD_ADDRESS": _LOOPBACK,
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_CRASH_DUMP": str(self.folder / "erl_crash.dump"),
        }


@contextmanager
def run_rabbitmq(address: str, folder: Path, rules: TokenRules) -> Iterator[RabbitMq]:
    """A broker at an address, with its state in a folder; stopped at the end. Raises NotFetchedError."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = RabbitMq(find_programs(), address, folder, rules)
    with ExitStack() as stack:
        stack.callback(broker.stop)
        broker.start()
        yield broker


def _answers(host: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def _take_ports(count: int) -> list[int]:
    """Free ones of the loopback address."""
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind((_LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
