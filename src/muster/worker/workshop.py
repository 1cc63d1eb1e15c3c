"""What do the ways of running a task share? The things of the worker that every slot's runtime works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from muster.worker.courier import Courier
from muster.worker.folders import Folders
from muster.worker.launch import Launcher
from muster.worker.live import Live
from muster.worker.log_lines import LogLines
from muster.worker.messages import Lease, TaskPlan
from muster.worker.reaper import Reaper
from muster.worker.watched import WatchList


@dataclass(frozen=True)
class Workshop:
    """What the runtimes of all slots share. `log`: for operators."""

    plan: TaskPlan
    launcher: Launcher
    folders: Folders
    reaper: Reaper
    task_start_s: float
    log: LogLines
    watched: WatchList
    live: Live = field(default_factory=Live)
    courier: Optional[Courier] = None


def make_mark(lease: Lease) -> str:
    """The value of MUSTER_ATTEMPT."""
    return f"{lease.event}/{lease.fence}"
