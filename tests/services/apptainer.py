"""Where do a test's containers come from? Apptainer, installed or fetched into the cache, and an image made of Debian's packages.

`apptainer` is the program; `image` a folder with a shell, coreutils and Python, which runs what it is given.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "deploy" / "containers"
PACKAGES = ("dash", "coreutils", "python3-minimal", "libpython3-stdlib", "util-linux", "procps")
FETCH_S = 280.0


class NoApptainerError(Exception):
    """Apptainer, or the packages of an image, could not be fetched."""


def find_apptainer() -> Path:
    """The installed one, or the fetched one. Raises NoApptainerError."""
    installed = shutil.which("apptainer")
    if installed is not None:
        return Path(installed)
    return _fetch("fetch-apptainer.sh", "apptainer") / "bin" / "apptainer"


def make_image(*packages: str, name: str = "image") -> Path:
    """A folder with these packages, made once. Raises NoApptainerError."""
    return _fetch("make-image.sh", name, *packages)


def _fetch(script: str, name: str, *more: str) -> Path:
    if shutil.which("apt-get") is None:
        raise NoApptainerError(f"there is no apt-get to fetch {name} with")
    folder = Path(os.environ.get("MUSTER_TEST_CACHE", ROOT / ".cache")) / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["bash", SCRIPTS / script, folder, *more],
        capture_output=True,
        text=True,
        check=False,
        timeout=FETCH_S,
        env={**os.environ, "PYTHON": sys.executable},
    )
    if fetched.returncode:
        raise NoApptainerError(f"{name} could not be fetched: {fetched.stderr.strip()[-300:]}")
    return folder.resolve()


@pytest.fixture(scope="session")
def apptainer() -> Path:
    """The program."""
    try:
        return find_apptainer()
    except NoApptainerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def image() -> Path:
    """A folder that Apptainer runs."""
    try:
        return make_image(*PACKAGES)
    except NoApptainerError as error:
        pytest.skip(str(error))
