"""What is kept of orders for single workers? They wait for the agent that has the taskforce, then for whoever asked."""

from collections.abc import Collection, Sequence
from typing import Protocol

from muster.domain.worker_order import WorkerOrder


class WorkerOrders(Protocol):
    """Rows of orders. Those that were asked for longer than `KEPT_S` ago are deleted as others come."""

    def insert(self, order: WorkerOrder) -> None: ...

    def get(self, taskforce_uuid: str, order_id: str) -> WorkerOrder:
        """Raises NotFoundError: there is none, or it is another taskforce's."""

    def count_waiting(self, taskforce_uuid: str) -> int:
        """Orders of it that stand, and were not answered."""

    def find_next(self, agent: str, *, without: Collection[str], limit: int) -> Sequence[WorkerOrder]:
        """Of each taskforce whose last claim is this agent's the oldest order that stands and was not answered; oldest first.

        Args:
            without: not of these taskforces.
        """

    def answer(self, order: WorkerOrder) -> None:
        """Store its `answered_at` and `outcome`."""
