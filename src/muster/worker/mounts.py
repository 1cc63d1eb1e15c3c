"""Which folders of its machine may a container see beside its own? Those that its user asks for, where the site lists them; to read only.

Rules: pilot.md section 5.1. Different from upstream: a site has a word in it.
"""

from __future__ import annotations

import os
from typing import List, Sequence, Tuple

NEVER = ("/proc", "/dev", "/sys", "/run", "/boot")
"""Nothing of these is mounted, whoever lists it."""
OWN = "/ewms-pilot-data"
"""Where a container has what is Muster's."""


def parse_folders(text: str) -> "Tuple[str, ...]":
    """Paths, separated by commas; one that is given again counts once. Raises ValueError with half a sentence."""
    return tuple(dict.fromkeys(_list_paths(text)))


def _list_paths(text: str) -> List[str]:
    paths: List[str] = []
    for number, part in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        if not part.startswith("/") or ".." in part.split("/") or "\0" in part:
            # Not quoted: who names the setting shows its value, with what is secret in it masked.
            raise ValueError(f"must be absolute paths of folders, separated by commas, and number {number} is none")
        paths.append("/" + os.path.normpath(part).lstrip("/"))
    return paths


def parse_mounts(text: str) -> "Tuple[str, ...]":
    """Folders to be mounted. Raises ValueError with half a sentence."""
    paths = _list_paths(text)
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"names {path} twice")
        if _is_within_any(path, NEVER):
            raise ValueError(f"may not name {path}: nothing of {', '.join(NEVER)} is mounted")
        if is_within(path, OWN) or is_within(OWN, path):
            raise ValueError(f"may not name {path}: in a container {OWN} is Muster's own")
    return tuple(paths)


def find_sources(asked: Sequence[str], allowed: Sequence[str], *, workdir: str) -> "List[Tuple[str, str]]":
    """What is mounted: the folder as it is really called, and its place in the container, which is the name it was asked for by.

    Args:
        asked: as `parse_mounts` gave them.
        allowed: the site's: these and what is in them.
        workdir: the worker's own, which no task may see.

    Raises ValueError with a sentence.
    """
    sources = []
    for path in asked:
        real = os.path.realpath(path)
        if not allowed or not _is_within_any(real, [os.path.realpath(one) for one in allowed]):
            lists = f"only what is in {', '.join(allowed)}" if allowed else "nothing"
            raise ValueError(f"{_tell(path, real)} is not for tasks here: this site lets them see {lists}")
        if _is_within_any(real, NEVER):
            raise ValueError(f"{_tell(path, real)} is not for tasks: nothing of {', '.join(NEVER)} is mounted")
        if not os.path.isdir(real):
            raise ValueError(f"{_tell(path, real)} is no folder of this execution point")
        if is_within(os.path.realpath(workdir), real):
            raise ValueError(f"{_tell(path, real)} is not for tasks: this worker's own folder is in it")
        sources.append((real, path))
    return sources


def _tell(path: str, real: str) -> str:
    return path if path == real else f"{path} ({real})"


def _is_within_any(path: str, folders: Sequence[str]) -> bool:
    return any(is_within(path, folder) for folder in folders)


def is_within(path: str, folder: str) -> bool:
    """Is it that folder, or in it? By the names alone."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
