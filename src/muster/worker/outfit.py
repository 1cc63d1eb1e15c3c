"""What does a worker's task start with: bare, or in a container, and of which tool? Judged once, when the worker has enrolled."""

from __future__ import annotations

import os
import threading
import time
from typing import Dict, List, Mapping, Optional, Sequence

from muster.worker.bubblewrap import (
    PROBE_S,
    BubblewrapLauncher,
    IsolationError,
    Sandbox,
    find_bwrap,
    judge_probe,
    render_probe,
)
from muster.worker.child import EXITED, Child, ExecutionPointError, StartError
from muster.worker.command import Command, CommandError, Variables
from muster.worker.container import ContainerLauncher, Mount, Tool, keep_for_tool
from muster.worker.folders import Folders
from muster.worker.gpus import find_gpus
from muster.worker.images import ImageStore, Ran, default_folder
from muster.worker.launch import Launcher, PlainLauncher
from muster.worker.log_lines import LogLines
from muster.worker.messages import TaskPlan
from muster.worker.mounts import find_sources
from muster.worker.procfs import FOLDER, MARK
from muster.worker.procfs import ISOLATION as TASKS_ISOLATION
from muster.worker.reaper import Reaper
from muster.worker.settings import BWRAP, CONTAINERS, ISOLATION, MOUNTS, NONE, TOOLS, Settings
from muster.worker.tools import find_tool, make_tool

NO_RUNTIME_STATUS = 3
IMAGE_MARK = "image/0"


