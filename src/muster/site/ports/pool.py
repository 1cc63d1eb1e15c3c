"""What does the agent need of a pool? To place n identical workers, find them again, watch them and take them away.

The word for n identical workers placed together is *cluster*; one of them is a *proc*. A cluster carries a tag, the
taskforce's uuid, by which it is found whatever was forgotten.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from muster.domain.pool_facts import PoolFacts
from muster.domain.worker_order import OrderAction, WorkerLog


class ProcState(StrEnum):
    """Where a proc is; the words are HTCondor's (tms.md 6.3)."""

    IDLE = "IDLE"  # not started yet, or waiting to be started again
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    HELD = "HELD"  # in an observation with the reason behind it: "HELD: …"
    COMPLETED = "COMPLETED"  # ended by itself, well or not
    REMOVED = "REMOVED"


class PilotStatus(StrEnum):
    """What the worker in a proc is at; the words are upstream's (tms.md 6.4)."""

    TASKING = "Tasking"
    DONE = "Done"
    FATAL = "FatalError"


@dataclass(frozen=True)
class Request:
    """What one worker asks of the machine that it runs at. Local processes take what is there.

    Args:
        requirements: a ClassAd expression of the user's; blank: none.
        priority: among the clusters of the same owner; higher goes first.
        runtime_s_max: how long one start of it may take; 0: any time.
        keeps_output: what it prints comes back also where it ended well.
    """

    n_cores: int = 1
    memory_bytes: int = 512 << 20
    disk_bytes: int = 1 << 30
    gpus: int = 0
    requirements: str = ""
    priority: int = 50
    runtime_s_max: int = 0
    keeps_output: bool = False


@dataclass(frozen=True)
class ClusterSpec:
    """What to place.

    Args:
        n_workers: 1 or more.
        secret: enrols the workers; travels in a file that only they can read, never in an argument or a variable.
        fence: the claim under which the cluster is placed; kept with the cluster, so that the agent's memory can be
            rebuilt from the pool.
        environment: variables of the worker.
        input_files: absolute paths on this machine; the base names are unique.
        argv: what to run instead of the worker; for trying a pool out.
        request: what each worker asks of its machine.
    """

    n_workers: int
    secret: str = field(repr=False)
    fence: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    input_files: Sequence[str] = ()
    argv: Sequence[str] = ()
    request: Request = Request()


@dataclass(frozen=True)
class Placed:
    """A cluster that the pool holds."""

    tag: str
    cluster: int
    n_workers: int
    fence: int


@dataclass(frozen=True)
class Description:
    """How a cluster was placed, in the pool's own words. `log`: a file of the access point that tells of it; empty: there is none."""

    submit_dict: Mapping[str, str] = field(default_factory=dict)
    log: str = ""


@dataclass(frozen=True)
class Observation:
    """What became of a cluster so far.

    Args:
        counts: how many procs are in which state (one of `ProcState`; behind HELD the reason) with which pilot status (None: not known).
        errors: how many procs ended with which error text, for the last time or before the start that is under way or due.
        n_left: procs that have not ended for good.
        ended_at: when the last one ended, seconds since the epoch; None while any is left.
        facts: None where the pool tells none.
    """

    counts: Mapping[tuple[str, str | None], int]
    errors: Mapping[str, int]
    n_left: int
    ended_at: float | None
    facts: PoolFacts | None = None


class Pool(Protocol):
    """One access point. Every method raises UnavailableError when it does not answer."""

    async def submit(self, spec: ClusterSpec, *, tag: str) -> int:
        """Place a cluster; returns its number, which this pool never gives twice.

        Not idempotent: after UnavailableError or a crash, `find(tag)` before submitting again. Raises RejectedError when the
        pool refuses the spec; then nothing is left behind. Raises ConflictError when the tag is taken.
        """

    async def find(self, tag: str) -> int | None:
        """The cluster with this tag, as long as it was not forgotten; also one whose submission was cut off, once it is
        certain to exist.
        """

    async def tend(self) -> None:
        """See to what is due and nobody waits for: what goes on again, what was given up, what has ended. Called again and again, beside
        `wait_for_change`, by one caller at a time.
        """

    async def describe(self, cluster: int) -> Description:
        """Raises NotFoundError for a cluster that does not exist or was forgotten."""

    async def list_placed(self) -> Sequence[Placed]:
        """Every cluster placed here and not forgotten."""

    async def observe(self, cluster: int) -> Observation:
        """Raises NotFoundError for a cluster that does not exist or was forgotten."""

    async def wait_for_change(self, *, timeout_s: float) -> frozenset[int]:
        """Numbers of clusters that changed since the last call; returns as soon as there is one, and empty after `timeout_s`.
        One caller at a time.
        """

    async def explain(self, cluster: int) -> Sequence[str]:
        """Why do its procs that wait not run? Sentences for its user, the most telling first, each with what to change; none where nothing
        is known to keep them. May take seconds. Raises NotFoundError.
        """

    async def act(self, cluster: int, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
        """Hold, release or remove procs; returns with how many it was done. Those that have ended, or are so already, are passed over.

        One that is held or removed is asked to end, and killed when it has had the pool's time for that; here nobody waits for it. Held by
        this, it goes on only when it is released. May be repeated.

        Args:
            action: any but `LOGS`.
            procs: empty: all of them.
            reason: one line, for the pool's own log.

        Raises NotFoundError as `observe`; ConflictError: the cluster is being removed; RejectedError: the pool forbids it.
        """

    async def read_logs(self, tag: str, proc: int) -> Sequence[WorkerLog]:
        """The ends of what a proc wrote, and of what the pool wrote of it: also of a cluster that was forgotten, as long as that is kept.

        Raises NotFoundError: nothing is kept of this tag, or it has no such proc.
        """

    async def remove(self, cluster: int, *, grace_s: float) -> None:
        """Take every worker away and see that none is left: ask, wait up to `grace_s` seconds (0: do not ask), kill.

        May be repeated, also after a crash in the middle; nothing is started again once it was called. An unknown or
        forgotten cluster is gone already. Raises UnavailableError naming what is still there; RejectedError when the pool forbids it.
        """

    async def forget(self, cluster: int) -> None:
        """Drop what is kept of a cluster; its tag is free again. May be repeated. Raises ConflictError while procs are left."""

    async def pause(self, *, grace_s: float) -> None:
        """Stop every worker and see that none is left, but keep the clusters: a pool opened later starts the workers again.

        Raises UnavailableError naming what is still there, when everything was tried. Nothing else may be called afterwards but `close`.
        """
