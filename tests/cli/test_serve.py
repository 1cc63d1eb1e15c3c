"""Does `muster serve` keep what it makes to its owner?"""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from harness.stack import MUSTER
from harness.waiting import wait_for

pytestmark = pytest.mark.system


def _serve(folder: Path, **variables: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    return subprocess.Popen(
        [MUSTER, "serve"], cwd=folder, env=environment | variables, umask=0o022, stderr=subprocess.PIPE, text=True
    )


def test_in_a_fresh_folder_everything_is_its_owners_and_an_open_database_is_refused(tmp_path: Path) -> None:
    state = tmp_path / ".muster"
    with _serve(tmp_path) as process:
        try:
            wait_for(lambda: (state / "muster.db-wal").exists() and (state / "token").exists(), "it has started")
            modes = {one.name: oct(stat.S_IMODE(one.stat().st_mode)) for one in (state, *state.iterdir())}
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    (state / "muster.db").chmod(0o644)
    with _serve(tmp_path) as refused:
        _, said = refused.communicate(timeout=60)

    private = ("muster.db", "muster.db-shm", "muster.db-wal", "muster.db.lock", "token")
    assert modes == {".muster": "0o700"} | dict.fromkeys(private, "0o600")
    assert refused.returncode == 4
    assert "others may read or write it" in said
    assert "say `chmod 600 .muster/muster.db`" in said
