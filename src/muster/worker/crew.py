"""What does a worker set up when it first enrols? Folders, a desk, its slots, and the renewals of what they hold."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Callable, List, Optional, Sequence

from muster.worker.calls import Renewer
from muster.worker.courier import Courier
from muster.worker.desk import Desk
from muster.worker.disk import DiskGuard
from muster.worker.folders import Folders
from muster.worker.gpus import divide
from muster.worker.launch import SlotLauncher
from muster.worker.log_lines import LogLines
from muster.worker.memory import MemoryGuard
from muster.worker.messages import Enrolled
from muster.worker.outfit import Outfit
from muster.worker.pace import Pace
from muster.worker.reaper import Reaper
from muster.worker.service import Caller, Session
from muster.worker.settings import Settings
from muster.worker.slots import Preparation, Slot, make_runtime
from muster.worker.watched import WatchList
from muster.worker.workshop import Workshop


@dataclass(frozen=True)
class Crew:
    """Those who work. `slots` and `renewer` are threads, started. `is_over`: nobody waits for an image any more.

    `isolation`: what the tasks are kept from others by.
    """

    desk: Desk
    pace: Pace
    folders: Folders
    slots: Sequence[Slot]
    renewer: Renewer
    preparation: Preparation
    is_over: threading.Event
    isolation: str

    def stop_preparing(self) -> None:
        """The worker ends, though it may not have begun."""
        self.is_over.set()
        self.preparation.stop()


def start_crew(
    enrolled: Enrolled,
    settings: Settings,
    *,
    reaper: Reaper,
    caller: Caller,
    courier: Courier,
    session: Callable[[], Optional[Session]],
    wake: Callable[[], None],
    on_init: Callable[[], None],
    inbox: "SimpleQueue[object]",
    log: LogLines,
) -> Crew:
    """Set everything up for the task of an enrolment.

    Args:
        caller: for renewals. courier: for large bodies. session: the one that is to be renewed now.
        wake, inbox: the pilot's: see `Desk`, `Slot`, `Renewer`.
        on_init: called when the init command is due, by another thread.

    Raises CannotWorkError, ExecutionPointError.
    """
    plan = enrolled.task
    folders = Folders(
        settings.workdir,
        input_dir=settings.input_dir,
        failures_kept=settings.failures_kept,
        keep_all=settings.keep_task_files,
    )
    is_over = threading.Event()
    outfit = Outfit(enrolled.task, settings, folders=folders, reaper=reaper, is_over=is_over, log=log)
    watched = WatchList()
    guards: List[threading.Thread] = [MemoryGuard(plan.memory_bytes, watched)]
    if plan.disk_bytes:
        guards.append(DiskGuard(plan.disk_bytes, folders, watched))
    shop = Workshop(plan, outfit.make_launcher(), folders, reaper, settings.task_start_s, log, watched, courier=courier)
    preparation = Preparation(
        shop, init=outfit.make_init_launcher(), timeout_s=settings.init_timeout_s, on_init=on_init
    )
    pace = Pace(slots=plan.slots, batch=settings.batch or enrolled.batch)
    desk = Desk(pace, slots=plan.slots, wake=wake)
    slots = [
        Slot(number, desk=desk, runtime=make_runtime(of_slot), prepare=preparation.run, inbox=inbox, log=log)
        for number, of_slot in enumerate(_divide(shop, outfit.find_gpus()))
    ]
    renewer = Renewer(caller, session=session, held=desk.held, inbox=inbox, live=shop.live)
    for thread in (*slots, renewer, *guards):
        thread.start()
    return Crew(desk, pace, folders, slots, renewer, preparation, is_over, outfit.isolation)


def _divide(shop: Workshop, gpus: Sequence[str]) -> Sequence[Workshop]:
    """One for each slot, which sees its own GPUs."""
    return [
        replace(shop, launcher=SlotLauncher(shop.launcher, own)) if own else shop
        for own in divide(gpus, slots=shop.plan.slots)
    ]
