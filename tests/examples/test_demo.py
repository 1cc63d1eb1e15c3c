"""Does the demo leave nothing behind, however it is ended, and is it alone in its folder?"""

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.waiting import wait_for

pytestmark = pytest.mark.system

DEMO = Path(__file__).parents[2] / "examples" / "daya-bay" / "demo.py"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.fixture
def demo(output: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A demo at work; its `muster up` is up."""
    with (output.parent / "demo.log").open("wb") as log:
        process = subprocess.Popen(_command(output), stdout=log, stderr=log, preexec_fn=_listen_to_signals)  # noqa: PLW1509
    try:
        wait_for(lambda: b"up at" in (output.parent / "demo.log").read_bytes(), "muster up is up")
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def _listen_to_signals() -> None:
    """As in a terminal, also under `nohup` or in the background of a shell: a demo leaves ignored what it finds ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _ignores(pid: int, number: signal.Signals) -> bool:
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(lines["SigIgn"], 16) >> (number - 1) & 1)


def _command(output: Path) -> list[str]:
    return [sys.executable, str(DEMO), "--output", str(output)]


def test_the_demo_gives_the_physics_and_the_account(output: Path) -> None:
    run = subprocess.run([*_command(output), "--side", "40"], capture_output=True, text=True, check=False, timeout=300)

    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert "1600 published, 1600 done, 0 lost, 0 counted twice" in run.stdout
    assert sorted(path.suffix for path in output.glob("*.png")) == [".png", ".png"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_ended_takes_everything_with_it_however_often_it_is_told(
    demo: "subprocess.Popen[bytes]", output: Path, how: signal.Signals
) -> None:
    demo.send_signal(how)
    wait_for(lambda: demo.poll() is not None or _ignores(demo.pid, signal.SIGINT), "it stops what it started")
    demo.send_signal(signal.SIGINT)

    assert demo.wait(timeout=60) == 128 + how
    assert "nothing of it runs any more" in (output.parent / "demo.log").read_text()
    with (output / "muster" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # `muster up` holds it for as long as it lives


def test_a_second_demo_in_the_same_folder_is_refused(demo: "subprocess.Popen[bytes]", output: Path) -> None:
    second = subprocess.run(_command(output), capture_output=True, text=True, check=False, timeout=60)

    assert second.returncode == 1
    assert f"demo: a demo is running here already, in {output}" in second.stderr
    assert demo.poll() is None
    assert (output / "muster" / "lock").exists()
