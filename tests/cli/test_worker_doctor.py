"""Does `muster worker doctor` tell a person and a program the same, and end with 1 where a worker cannot work?"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.stack import MUSTER


def run(tmp_path: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    return subprocess.run(
        [MUSTER, "worker", "doctor", *words],
        cwd=tmp_path,
        env={**environment, "MUSTER_WORKER_IMAGE_DIR": str(tmp_path / "images"), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.system
def test_it_tells_what_a_worker_would_find_here(tmp_path: Path) -> None:
    told, as_json = run(tmp_path), run(tmp_path, "--json")
    assert (told.returncode, as_json.returncode) == (0, 0)
    findings = json.loads(as_json.stdout)["findings"]
    for one in findings:
        assert f"{one['state']:<5}{one['what']:<16}" in told.stdout
    assert told.stdout.endswith("a worker can work here\n")


@pytest.mark.system
def test_it_ends_with_1_where_a_worker_cannot_work(tmp_path: Path) -> None:
    told = run(tmp_path, MUSTER_WORKER_URL="http://elsewhere.example")
    assert told.returncode == 1
    assert "a worker cannot work here: 1 bad" in told.stdout
