"""How is a task run in a container? Its folders as it sees them, its variables, and the words of the tool that starts it.

Paths, mounts, variables and placeholders: pilot.md section 5. `MUSTER_…` variables are ours: they mark the processes of an attempt, and
give a task what `muster.task` needs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Protocol, Sequence

from muster.worker.command import THREADS, Command, Places
from muster.worker.folders import AttemptFolder
from muster.worker.launch import Launch
from muster.worker.mounts import OWN
from muster.worker.procfs import FOLDER, MARK

ROOT = OWN
DATA_HUB = f"{ROOT}/data-hub"
TASK_IO = f"{ROOT}/task-io"
HELPER = f"{DATA_HUB}/.muster"
"""Where `muster.task` is, in the data hub, so that nothing more of this machine is seen; it comes last on PYTHONPATH."""

_KEPT = (
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "PATH",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "APPTAINER_CACHEDIR",
    "APPTAINER_CONFIGDIR",
    "APPTAINER_TMPDIR",
    "DOCKER_CONFIG",
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "REGISTRY_AUTH_FILE",
)
"""What the tool inherits of the worker's variables: nothing that would mount more, or hand variables into the container."""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine, `source`, that the container sees as `target`."""

    source: str
    target: str
    is_read_only: bool = False

    def render(self) -> str:
        """As `--mount` of all tools takes it: fields of a CSV line."""
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        return ",".join(map(_quote_field, [*fields, *(["readonly"] if self.is_read_only else [])]))


@dataclass(frozen=True)
class Container:
    """One container to be started.

    Args:
        image: as the tool has prepared it.
        name: of this container alone.
        variables: of its processes, beside the image's own.
        words: the arguments; the image knows the program.
        gpus: of this machine, by index or uuid.
    """

    image: str
    name: str
    mounts: Sequence[Mount]
    variables: Mapping[str, str]
    words: Sequence[str]
    gpus: Sequence[str] = ()


@dataclass(frozen=True)
class Image:
    """An image that is ready on this machine.

    Args:
        place: as `Container.image` names it.
        python_path: its own variable PYTHONPATH.
    """

    place: str
    python_path: str = ""


class Tool(Protocol):
    """A program that starts containers."""

    @property
    def name(self) -> str:
        """Of the program, for people."""

    def prepare(self, image: str) -> Image:
        """Have an image ready, fetched where it is missing. Raises ExecutionPointError."""

    def render(self, container: Container) -> Launch:
        """The words that start it and wait for its end, and what the program itself is told by variables."""

    def end(self, name: str) -> None:
        """The program that waited for the container of this name was killed: end it, if it goes on."""

    def end_left(self, names: Sequence[str]) -> None:
        """A former start of this worker may have left containers of these names: end those that go on."""

    @property
    def holds_processes(self) -> bool:
        """Do the container's processes come of the program?"""

    @property
    def hands_on_descriptors(self) -> bool:
        """Does the container have the descriptors that the program is started with?"""


@dataclass
class ContainerLauncher:
    """Starts the containers of a task.

    Args:
        tool: what starts them.
        image: as the user names it.
        command: its arguments.
        task_env: the user's variables.
        data_hub: the folder of this machine that all of them share, `helper` in it.
        further: mounts beside those of Muster.
        left: folders of attempts that a former start of the worker has left.
        inherited: the worker's own variables.
    """

    tool: Tool
    image: str
    command: Command
    task_env: Mapping[str, str]
    n_cores: int
    data_hub: str
    inherited: Mapping[str, str] = field(repr=False)
    has_task_io: bool = True
    further: Sequence[Mount] = ()
    left: Sequence[str] = ()
    _ready: Optional[Image] = None

    @property
    def holds_processes(self) -> bool:
        """See `Launcher.holds_processes`."""
        return self.tool.holds_processes

    @property
    def hands_on_descriptors(self) -> bool:
        """See `Launcher.hands_on_descriptors`."""
        return self.tool.hands_on_descriptors

    def prepare(self) -> None:
        """See `Launcher.prepare`."""
        if self.left:
            self.tool.end_left([_name(path) for path in self.left])
        self._ready = self.tool.prepare(self.image)

    def render(self, folder: AttemptFolder, mark: str, extra: Mapping[str, str], *, gpus: Sequence[str] = ()) -> Launch:
        """See `Launcher.render`."""
        if self._ready is None:
            raise ValueError(f"{self.image} was not prepared")
        places = Places(
            f"{TASK_IO}/{os.path.basename(folder.infile)}", f"{TASK_IO}/{os.path.basename(folder.outfile)}", DATA_HUB
        )
        mounts = [Mount(self.data_hub, DATA_HUB), *self.further]
        variables: Dict[str, str] = {**dict.fromkeys(THREADS, str(self.n_cores)), **self.task_env}
        variables["EWMS_TASK_DATA_HUB_DIR"] = DATA_HUB
        if self.has_task_io:
            mounts.append(Mount(folder.io, TASK_IO))
            variables.update(EWMS_TASK_INFILE=places.infile, EWMS_TASK_OUTFILE=places.outfile)
        own = self.task_env.get("PYTHONPATH", self._ready.python_path)
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [own, HELPER]))
        marks = {MARK: mark, FOLDER: folder.path}
        variables.update(marks, **extra)
        container = Container(
            image=self._ready.place,
            name=_name(folder.path),
            mounts=mounts,
            variables=variables,
            words=self.command.fill(places),
            gpus=gpus,
        )
        launch = self.tool.render(container)
        return Launch(launch.argv, {**keep_for_tool(self.inherited), **launch.environment, **marks})

    def end(self, folder: AttemptFolder) -> None:
        """See `Launcher.end`."""
        self.tool.end(_name(folder.path))


def _name(path: str) -> str:
    """The name of the container of an attempt's folder: no two folders have the same."""
    return f"muster-{os.path.basename(path)}"


def keep_for_tool(inherited: Mapping[str, str]) -> Dict[str, str]:
    """The variables of a tool's own process."""
    kept = {name: inherited[name] for name in _KEPT if name in inherited}
    kept.setdefault("PATH", os.defpath)
    return kept


def _quote_field(text: str) -> str:
    if not any(sign in text for sign in ',"\n'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
