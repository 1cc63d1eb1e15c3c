"""How does a test give a process a disk of its own? In a mount namespace, which goes with it."""

import os
import subprocess

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
