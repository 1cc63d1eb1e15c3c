"""Which programs start containers, and by which words? Apptainer, Docker and Podman. Source: pilot.md sections 5.4 and 5.5.

Different from upstream: Apptainer is told the variables by its own (`APPTAINERENV_…`), not by words. Words are seen by everybody on the
machine, and it takes them apart at commas and quotes.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence, Tuple

from muster.worker.child import ExecutionPointError
from muster.worker.container import Container, Image, Tool
from muster.worker.gpus import VISIBLE
from muster.worker.images import ImageStore, Run
from muster.worker.launch import Launch
from muster.worker.settings import NONE, TOOLS

APPTAINER, DOCKER = "apptainer", "docker"
DOCKER_SOCKET = "/var/run/docker.sock"
_NO_IMAGE = "no such folder or file"


def find_tool(wanted: Optional[str], environ: Mapping[str, str]) -> "Optional[Tuple[str, str]]":
    """Name and program of the tool to use, by the variable PATH.

    Args:
        wanted: that one, by name or path, or NONE; None: the first that is there, Docker only where its daemon may be asked.

    Returns:
        None: there is none.
    """
    path = environ.get("PATH") or os.defpath
    for name in TOOLS if wanted is None else (wanted,):
        if name == NONE or (wanted is None and name == DOCKER and not _may_ask_daemon(environ)):
            continue
        program = shutil.which(name, path=path)
        if program is not None:
            return os.path.basename(name), os.path.abspath(program)
    return None


def _may_ask_daemon(environ: Mapping[str, str]) -> bool:
    return "DOCKER_HOST" in environ or os.access(DOCKER_SOCKET, os.R_OK | os.W_OK)


def make_tool(name: str, program: str, *, store: ImageStore, run: Run) -> Tool:
    """The tool of that name. `run`: how it starts programs of its own."""
    if name == APPTAINER:
        return Apptainer(program, store, run)
    return Docker(name, program, store, run)


@dataclass(frozen=True)
class Apptainer:
    """Runs folders and SIF files as they are, and unpacks images of registries into the store."""

    program: str
    store: ImageStore
    run: Run

    name = APPTAINER
    holds_processes = True
    hands_on_descriptors = True

    def prepare(self, image: str) -> Image:
        """See `Tool.prepare`."""
        place = self._find(image)
        said = self.run([self.program, "exec", "--containall", "--no-eval", place, "/bin/sh", "-c", "echo $PYTHONPATH"])
        if said.status != 0:
            raise ExecutionPointError(f"image {image}: {_last_line(said.stderr)}")
        return Image(place, said.stdout.strip())

    def render(self, container: Container) -> Launch:
        """See `Tool.render`."""
        words = [self.program, "run", "--containall", "--no-eval", *_render_mounts(container)]
        seen = dict(container.variables)
        if container.gpus:  # the container has all of the machine's then, and CUDA shows these
            words.append("--nv")
            seen[VISIBLE] = ",".join(container.gpus)
        variables = {f"APPTAINERENV_{name}": value for name, value in seen.items()}
        return Launch([*words, container.image, *container.words], variables)

    def end(self, name: str) -> None:
        """See `Tool.end`. Its processes are the program's own, and carry the attempt's mark."""

    def end_left(self, names: Sequence[str]) -> None:
        """See `Tool.end_left`. They were found by their marks when the worker started."""

    def _find(self, image: str) -> str:
        if image.startswith(("/", "./", "../")):
            if not os.path.exists(image):
                raise ExecutionPointError(f"image {image}: {_NO_IMAGE} on this execution point")
            return os.path.abspath(image)
        source = image if "://" in image else f"docker://{image}"
        place = self.store.find_or_make(source, lambda place: self._unpack(image, source, place))
        self.store.remove_old_meanwhile()
        return place

    def _unpack(self, image: str, source: str, place: str) -> None:
        said = self.run([self.program, "build", "--fix-perms", "--sandbox", place, source])
        if said.status != 0:
            raise ExecutionPointError(f"image {image}: {_last_line(said.stderr)}")


@dataclass(frozen=True)
class Docker:
    """Docker, and Podman, which takes the same words."""

    name: str
    program: str
    store: ImageStore
    run: Run

    holds_processes = False  # of Docker they are a daemon's, and Podman's leave it
    hands_on_descriptors = False

    def prepare(self, image: str) -> Image:
        """See `Tool.prepare`."""
        with self.store.lock(f"{self.name} {image}"):
            look = [self.program, "image", "inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", image]
            said = self.run(look)
            if said.status != 0:
                pulled = self.run([self.program, "pull", image])
                if pulled.status != 0:
                    raise ExecutionPointError(f"image {image}: {_last_line(pulled.stderr)}")
                said = self.run(look)
        variables = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
        return Image(image, variables.get("PYTHONPATH", ""))

    def render(self, container: Container) -> Launch:
        """See `Tool.render`."""
        words = [self.program, "run", "--rm", "--name", container.name, *_render_mounts(container)]
        words += self._render_gpus(container.gpus)
        for name, value in sorted(container.variables.items()):
            words += ["--env", f"{name}={value}"]
        return Launch([*words, container.image, *container.words], {})

    def _render_gpus(self, gpus: Sequence[str]) -> List[str]:
        """The container has these alone, and counts them from 0 itself."""
        if not gpus:
            return []
        if self.name == DOCKER:
            return ["--gpus", f'"device={",".join(gpus)}"']  # in quotes: the option is a CSV line
        return [word for gpu in gpus for word in ("--device", f"nvidia.com/gpu={gpu}")]

    def end(self, name: str) -> None:
        """See `Tool.end`. A daemon's container goes on; one that has ended by itself is not found, which is as good."""
        self.run([self.program, "kill", name])

    def end_left(self, names: Sequence[str]) -> None:
        """See `Tool.end_left`. A worker that was killed could not have its daemon end them."""
        running = self.run([self.program, "ps", "--format", "{{.Names}}"]).stdout.split()
        if left := sorted(set(names).intersection(running)):
            self.run([self.program, "kill", *left])


def _render_mounts(container: Container) -> List[str]:
    return [word for mount in container.mounts for word in ("--mount", mount.render())]


def _last_line(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:1000] if lines else "no word of why"
