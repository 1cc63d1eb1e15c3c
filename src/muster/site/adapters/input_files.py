"""Which file is meant by an input file of a workflow, and may it be taken? The one that its path leads to now, in a folder of the site's.

What is handed on is that file's own path: a link that is swapped later leads nobody anywhere.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from muster.domain.errors import RejectedError

EVERYWHERE = (Path("/"),)


def resolve_input(path: str, *, allowed: Sequence[Path]) -> Path:
    """The file itself, without links on the way. It need not be there.

    Args:
        path: absolute.
        allowed: the site's folders: files in them and below may be taken.

    Raises RejectedError.
    """
    real = Path(os.path.realpath(path))
    if not is_below(real, allowed):
        folders = ", ".join(map(str, allowed)) or "none"
        raise RejectedError(
            f"input_files: {path!r} is in none of the folders from which this site takes input files ({folders}): "
            "MUSTER_SITE_INPUT_FOLDERS of the agent"
        )
    return real


def is_below(real: Path, folders: Iterable[Path]) -> bool:
    """Is a path without links one of these, or in one of them?"""
    return any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)
