"""What exactly is run for a task: which words, with which variables? Source: pilot.md sections 5.2 and 5.3."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from muster.worker.folders import AttemptFolder
from muster.worker.procfs import MARK

_KEPT = (
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    # What the pool gives to this worker's slot:
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
)
"""What a task inherits of the worker's variables. Nothing else: no secret, no setting of the worker."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""How many threads a program may start, as many libraries read it: the worker's cores."""


@dataclass(frozen=True)
class Places:
    """Where an attempt's files are, as its task sees them."""

    infile: str
    outfile: str
    data_hub: str


class CommandError(ValueError):
    """The command cannot be run; the text says why, to its author."""


class Command:
    """A task's command line: split once, filled in for each attempt."""

    def __init__(self, args: str, *, what: str = "task_args", may_be_empty: bool = False) -> None:
        """Raises CommandError.

        Args:
            what: the field's name, for errors.
            may_be_empty: an image knows what to run.

        Split by POSIX shell rules before the placeholders are filled in, where upstream does it after: the same words, except that a
        path with a space in it stays one word.
        """
        try:
            self._words = shlex.split(args)
        except ValueError as error:
            raise CommandError(f"{what} cannot be split into words: {error}") from None
        if not (self._words or may_be_empty):
            raise CommandError(f"{what} is empty: without an image it must be the command")

    def find_program(self, path: str) -> Optional[str]:
        """Where the program is, by the variable PATH; None when that is to be found out at each start."""
        word = self._words[0]
        found = None if "/" in word or "{{" in word else shutil.which(word, path=path)
        return found if found is not None and os.path.isabs(found) else None

    def fill(self, places: Places) -> List[str]:
        """The words for one attempt."""
        values = (
            ("{{INFILE}}", places.infile),
            ("{{IN_FILE}}", places.infile),
            ("{{OUTFILE}}", places.outfile),
            ("{{OUT_FILE}}", places.outfile),
            ("{{DATA_HUB}}", places.data_hub),
            ("{{DATAHUB}}", places.data_hub),
        )
        return [_replace(word, values) if "{{" in word else word for word in self._words]


class Variables:
    """The variables of a task's processes: all that they have in common, made once."""

    def __init__(
        self, inherited: Mapping[str, str], task_env: Mapping[str, str], *, n_cores: int, data_hub: str, helper: str
    ) -> None:
        """`helper`: the folder that holds `muster/task.py`; it comes last on PYTHONPATH."""
        base: Dict[str, str] = {name: inherited[name] for name in _KEPT if name in inherited}
        beside = os.path.dirname(sys.executable) if sys.executable else ""
        base["PATH"] = os.pathsep.join(filter(None, [beside, inherited.get("PATH") or os.defpath]))
        base.update(dict.fromkeys(THREADS, str(n_cores)))
        base.update(task_env)
        base["EWMS_TASK_DATA_HUB_DIR"] = data_hub
        base["PYTHONPATH"] = os.pathsep.join(filter(None, [base.get("PYTHONPATH"), helper]))
        self._base = base
        self._has_tmpdir = "TMPDIR" in task_env

    @property
    def path(self) -> str:
        """The variable PATH."""
        return self._base["PATH"]

    def fill(self, folder: AttemptFolder, mark: str) -> Dict[str, str]:
        """The variables for one attempt."""
        environment = {
            **self._base,
            "EWMS_TASK_INFILE": folder.infile,
            "EWMS_TASK_OUTFILE": folder.outfile,
            MARK: mark,
        }
        if not self._has_tmpdir:
            environment["TMPDIR"] = folder.scratch
        return environment


def _replace(word: str, values: "Sequence[Tuple[str, str]]") -> str:
    for name, value in values:
        word = word.replace(name, value)
    return word
