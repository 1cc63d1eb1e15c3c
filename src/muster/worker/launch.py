"""How does a process of a task start: by which words, with which variables? Bare here; in a container, see `container`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Protocol, Sequence

from muster.worker.child import Child
from muster.worker.command import Command, Places, Variables
from muster.worker.folders import AttemptFolder
from muster.worker.gpus import VISIBLE
from muster.worker.reaper import Reaper


@dataclass(frozen=True)
class Launch:
    """One start.

    Args:
        argv: the words.
        environment: the variables of the process that is started; nothing else is inherited.
        program: what to run for `argv[0]`; None: it is looked for.
        is_wrapped: what is started only awaits the task, and tells its status as a shell does.
    """

    argv: List[str]
    environment: Dict[str, str]
    program: Optional[str] = None
    is_wrapped: bool = False

    def start(self, *, folder: str, mark: str, reaper: Reaper, pass_fds: Sequence[int] = ()) -> Child:
        """Do it, in this folder. Raises StartError, ExecutionPointError."""
        return Child(
            self.argv,
            program=self.program,
            environment=self.environment,
            folder=folder,
            mark=mark,
            reaper=reaper,
            pass_fds=pass_fds,
            is_wrapped=self.is_wrapped,
        )


class Launcher(Protocol):
    """Knows how the processes of one task start. For all slots."""

    def prepare(self) -> None:
        """See to what every start needs; called once, before the first. Raises ExecutionPointError: no event is to blame."""

    def render(self, folder: AttemptFolder, mark: str, extra: Mapping[str, str], *, gpus: Sequence[str] = ()) -> Launch:
        """One start in this folder. `extra`: further variables for the task. `gpus`: those that it may see."""

    def end(self, folder: AttemptFolder) -> None:
        """The process that was started in this folder was killed: end what outlives it."""

    @property
    def holds_processes(self) -> bool:
        """Do all processes of the task come of the one that is started?"""

    @property
    def hands_on_descriptors(self) -> bool:
        """Does the task have the descriptors that the process is started with?"""


class PlainLauncher:
    """Starts a command of this machine as it is."""

    holds_processes = True
    hands_on_descriptors = True

    def __init__(self, command: Command, variables: Variables, *, data_hub: str) -> None:
        self._command = command
        self._variables = variables
        self._data_hub = data_hub
        self._program = command.find_program(variables.path)

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def render(self, folder: AttemptFolder, mark: str, extra: Mapping[str, str], *, gpus: Sequence[str] = ()) -> Launch:
        """See `Launcher.render`."""
        words = self._command.fill(Places(folder.infile, folder.outfile, self._data_hub))
        environment = self._variables.fill(folder, mark)
        environment.update(extra)
        if gpus:
            environment[VISIBLE] = ",".join(gpus)
        return Launch(words, environment, self._program)

    def end(self, folder: AttemptFolder) -> None:
        """Nothing does that is not found by its mark."""


class SlotLauncher:
    """Starts what another launcher does, for one slot. `gpus`: the slot's."""

    def __init__(self, launcher: Launcher, gpus: Sequence[str]) -> None:
        self._launcher = launcher
        self._gpus = gpus

    @property
    def holds_processes(self) -> bool:
        """See `Launcher.holds_processes`."""
        return self._launcher.holds_processes

    @property
    def hands_on_descriptors(self) -> bool:
        """See `Launcher.hands_on_descriptors`."""
        return self._launcher.hands_on_descriptors

    def prepare(self) -> None:
        """See `Launcher.prepare`."""
        self._launcher.prepare()

    def render(self, folder: AttemptFolder, mark: str, extra: Mapping[str, str], *, gpus: Sequence[str] = ()) -> Launch:
        """See `Launcher.render`."""
        return self._launcher.render(folder, mark, extra, gpus=gpus or self._gpus)

    def end(self, folder: AttemptFolder) -> None:
        """See `Launcher.end`."""
        self._launcher.end(folder)
