"""What does a worker leave in its folder for whoever started it, besides its end?"""

from __future__ import annotations

import os

from muster.worker.log_lines import LogLines

WORKED = "worked"
"""A file with the number of the last start that handed in an attempt."""


def write_worked(workdir: str, start: int, log: LogLines) -> None:
    """Say that this start has handed in an attempt. A disk that will not have it costs no more than that."""
    path = os.path.join(workdir, WORKED)
    try:
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(str(start))
        os.replace(f"{path}.new", path)
    except OSError as error:
        log.tell("not written", file=WORKED, why=str(error.strerror))