class CannotWorkError(Exception):
    """The task cannot be run by this worker. `status`: its exit status; the text says why, in one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Outfit:
    """Makes the launchers of one worker. `is_over`: nobody waits for an image any more. `log`: for operators."""

    def __init__(
        self,
        plan: TaskPlan,
        settings: Settings,
        *,
        folders: Folders,
        reaper: Reaper,
        is_over: threading.Event,
        log: LogLines,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._folders = folders
        self._reaper = reaper
        self._is_over = is_over
        self._log = log
        self._sandbox: Optional[Sandbox] = None
        self._is_judged = False
        self.isolation = ""
        """What the task is kept from others by: `bwrap`, a container tool's name, or `none: ` and why. Known once its launcher is made."""

    def make_launcher(self) -> Launcher:
        """Of the task. Raises CannotWorkError, ExecutionPointError."""
        plan = self._plan
        return self._make(plan.image, plan.args, plan.env, what="task_args")

    def find_gpus(self) -> List[str]:
        """Of this worker. Raises CannotWorkError."""
        try:
            return find_gpus(self._plan.gpus, os.environ, proc=self._settings.proc)
        except ValueError as error:
            raise CannotWorkError(1, f"no GPU: {error}") from None

    def make_init_launcher(self) -> Optional[Launcher]:
        """Of the init command; None where there is none. Raises as `make_launcher`."""
        plan = self._plan
        if not plan.init_image and (plan.image or not plan.init_args.strip()):
            return None
        return self._make(plan.init_image, plan.init_args, plan.init_env, what="init_args", has_task_io=False)

    def _make(self, image: str, args: str, env: Mapping[str, str], *, what: str, has_task_io: bool = True) -> Launcher:
        folders, plan = self._folders, self._plan
        try:
            command = Command(args, what=what, may_be_empty=bool(image))
        except CommandError as error:
            raise CannotWorkError(1, str(error)) from None
        if not image:
            return self._make_plain(command, env)
        if os.path.isabs(image) and os.path.realpath(folders.data).startswith(
            f"{os.path.realpath(image).rstrip('/')}/"
        ):
            raise CannotWorkError(
                1, f"image {image}: this worker's own folder is in it, and its tasks must not see that"
            )
        tool = self._find_tool(image)
        if has_task_io:
            self.isolation = tool.name
        folders.lend_helper()
        return ContainerLauncher(
            tool,
            image,
            command,
            env,
            plan.n_cores,
            folders.data_hub,
            os.environ,
            has_task_io=has_task_io,
            further=self._find_mounts(),
            left=folders.left if has_task_io else (),
        )

    def _make_plain(self, command: Command, env: Mapping[str, str]) -> Launcher:
        folders = self._folders
        helper = folders.write_helper()
        sandbox = self._find_sandbox()
        told = {**(sandbox.variables if sandbox else {}), **env, TASKS_ISOLATION: BWRAP if sandbox else NONE}
        variables = Variables(os.environ, told, n_cores=self._plan.n_cores, data_hub=folders.data_hub, helper=helper)
        launcher = PlainLauncher(command, variables, data_hub=folders.data_hub)
        return BubblewrapLauncher(launcher, sandbox) if sandbox else launcher

    def _find_sandbox(self) -> Optional[Sandbox]:
        """What isolates plain tasks, tried out once; None: nothing does, and the log says why. Raises CannotWorkError."""
        if not self._is_judged:
            self._is_judged = True
            wanted = self._settings.isolation
            try:
                self._sandbox = self._make_sandbox()
            except IsolationError as error:
                if wanted == BWRAP:
                    raise CannotWorkError(
                        NO_RUNTIME_STATUS, f"not isolated: {error} ({ISOLATION} is {BWRAP})"
                    ) from None
                self._log.tell("tasks are not isolated", why=str(error))
                self.isolation = f"{NONE}: {error}"
            else:
                self.isolation = BWRAP
                self._log.tell("tasks are isolated", by=BWRAP)
        return self._sandbox

    def _make_sandbox(self) -> Sandbox:
        """Raises IsolationError."""
        if self._settings.isolation == NONE:
            raise IsolationError(f"{ISOLATION} is {NONE}")
        folders = self._folders
        sandbox = Sandbox(find_bwrap(os.environ), self._settings, folders, os.environ)
        folder = folders.make("in", "out")
        try:
            program, *words = render_probe(f"{self._settings.workdir}/worker.lock", folder.outfile)
            judge_probe(self._run_for(PROBE_S, sandbox.wrap(folder, program, words)))
        finally:
            folder.remove()
        return sandbox

    def _find_mounts(self) -> List[Mount]:
        settings = self._settings
        try:
            sources = find_sources(settings.mounts, settings.mounts_allowed, workdir=str(settings.workdir))
        except ValueError as error:
            raise CannotWorkError(1, f"{MOUNTS}: {error}") from None
        return [Mount(source, target, is_read_only=True) for source, target in sources]

    def _find_tool(self, image: str) -> Tool:
        wanted = self._settings.containers
        found = find_tool(wanted, os.environ)
        if found is None:
            missing = f"none of {', '.join(TOOLS)} is on PATH" if wanted is None else f"{wanted} is not there"
            why = f"{CONTAINERS} is none" if wanted == NONE else missing
            raise CannotWorkError(
                NO_RUNTIME_STATUS,
                f"no container runtime here ({why}): {image!r} cannot run; leave the image empty to run a plain command",
            )
        name, program = found
        store = ImageStore(
            str(self._settings.image_dir or default_folder()),
            is_over=self._is_over,
            kept_s=self._settings.images_kept_s,
        )
        return make_tool(name, program, store=store, run=self._run)

    def _run(self, words: Sequence[str]) -> Ran:
        """Run a program of the tool's to its end; `Preparation.stop` stops it."""
        child = self._begin(words)
        status = child.finish() if child.watch() == EXITED else child.kill()
        return Ran(status, child.stdout.text(), child.stderr.text())

    def _run_for(self, wait_s: float, words: Sequence[str]) -> Optional[Ran]:
        """Run one that must end soon; None: it did not."""
        child = self._begin(words)
        if child.watch(until=time.monotonic() + wait_s) != EXITED:
            child.kill()
            return None
        return Ran(child.finish(), child.stdout.text(), child.stderr.text())

    def _begin(self, words: Sequence[str]) -> Child:
        environment: Dict[str, str] = {
            **keep_for_tool(os.environ),
            MARK: IMAGE_MARK,
            FOLDER: f"{self._folders.data}/image",
        }
        try:
            return Child(
                words, environment=environment, folder=self._folders.data, mark=IMAGE_MARK, reaper=self._reaper
            )
        except StartError as error:
            raise ExecutionPointError(str(error)) from None
