"""Does the task author's helper work, also copied, also without Muster?"""

import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import muster.task

PROGRAM = """
import task
def handle(event):
    if event == "bad":
        raise ValueError("no")
    return event
task.run(handle)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A task beside a copy of the helper, as `task.py`."""
    shutil.copy(muster.task.__file__, tmp_path / "task.py")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(program: Path, tmp_path: Path, data: bytes, *, ext: str = "json", kind: str | None = None) -> Any:
    infile, outfile = tmp_path / f"in.{ext}", tmp_path / f"out.{ext}"
    infile.write_bytes(data)
    environment = {"EWMS_TASK_INFILE": str(infile), "EWMS_TASK_OUTFILE": str(outfile)}
    if kind is not None:
        environment["MUSTER_EVENT_KIND"] = kind
    ran = subprocess.run([sys.executable, "-I", "-c", _at(program)], env=environment, capture_output=True, check=False)
    word = tmp_path / f"out.{ext}.kind"
    return (
        ran,
        outfile.read_bytes() if outfile.exists() else None,
        word.read_text() if word.exists() else None,
    )


def _at(program: Path) -> str:
    return f"import sys, runpy; sys.path.insert(0, {str(program.parent)!r}); runpy.run_path({str(program)!r})"


@pytest.mark.parametrize(
    ("data", "ext", "kind", "written", "word"),
    [
        (b'{"n": 1}', "json", None, b'{"n":1}', None),
        (b'{"n": 1}', "in", "json", b'{"n":1}', "json"),
        (b"text", "in", "text", b'"text"', "json"),
        (b"text", "in", None, b'"text"', None),
        (b"\xff\x00", "in", "bytes", b"\xff\x00", "bytes"),
        (b"\xff\x00", "in", None, b"\xff\x00", None),
        (b"null", "json", "json", None, None),
    ],
)
def test_one_event_from_file_to_file(
    program: Path, tmp_path: Path, data: bytes, ext: str, kind: str | None, written: bytes | None, word: str | None
) -> None:
    ran, result, said = run(program, tmp_path, data, ext=ext, kind=kind)
    assert ran.returncode == 0, ran.stderr
    assert (result, said) == (written, word)


def test_an_exception_is_a_traceback_and_status_1(program: Path, tmp_path: Path) -> None:
    ran, result, _ = run(program, tmp_path, b'"bad"')
    assert (ran.returncode, result) == (1, None)
    assert ran.stderr.decode().splitlines()[-1] == "ValueError: no"


def test_without_a_worker_it_says_what_is_missing(program: Path) -> None:
    ran = subprocess.run([sys.executable, "-I", "-c", _at(program)], env={}, capture_output=True, check=False)
    assert b"EWMS_TASK_INFILE is not set: run this with Muster, or name files to try it out" in ran.stderr


class Warm:
    """The worker's end of a warm task."""

    def __init__(self, program: Path) -> None:
        events, self.write = os.pipe()
        self.read, answers = os.pipe()
        environment = {"MUSTER_TASK_FDS": f"{events},{answers}"}
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _at(program)],
            env=environment,
            pass_fds=(events, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(events)
        os.close(answers)

    def give(self, number: int, body: bytes) -> None:
        header = json.dumps({"event": f"EV-{number}", "fence": 1, "attempt": 1, "kind": "json"}).encode()
        os.write(self.write, struct.pack(">II", len(header), len(body)) + header + body)

    def take(self) -> tuple[dict[str, Any], bytes]:
        header_bytes, body_bytes = struct.unpack(">II", self._exactly(8))
        return json.loads(self._exactly(header_bytes)), self._exactly(body_bytes)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = os.read(self.read, count - len(data))
            assert part, "the task has gone"
            data += part
        return data

    def end(self) -> int:
        os.close(self.write)
        status = self.process.wait(10)
        os.close(self.read)
        return status


def test_warm_events_and_their_errors(program: Path) -> None:
    warm = Warm(program)
    hello, _ = warm.take()
    assert hello == {"hello": muster.task.VERSION, "pid": warm.process.pid, "files": True}
    for number, body in enumerate([b"1", b'"bad"', b'[{"a": null}]', b"null"]):
        warm.give(number, body)
        answer, result = warm.take()
        assert (answer["event"], answer["fence"]) == (f"EV-{number}", 1)
        if number == 1:
            assert answer["outcome"] == "failed"
            lines = result.decode().splitlines()
            assert lines[0] == "Traceback (most recent call last):"
            assert lines[-1] == "ValueError: no"
            assert "task.py" not in result.decode().replace("program.py", "")
        elif number == 3:
            assert (answer["outcome"], result) == ("none", b"")
        else:
            assert (answer["outcome"], json.loads(result)) == ("json", json.loads(body))
    assert warm.end() == 0


def test_thousands_of_events_a_second_go_through_it(program: Path) -> None:
    """A floor for a loaded machine; a quiet one does more than ten times that."""
    warm = Warm(program)
    warm.take()
    count, began = 3000, time.monotonic()
    for number in range(count):
        warm.give(number, b"1")
        warm.take()
    rate = count / (time.monotonic() - began)
    assert warm.end() == 0
    assert rate > 1000
