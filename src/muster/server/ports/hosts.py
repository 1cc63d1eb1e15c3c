"""What does the server keep of execution points? How a task's attempts ended at each host, and which of them rest."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from muster.domain.hosts import HostRecord, Others


@dataclass(frozen=True)
class FailedThere:
    """An attempt that failed at a host. `revision`: of the task, that its worker ran. `at`: seconds since the epoch."""

    event: int
    host: str
    revision: int
    at: float


class Hosts(Protocol):
    """Records of hosts, by task. Whoever changes some has taken the turn `hosts` (`Transaction.take_turn`)."""

    def find(self, keys: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], HostRecord]:
        """Those that there are of these (task id, host)."""

    def put(self, records: Sequence[HostRecord]) -> None:
        """Keep records, new ones and changed ones."""

    def list_of_tasks(self, task_ids: Collection[str]) -> Sequence[HostRecord]:
        """All of these tasks, those with the most failures first."""

    def list_resting(self, *, at: float) -> Sequence[HostRecord]:
        """Those that rest at that time, of all tasks."""

    def list_trusted(self, *, since: float) -> Sequence[HostRecord]:
        """Those that somebody has trusted since then."""

    def list_failing(self, events: Collection[int]) -> Sequence[FailedThere]:
        """The attempts at these events that failed."""

    def add_up(self, task_ids: Collection[str], *, at: float) -> Mapping[str, Others]:
        """How all hosts of each task do together, those that rest at that time counted; tasks without any are left out."""
