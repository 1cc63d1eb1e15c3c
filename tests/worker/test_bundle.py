"""Does the worker travel as one small file, and run where it arrives, with an old Python too?"""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from muster.worker.bundle import build_bundle
from worker.conftest import Worker
from worker.fake_service import FakeService

OLD_PYTHON = next(
    (str(path) for path in Path.home().glob(".pyenv/versions/3.9*/bin/python")), shutil.which("python3.9")
)
SIZE_BYTES_MAX = 120_000


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [build_bundle(tmp_path / name) for name in ("first.pyz", "second.pyz")]
    first, second = ((tmp_path / name).read_bytes() for name in ("first.pyz", "second.pyz"))
    assert first == second
    assert sizes == [len(first)] * 2
    assert len(first) < SIZE_BYTES_MAX
    assert os.access(tmp_path / "first.pyz", os.X_OK)
    with capsys.disabled():
        sys.stdout.write(f" [bundle: {len(first)} bytes] ")


def test_it_holds_the_worker_and_the_helper_and_nothing_else(bundle: Path) -> None:
    names = zipfile.ZipFile(bundle).namelist()
    assert {name for name in names if not name.startswith("muster/worker/")} == {
        "__main__.py",
        "muster/__init__.py",
        "muster/task.py",
    }


def _parse_without_words(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            node.value.value = ""
    lines = [getattr(node, "lineno", 0) for node in ast.walk(tree)]
    return f"{ast.dump(tree)} {lines}"


def test_it_holds_the_very_programs_without_their_words(bundle: Path) -> None:
    """Line by line, so that the trace of an error names the lines of the sources."""
    archive = zipfile.ZipFile(bundle)
    names = [name for name in archive.namelist() if name.startswith("muster/worker/")]
    sources = Path(build_bundle.__code__.co_filename).parents[2]
    assert len(names) > 40
    for name in names:
        source = (sources / name).read_bytes()
        assert _parse_without_words(archive.read(name)) == _parse_without_words(source), name
    assert archive.read("muster/worker/settings.py").startswith(b'""\n')


def test_it_imports_nothing_but_the_standard_library_and_itself(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import muster.worker.main, json; "
        "print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names))))"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(bundle)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert set(json.loads(ran.stdout)) <= {"muster", "__main__", "__mp_main__"}


def test_without_settings_it_says_what_is_missing(bundle: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-S", str(bundle)], env={}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (2, "MUSTER_WORKER_ENROL_FILE is not set\n")


@pytest.mark.system
@pytest.mark.skipif(OLD_PYTHON is None, reason="Python 3.9 is not installed")
@pytest.mark.parametrize("warm", [False, True])
def test_it_runs_under_python_3_9(start: Callable[..., Worker], script: Callable[[str], str], warm: bool) -> None:  # noqa: FBT001
    assert OLD_PYTHON is not None
    command = script("from muster import task\ntask.run(lambda event: event * 2)\n")
    old_command = command.replace(sys.executable, OLD_PYTHON)
    with FakeService(args=old_command, warm=warm, slots=2) as service:
        service.publish(*range(20))
        worker = start(service, python=OLD_PYTHON)
        service.wait_for(done=20)
        service.tell_to("finish")
        assert worker.wait() == 0
        assert service.results() == [2 * n for n in range(20)]


@pytest.mark.system
def test_two_workers_do_not_share_a_folder(start: Callable[..., Worker]) -> None:
    with FakeService() as service:
        worker = start(service)
        service.wait(lambda: service.sessions, "it has enrolled")
        other = start(service, DIR=worker.folder, proc=1)
        assert other.wait() == 2
        assert "another worker is at work in this folder" in other.said
