"""Does HTCondor hear where a worker is, in upstream's words, whatever becomes of the proxy, and does nobody wait for it?"""

import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.waiting import wait_for
from muster.worker.chirp import (
    TEXT_BYTES_MAX,
    Chirper,
    Proxy,
    Status,
    find_proxy,
    quote,
)
from muster.worker.log_lines import LogLines
from muster.worker.settings import JOB_ATTR, OFF
from worker.conftest import Worker
from worker.fake_service import FakeService

COOKIE = "let-me-in"


@dataclass
class StandIn:
    """A proxy as a starter has it: takes lines, answers numbers. `answer`: what it says to a line, None to go away."""

    lines: list[str] = field(default_factory=list)
    answer: Callable[[str], "bytes | None"] = lambda _line: b"0"
    port: int = 0

    @property
    def proxy(self) -> Proxy:
        return Proxy("127.0.0.1", self.port, COOKIE)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Attributes and values of all lines, without times."""
        found = [re.fullmatch(r"ulog HTChirpEWMSPilot(\w+):\\ (.*)", line) for line in self.lines]
        pairs = [(one[1], re.sub(r"\\(.)", r"\1", one[2])) for one in found if one]
        return [(name, value) for name, value in pairs if not name.endswith("Timestamp")]


@contextmanager
def running(stand_in: StandIn) -> Iterator[StandIn]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for raw in self.rfile:
                line = raw.decode().rstrip("\n")
                said = b"0" if line == f"cookie {COOKIE}" else stand_in.answer(line)
                if said is None:
                    return
                if not line.startswith("cookie"):
                    stand_in.lines.append(line)
                self.wfile.write(said + b"\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", stand_in.port), Handler) as server:
        server.daemon_threads = True
        stand_in.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield stand_in
        server.shutdown()


def a_chirper(proxy: "Proxy | None", **more: Any) -> Chirper:
    return Chirper(proxy, LogLines(StringIO()), **more)


def test_a_life_is_told_in_upstreams_words_and_order() -> None:
    counts: dict[str, int] = {}
    with running(StandIn()) as stand_in:
        chirper = a_chirper(stand_in.proxy, count=lambda: counts)
        for status in (Status.STARTED, Status.AWAITING, Status.TASKING):
            chirper.tell(status)
            wait_for(lambda status=status: ("Status", f'"{status}"') in stand_in.told, f"{status} is told")  # type: ignore[misc]
        counts.update(done=3)
        chirper.tell(Status.DONE)
        chirper.close()

    assert stand_in.told == [
        ("Status", '"Started"'),
        ("Status", '"AwaitingFirstMessage"'),
        ("Status", '"Tasking"'),
        ("Status", '"Done"'),
        ("TasksTotal", '"3"'),
        ("TasksSuccess", '"3"'),
    ]
    assert re.fullmatch(r'ulog HTChirpEWMSPilotStartedTimestamp:\\ "\d{10}"', stand_in.lines[0])
    assert re.fullmatch(r'ulog HTChirpEWMSPilotLastUpdatedTimestamp:\\ "\d{10}"', stand_in.lines[-1])


def test_attributes_of_the_job_have_bare_numbers() -> None:
    with running(StandIn()) as stand_in:
        chirper = a_chirper(stand_in.proxy, destination=JOB_ATTR, count=lambda: {"failed": 2})
        chirper.tell(Status.FATAL, error="no disk")
        chirper.close()

    assert {line for line in stand_in.lines if "Timestamp" not in line} == {
        'set_job_attr HTChirpEWMSPilotStatus "FatalError"',
        r'set_job_attr HTChirpEWMSPilotError "no\ disk"',
        "set_job_attr HTChirpEWMSPilotTasksTotal 2",
        "set_job_attr HTChirpEWMSPilotTasksFailed 2",
    }


def test_totals_are_told_now_and_then_and_only_when_they_have_changed() -> None:
    counts = {"done": 1}
    with running(StandIn()) as stand_in:
        chirper = a_chirper(stand_in.proxy, count=lambda: counts, interval_s=0.02)
        wait_for(lambda: len(stand_in.lines) == 3, "two totals and the time are told")
        counts.update(done=2, failed=1)
        wait_for(lambda: ("TasksTotal", '"3"') in stand_in.told, "the others are told")
        chirper.close()

    assert [one for one in stand_in.told if one[0] == "TasksTotal"] == [("TasksTotal", '"1"'), ("TasksTotal", '"3"')]


def test_what_could_not_be_told_is_told_later_and_the_last_word_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.worker.chirp.RETRY_S", 0.02)
    refused: list[str] = []

    def refuse(line: str) -> "bytes | None":
        if len(refused) < 3:
            refused.append(line)
            return b"-2" if len(refused) == 2 else None
        return b"0"

    with running(StandIn(answer=refuse)) as stand_in:
        chirper = a_chirper(stand_in.proxy)
        chirper.tell(Status.STARTED)
        wait_for(lambda: len(refused) == 3, "it was refused")
        chirper.tell(Status.TASKING)
        wait_for(lambda: ("Status", '"Tasking"') in stand_in.told, "it is told")
        chirper.close()


def test_nobody_waits_for_a_proxy_that_is_away_or_silent() -> None:
    is_over = threading.Event()

    def say_nothing(_line: str) -> bytes:
        is_over.wait(5)
        return b"0"

    silent = StandIn(answer=say_nothing)
    with running(silent):
        for proxy in (Proxy("127.0.0.1", 9, COOKIE), silent.proxy, None):
            chirper = a_chirper(proxy)
            began = time.monotonic()
            for _ in range(1000):
                chirper.tell(Status.TASKING)
            assert time.monotonic() - began < 1
            chirper.close(within_s=0.2)
            assert time.monotonic() - began < 2
        is_over.set()


def test_it_can_be_switched_off() -> None:
    with running(StandIn()) as stand_in:
        chirper = a_chirper(stand_in.proxy, destination=OFF)
        chirper.tell(Status.STARTED)
        chirper.close()
    assert stand_in.lines == []


@given(st.text(max_size=3000))
def test_a_quoted_text_is_one_classad_string_that_fits(text: str) -> None:
    quoted = quote(text)

    assert re.fullmatch(r'"(?:[^"\\\n\r]|\\["\\n])*"', quoted), quoted
    assert len(quoted.encode("utf-8", "replace")) <= TEXT_BYTES_MAX + 20
    if len(text) < 200 and not set(text) & set('\\"\n\r\t'):
        assert quoted == f'"{text}"'


def test_a_long_error_keeps_where_and_what() -> None:
    quoted = quote("where " + "x" * 5000 + "\nwhat")
    assert quoted.startswith('"where xxx')
    assert quoted.endswith('xxx\\nwhat"')


@pytest.mark.parametrize("variable", ["_CONDOR_CHIRP_CONFIG", "_CONDOR_SCRATCH_DIR", None])
def test_the_proxy_is_found_where_the_job_says_or_began(tmp_path: Path, variable: "str | None") -> None:
    file = tmp_path / ".chirp.config"
    file.write_text("<10.0.0.1> 9618\n".replace("<", "").replace(">", "").strip() + " a-cookie\n")
    elsewhere = tmp_path / "elsewhere"
    environ = {} if variable is None else {variable: str(file if variable.endswith("CONFIG") else tmp_path)}

    found = find_proxy(environ, tmp_path if variable is None else elsewhere)

    assert found == Proxy("10.0.0.1", 9618, "a-cookie")
    assert "a-cookie" not in repr(found)
    assert find_proxy({}, elsewhere) is None
    file.write_text("nonsense")
    assert find_proxy(environ, tmp_path) is None


@pytest.mark.system
def test_a_worker_says_where_it_is_from_its_start_to_its_end(start: Callable[..., Worker], tmp_path: Path) -> None:
    with running(StandIn()) as stand_in, FakeService(args="false", init_args="sleep 0.1", attempts=1) as service:
        config = tmp_path / "chirp"
        config.write_text(f"127.0.0.1 {stand_in.port} {COOKIE}\n")
        worker = start(service, environment={"_CONDOR_CHIRP_CONFIG": str(config)})
        wait_for(lambda: ("Status", '"AwaitingFirstMessage"') in stand_in.told, "it waits for events")
        service.publish(1, 2)
        service.wait_for(dead=2)
        wait_for(lambda: ("Status", '"Tasking"') in stand_in.told, "it works")
        service.tell_to("finish")
        assert worker.wait() == 0

    statuses = [value.strip('"') for name, value in stand_in.told if name == "Status"]
    assert statuses[0] == "Started"
    assert statuses[-3:] == ["AwaitingFirstMessage", "Tasking", "Done"]
    assert set(statuses) <= {"Started", "RunningInitCommand", "AwaitingFirstMessage", "Tasking", "Done"}
    assert ("TasksFailed", '"2"') in stand_in.told
    assert not [one for one in stand_in.told if one[0] == "TasksSuccess"]


@pytest.mark.system
def test_a_worker_that_fails_says_why(start: Callable[..., Worker], tmp_path: Path) -> None:
    with running(StandIn()) as stand_in, FakeService(args="true") as service:
        config = tmp_path / "chirp"
        config.write_text(f"127.0.0.1 {stand_in.port} {COOKIE}\n")
        worker = start(service, secret="wrong", environment={"_CONDOR_CHIRP_CONFIG": str(config)})
        assert worker.wait() == 1

    [error] = [value for name, value in stand_in.told if name == "Error"]
    assert "is not that of the taskforce" in error
    assert stand_in.told[-1] == ("Status", '"FatalError"')
