"""What is every worker of this machine told, and what happens to one that fails?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muster.site.adapters.input_files import EVERYWHERE
from muster.site.adapters.processes.restart import RestartPolicy


@dataclass(frozen=True)
class WorkerSettings:
    """What every worker here is told.

    Args:
        command: the program and its arguments.
        environment: variables for all of them, by name; no order replaces them.
        restart: what happens to one that fails.
        leave_s: seconds after which one is killed that was asked to end, alone.
        programs: folders of programs beside the usual ones.
        inputs: folders from which input files may be taken.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    leave_s: float = 60.0
    programs: Sequence[str] = ()
    inputs: Sequence[Path] = EVERYWHERE
