"""How does a server that is not installed come here? By a script that fetches it into the cache, once for all runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FETCH_S = 280.0


class NotFetchedError(Exception):
    """It is not there, and could not be fetched."""


def fetch(what: str, script: Path, name: str, *arguments: str) -> Path:
    """Run a script with its folder in the cache, and return the folder. Raises NotFetchedError.

    Args:
        what: it is called in errors.
        name: of the folder.
        arguments: of the script, behind the folder.
    """
    if shutil.which("apt-get") is None:
        raise NotFetchedError(f"{what} is not installed, and there is no apt-get to fetch it with")
    folder = Path(os.environ.get("MUSTER_TEST_CACHE", ROOT / ".cache")) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["bash", script, folder, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_S,
        env={**os.environ, "PYTHON": sys.executable},
    )
    if fetched.returncode:
        raise NotFetchedError(f"{what} could not be fetched: {fetched.stderr.strip()[-300:]}")
    return folder.resolve()
