"""Is every skip told once, with its reason, and refused where it must not be, however many processes run the tests?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

def test_that_runs():
    pass

@pytest.mark.parametrize("number", range(3))
def test_that_cannot(number):
    pytest.skip("no telescope is installed")
"""
MODULE = """
import pytest

pytest.importorskip("no_such_telescope", reason="no mount is installed")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with our account of skips, and with four."""
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_some.py").write_text(TESTS)
    (tmp_path / "tests/test_module.py").write_text(MODULE)
    (tmp_path / "tests/allowed-skips.txt").write_text("# None.\n")
    return tmp_path


def run(folder: Path, *options: str, is_strict: bool) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MUSTER_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist", *options, "tests"],
        cwd=folder,
        env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "MUSTER_TEST_STRICT": "1" if is_strict else "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.system  # six runs of pytest
@pytest.mark.parametrize("options", [(), ("-n", "2", "--dist", "worksteal")], ids=["one process", "two processes"])
def test_each_skip_is_told_once_and_refused_when_it_is_not_on_the_list(folder: Path, options: tuple[str, ...]) -> None:
    free = run(folder, *options, is_strict=False)
    strict = run(folder, *options, is_strict=True)
    (folder / "tests/allowed-skips.txt").write_text("tests/test_some.py::*\ntests/test_module.py\n")
    allowed = run(folder, *options, is_strict=True)

    assert [done.returncode for done in (free, strict, allowed)] == [0, 1, 0], strict.stdout
    for done in (free, strict, allowed):
        assert done.stdout.count("4 tests were skipped\n  1 x no mount is installed\n  3 x no telescope is") == 1
    assert strict.stdout.count("MUSTER_TEST_STRICT: 4 skips are not on allowed-skips.txt: ") == 1
    assert "MUSTER_TEST_STRICT" not in free.stdout + allowed.stdout
