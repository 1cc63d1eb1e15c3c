"""What does a worker set up when it first enrols? Folders, a desk, its slots, and the renewals of what they hold."""

from __future__ import annotations

import os
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Callable, Optional, Sequence

from muster.worker.calls import Renewer
from muster.worker.command import Command, CommandError, Variables
from muster.worker.desk import Desk
from muster.worker.folders import Folders
from muster.worker.log_lines import LogLines
from muster.worker.messages import Enrolled
from muster.worker.pace import Pace
from muster.worker.plain import Workshop
from muster.worker.reaper import Reaper
from muster.worker.service import Caller, Session
from muster.worker.settings import Settings
from muster.worker.slots import Preparation, Slot, make_runtime

NO_RUNTIME_STATUS = 3


class CannotWorkError(Exception):
    """The task cannot be run by this worker. `status`: its exit status; the text says why, in one line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Crew:
    """Those who work. `slots` and `renewer` are threads, started."""

    desk: Desk
    pace: Pace
    folders: Folders
    slots: Sequence[Slot]
    renewer: Renewer


def start_crew(
    enrolled: Enrolled,
    settings: Settings,
    *,
    reaper: Reaper,
    caller: Caller,
    session: Callable[[], Optional[Session]],
    wake: Callable[[], None],
    inbox: "SimpleQueue[object]",
    log: LogLines,
) -> Crew:
    """Set everything up for the task of an enrolment.

    Args:
        caller: for renewals. session: the one that is to be renewed now.
        wake, inbox: the pilot's: see `Desk`, `Slot`, `Renewer`.

    Raises CannotWorkError, ExecutionPointError.
    """
    plan = enrolled.task
    image = plan.image or plan.init_image
    if image:
        why = f"no container runtime here: {image!r} cannot run; leave the image empty to run a plain command"
        raise CannotWorkError(NO_RUNTIME_STATUS, why)
    try:
        command = Command(plan.args)
    except CommandError as error:
        raise CannotWorkError(1, str(error)) from None
    folders = Folders(
        settings.workdir,
        input_dir=settings.input_dir,
        failures_kept=settings.failures_kept,
        keep_all=settings.keep_task_files,
    )
    helper = folders.write_helper()
    variables = Variables(os.environ, plan.env, n_cores=plan.n_cores, data_hub=folders.data_hub, helper=helper)
    program = command.find_program(variables.path)
    shop = Workshop(plan, command, program, variables, folders, reaper, helper, settings.task_start_s, log)
    pace = Pace(slots=plan.slots, batch=settings.batch or enrolled.batch)
    desk = Desk(pace, slots=plan.slots, wake=wake)
    prepare = Preparation(shop, os.environ).run
    slots = [
        Slot(number, desk=desk, runtime=make_runtime(shop), prepare=prepare, inbox=inbox, log=log)
        for number in range(plan.slots)
    ]
    renewer = Renewer(caller, session=session, held=desk.held, inbox=inbox)
    for thread in (*slots, renewer):
        thread.start()
    return Crew(desk, pace, folders, slots, renewer)
