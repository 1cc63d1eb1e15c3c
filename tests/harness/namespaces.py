"""How does a test give a process a disk of its own? In a mount namespace, which goes with it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


def mount_namespace() -> tuple[str, ...]:
    """The words before a command that is to have one: as root at once, else in a user namespace of our own."""
    prefix = ("unshare", "--mount") if os.getuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace can be made here: {tried.stderr.strip()}")
    return prefix


def on_small_disk(folder: str, options: str) -> tuple[str, ...]:
    """The same, with a tmpfs of these options mounted there; the folder is made."""
    script = f'mkdir -p "{folder}" && mount -t tmpfs -o {options} tmpfs "{folder}" && exec "$@"'
    return (*mount_namespace(), "sh", "-c", script, "sh")


@dataclass(frozen=True)
class SmallDisk:
    """A disk that several processes share, and nobody else sees. `enter`: the words before the command of one that does."""

    folder: Path
    enter: tuple[str, ...]
    _holder: int

    @property
    def inside(self) -> Path:
        """The folder, as it is seen from here."""
        return Path(f"/proc/{self._holder}/root{self.folder}")

    def fill(self) -> None:
        """Until nothing more fits."""
        with (self.inside / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:  # ends with the disk
                file.write(b"\0" * 4096)

    def make_room(self) -> None:
        """What filled it is gone."""
        (self.inside / "ballast").unlink()


@contextlib.contextmanager
def shared_small_disk(folder: Path, options: str) -> Iterator[SmallDisk]:
    """A tmpfs of these options in a mount namespace that lives until the end."""
    words = [*on_small_disk(str(folder), options), "sh", "-c", "echo ready && exec sleep infinity"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            spaces = ("--mount",) if os.getuid() == 0 else ("--user", "--preserve-credentials", "--mount")
            yield SmallDisk(folder, ("nsenter", "--target", str(holder.pid), *spaces, "--"), holder.pid)
        finally:
            holder.kill()
