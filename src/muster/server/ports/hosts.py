"""What does the server keep of execution points? How a task's attempts ended at each host, and which of them rest."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from muster.domain.hosts import HostRecord


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

    def list_failing(self, events: Collection[int]) -> Mapping[int, Sequence[str]]:
        """At which hosts an attempt at each of these events failed; events without any are left out."""
