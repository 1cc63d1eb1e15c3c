"""Does `muster serve` tell what its settings are wrong in, and keep what it makes to its owner?"""

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


@pytest.mark.parametrize("address", ["127.0.0.30:port", "[::1"])
def test_an_address_of_a_database_that_cannot_be_read_is_told_by_the_name_of_its_variable(
    tmp_path: Path, address: str
) -> None:
    with _serve(tmp_path, MUSTER_DATABASE_URL=f"postgresql://me:s3cret@{address}/x") as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 4
    assert said.startswith("muster: MUSTER_DATABASE_URL: is no address that can be read")
    assert "s3cret" not in said


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
