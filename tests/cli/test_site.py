"""Does `muster site` say by its variables what keeps it from starting?"""

import subprocess
from pathlib import Path

import pytest

from harness.stack import MUSTER, clean_environment


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("plain", "it is no folder"),
        ("plain/site", "Not a directory"),
        ("/proc/none/site", "No such file or directory"),  # what is above it cannot be made
    ],
)
def test_a_directory_that_cannot_be_used_is_a_fault_of_its_setting(tmp_path: Path, place: str, why: str) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "token").chmod(0o600)
    directory = (tmp_path / place).resolve()
    variables = {"MUSTER_SITE_DIRECTORY": str(directory), "MUSTER_SITE_TOKEN_FILE": str(tmp_path / "token")}

    ended = subprocess.run(
        [MUSTER, "site"],
        check=False,
        env=clean_environment() | variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 4
    [told] = ended.stderr.splitlines()
    assert told.startswith(f"muster: MUSTER_SITE_DIRECTORY: {directory} cannot be used: {why}")
    assert told.endswith("; name a folder that this user can make and write, on a local disk")
