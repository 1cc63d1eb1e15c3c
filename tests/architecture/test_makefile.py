"""Does the set-up say what is missing?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _make_demo(folder: Path, python: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "demo", f"PYTHON={python}", f"VENV={folder / 'venv'}"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = _make_demo(tmp_path, "python3.99")

    assert done.returncode == 2
    assert "Muster needs Python 3.11 or newer, and there is no python3.99 here." in done.stdout


@pytest.mark.system  # makes a virtual environment
def test_without_the_network_it_is_told_that_it_is_needed(tmp_path: Path) -> None:
    done = _make_demo(
        tmp_path, sys.executable, PIP_INDEX_URL="http://127.0.0.1:9", PIP_RETRIES="0", PIP_NO_CACHE_DIR="1"
    )

    assert done.returncode == 2
    assert "The packages could not be installed. This needs the network once" in done.stdout
