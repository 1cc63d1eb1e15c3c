"""Is what a worker would find on a machine told rightly, also where programs lie, fail or never answer? With real programs."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from muster.worker import doctor
from muster.worker.doctor import BAD, GOOD, NOTE, Finding, examine
from worker.test_isolation import put_program

pytestmark = pytest.mark.timeout(60)

USUAL = f"{Path(sys.executable).parent}:/usr/bin:/bin"


def look(what: str, **environ: str) -> Finding:
    """The finding of that name, on this machine with these variables."""
    [found] = [one for one in examine({"PATH": "/nowhere", **environ}) if one.what == what]
    return found


@pytest.fixture
def service() -> Iterator[Callable[[float], str]]:
    """Serve a clock that is off by so many seconds; returns its address."""
    servers = []

    def serve(off_s: float) -> str:
        class Clock(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(404)
                self.end_headers()

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate((timestamp or time.time()) + off_s, usegmt=True)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Clock)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.system
def test_the_bundle_itself_tells_without_any_setting(bundle: Path, tmp_path: Path) -> None:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-I", "-S", str(bundle), *words],
            env={"PATH": USUAL, "MUSTER_WORKER_IMAGE_DIR": str(tmp_path / "images")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    told, as_json, wrong = run("--doctor"), run("--doctor", "--json"), run("--doktor")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.endswith("a worker can work here\n")
    findings = json.loads(as_json.stdout)["findings"]
    assert [set(one) for one in findings] == [{"what", "state", "text", "remedy"}] * len(findings)
    assert {"python", "isolation", "user namespaces", "memory", "workdir", "images", "gpus", "service"} <= {
        one["what"] for one in findings
    }
    usage = "usage: muster-worker.pyz [SETTINGS-FILE | --doctor [--json]]\n"
    assert (wrong.returncode, wrong.stderr) == (2, usage)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_does_not_read_the_doctor_at_its_start() -> None:
    code = "import muster.worker.main, sys; sys.exit('muster.worker.doctor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_isolation_that_works_is_good(bubblewrap: Path) -> None:
    found = look("isolation", PATH=str(bubblewrap.parent))
    assert found.state == GOOD
    assert found.text.startswith("plain tasks are isolated by bubblewrap ")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import sys; sys.exit('bwrap: setting up uid map: Permission denied')", "setting up uid map: Permission"),
        ("", "bwrap does not hide what it is told to hide"),
        ("import os, sys; os.execv('/bin/sh', sys.argv[sys.argv.index('--') + 1:])", "does not hide what it is told"),
        ("import time; time.sleep(600)", "bwrap did not end within"),
    ],
    ids=["fails", "lies", "only starts it", "stalls"],
)
def test_isolation_that_does_not_work_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, text: str
) -> None:
    monkeypatch.setattr(doctor, "RUN_S", 2.0)
    path = str(put_program(tmp_path / "bin", "bwrap", source))

    found = look("isolation", PATH=path)
    assert found.state == NOTE
    assert found.text.startswith("plain tasks are not isolated: ")
    assert text in found.text

    assert look("isolation", PATH=path, MUSTER_WORKER_ISOLATION="bwrap").state == BAD


def test_isolation_that_is_not_wanted_is_told() -> None:
    found = look("isolation", MUSTER_WORKER_ISOLATION="none")
    assert (found.state, found.text) == (NOTE, "plain tasks are not isolated: MUSTER_WORKER_ISOLATION is none")


def test_container_tools_are_told_as_they_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "RUN_S", 2.0)
    put_program(tmp_path / "bin", "apptainer", "print('apptainer version 1.4.1')")
    put_program(tmp_path / "bin", "podman", "import time; time.sleep(600)")
    path = str(put_program(tmp_path / "bin", "docker", "import sys; sys.exit('no daemon is there')"))

    assert (look("apptainer", PATH=path).state, look("podman", PATH=path).state) == (GOOD, NOTE)
    assert "apptainer version 1.4.1" in look("apptainer", PATH=path).text
    assert "does not answer within 2 s" in look("podman", PATH=path).text
    docker = look("docker", PATH=path, DOCKER_HOST="unix:///nowhere")
    assert (docker.state, "no daemon is there" in docker.text) == (NOTE, True)


def test_without_any_tool_tasks_with_an_image_cannot_run() -> None:
    found = look("containers")
    assert (found.state, found.remedy) == (NOTE, "have Apptainer installed")
    assert "tasks with an image cannot run here" in found.text
    assert "MUSTER_WORKER_CONTAINERS is none" in look("containers", MUSTER_WORKER_CONTAINERS="none").text


def test_a_service_that_answers_is_good_and_a_clock_far_off_is_loud(service: Callable[[float], str]) -> None:
    url = service(0)
    assert look("service", MUSTER_WORKER_URL=url).state == GOOD
    assert look("clock", MUSTER_WORKER_URL=url).state == GOOD

    behind = look("clock", MUSTER_WORKER_URL=service(3600))
    assert (behind.state, behind.remedy) == (BAD, "set this machine's clock (NTP)")
    assert behind.text in {f"{n} s behind the service's" for n in range(3590, 3602)}
    assert "ahead of the service's" in look("clock", MUSTER_WORKER_URL=service(-100)).text


def test_a_service_that_does_not_answer_is_bad() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    found = look("service", MUSTER_WORKER_URL=f"http://127.0.0.1:{port}")
    assert found.state == BAD
    assert found.text.startswith(f"127.0.0.1:{port} does not answer: ConnectionRefusedError")


def test_an_address_that_cannot_be_used_is_bad() -> None:
    assert look("service", MUSTER_WORKER_URL="http://muster.example").state == BAD


def test_a_proxys_password_is_not_shown() -> None:
    found = look("proxies", https_proxy="http://me:s3cret@proxy.example:3128", no_proxy="localhost")
    assert found.text == "https_proxy=proxy.example:3128, no_proxy=localhost"


def test_folders_that_cannot_be_written_are_bad_and_an_image_folder_of_others_is_no_good(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert look("workdir", MUSTER_WORKER_DIR=str(tmp_path / "file" / "work")).state == BAD
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    found = look("images", MUSTER_WORKER_IMAGE_DIR=str(tmp_path / "open"))
    assert (found.state, "others can write there" in found.text) == (BAD, True)
    good = look("images", MUSTER_WORKER_IMAGE_DIR=str(tmp_path / "not-there-yet"))
    assert good.text.endswith(" free")


def test_within_htcondor_a_proxy_for_chirp_is_looked_for(tmp_path: Path) -> None:
    assert look("chirp").text == "not within HTCondor"
    assert look("chirp", _CONDOR_SCRATCH_DIR=str(tmp_path)).state == NOTE
    (tmp_path / ".chirp.config").write_text("127.0.0.1 9618 cookie")
    assert look("chirp", _CONDOR_SCRATCH_DIR=str(tmp_path)).state == GOOD


def test_a_look_that_goes_wrong_keeps_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def _look_badly(_environ: object) -> Iterator[Finding]:
        raise OSError("no such luck")

    monkeypatch.setattr(doctor, "_LOOKS", [_look_badly, doctor._look_gpus])
    assert [(one.what, one.state) for one in examine(dict(os.environ))] == [("badly", BAD), ("gpus", GOOD)]
