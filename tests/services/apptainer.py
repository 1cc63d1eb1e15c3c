"""Where do a test's containers come from? Apptainer, installed or fetched into the cache, and an image made of Debian's packages.

`apptainer` is the program; `image` a folder with a shell, coreutils and Python, which runs what it is given.
"""

import shutil
from pathlib import Path

import pytest

from services.fetching import ROOT, NotFetchedError, fetch

SCRIPTS = ROOT / "deploy" / "containers"
PACKAGES = ("dash", "coreutils", "python3-minimal", "libpython3-stdlib", "util-linux", "procps")


def find_apptainer() -> Path:
    """The installed one, or the fetched one. Raises NotFetchedError."""
    installed = shutil.which("apptainer")
    if installed is not None:
        return Path(installed)
    return fetch("Apptainer", SCRIPTS / "fetch-apptainer.sh", "apptainer") / "bin" / "apptainer"


def make_image(*packages: str, name: str = "image") -> Path:
    """A folder with these packages, made once. Raises NotFetchedError."""
    return fetch("an image's packages", SCRIPTS / "make-image.sh", name, *packages)


@pytest.fixture(scope="session")
def apptainer() -> Path:
    """The program."""
    try:
        return find_apptainer()
    except NotFetchedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def image() -> Path:
    """A folder that Apptainer runs."""
    try:
        return make_image(*PACKAGES)
    except NotFetchedError as error:
        pytest.skip(str(error))
