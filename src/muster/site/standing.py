"""Does the agent of a directory run, what has it in hand, and what can it not do? Read from what it writes down; it is not asked."""

import time
from collections import Counter
from enum import StrEnum
from pathlib import Path

import msgspec

from muster.site.adapters.journal.files import peek_records
from muster.site.adapters.standing.file import find_holder, find_taken_at, read_standing
from muster.site.ports.standing import Standing, TaskforceStanding, Trouble

STALE_S = 30.0
"""Seconds without a word of a living agent after which it counts as stuck: it writes every five."""


class Life(StrEnum):
    """Does it live?"""

    RUNNING = "running"
    STARTING = "starting"  # it has the directory, and has not told anything yet
    STUCK = "stuck"  # it has the directory, and has told nothing for long
    STOPPED = "stopped"  # nobody has the directory


class AgentStatus(msgspec.Struct, frozen=True):
    """How the agent of a directory stands.

    Args:
        pid: of the agent that has the directory; as it wrote it.
        told_s: seconds since it last wrote how it stands; None: it never did.
        standing: what it wrote then.
        stages: how many taskforces of the journal are at which stage.
        taskforces: those of the journal, with their workers as last told.
        troubles: what did not work lately, when it last wrote.
    """

    directory: str
    life: Life
    pid: str | None
    told_s: float | None
    standing: Standing | None
    stages: dict[str, int]
    taskforces: list[TaskforceStanding]
    troubles: list[Trouble]


def look(directory: Path, *, now: float | None = None) -> AgentStatus:
    """Read what is there. Raises UnavailableError when it cannot be read.

    Args:
        now: seconds since the epoch; None: this machine's clock.
    """
    at = time.time() if now is None else now
    holder = find_holder(directory)
    standing = read_standing(directory)
    records = peek_records(directory / "journal")
    workers = {one.taskforce_uuid: one.workers for one in standing.taskforces} if standing is not None else {}
    return AgentStatus(
        directory=str(directory),
        life=judge_life(holder, standing, now=at, lock_at=find_taken_at(directory)),
        pid=holder,
        told_s=None if standing is None else max(0.0, at - standing.written_at),
        standing=standing,
        stages=dict(Counter(str(one.stage) for one in records)),
        taskforces=[
            TaskforceStanding(
                one.taskforce_uuid,
                str(one.stage),
                one.cluster,
                one.n_workers,
                workers.get(one.taskforce_uuid, {}),
            )
            for one in records
        ],
        troubles=[] if standing is None else standing.troubles,
    )


def judge_life(holder: str | None, standing: Standing | None, *, now: float, lock_at: float) -> Life:
    """Does it live?

    Args:
        holder: the process that has the directory; None: none has.
        standing: what was written last, perhaps by an earlier agent.
        lock_at: when the directory was taken.
    """
    if holder is None:
        return Life.STOPPED
    has_told = standing is not None and str(standing.pid) == holder
    last_at = standing.written_at if standing is not None and has_told else lock_at
    if abs(now - last_at) > STALE_S:  # ahead: the clock was set back, and one that lives would have written since
        return Life.STUCK
    return Life.RUNNING if has_told else Life.STARTING
