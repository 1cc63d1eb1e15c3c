"""Where does a test's `bwrap` come from? Installed, or fetched into the cache. Whether it works on this machine is another question."""

import shutil
import subprocess
from pathlib import Path

import pytest

from services.fetching import ROOT, NotFetchedError, fetch

SCRIPT = ROOT / "deploy" / "containers" / "fetch-bubblewrap.sh"
TRIED = ("--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-pid", "/bin/sh", "-c", "echo isolated")


def find_bubblewrap() -> Path:
    """The installed one, or the fetched one. Raises NotFetchedError."""
    installed = shutil.which("bwrap")
    if installed is not None:
        return Path(installed)
    return fetch("bubblewrap", SCRIPT, "bubblewrap") / "bin" / "bwrap"


@pytest.fixture(scope="session")
def bubblewrap() -> Path:
    """The program, on a machine on which it works."""
    try:
        program = find_bubblewrap()
    except NotFetchedError as error:
        pytest.skip(str(error))
    tried = subprocess.run([program, *TRIED], capture_output=True, text=True, check=False, timeout=20)
    if tried.stdout != "isolated\n":
        pytest.skip(f"bwrap does not work here: {tried.stderr.strip()[-300:]}")
    return program
