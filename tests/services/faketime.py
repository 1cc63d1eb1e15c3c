"""How does a test step the clock of processes while they run? By Debian's libfaketime, which reads from a file how far off the clock is.

Only the time of day is stepped. What counts on by itself (CLOCK_MONOTONIC) does so, as on a machine whose clock is set, and files have the
times that the kernel gives them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.namespaces import on_small_disk
from services.fetching import ROOT, NotFetchedError, fetch

SCRIPT = ROOT / "tests" / "services" / "fetch-faketime.sh"


def find_faketime() -> Path:
    """The library. Raises NotFetchedError."""
    return fetch("libfaketime", SCRIPT, "faketime") / "libfaketime.so"


@dataclass
class Clock:
    """One clock, right at first. `file`: from which the processes that have it read how far off it is."""

    library: Path
    file: Path
    shift_s: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.step(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of a process that goes by it, and with it all that it starts."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The words before a command that is to go by it. What the library leaves in /dev/shm goes with the processes."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return (*on_small_disk("/dev/shm", "size=1m,mode=1777"), "env", *variables)

    def step(self, seconds: float) -> None:
        """Set it forward, or, below zero, back."""
        self.shift_s += seconds
        draft = self.file.with_name(f"{self.file.name}.new")
        draft.write_text(f"{self.shift_s:+.0f}\n")
        draft.chmod(0o644)
        draft.replace(self.file)


@pytest.fixture(scope="session")
def faketime() -> Path:
    """The library."""
    try:
        return find_faketime()
    except NotFetchedError as error:
        pytest.skip(str(error))
