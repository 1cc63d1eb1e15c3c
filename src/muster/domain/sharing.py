"""Which of several services takes a workflow on first? By rendezvous hashing: they agree without a word, and each has about as many."""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True)
class Share:
    """What is one service's to take on first.

    Args:
        own: its number.
        others: the numbers of those that run beside it.
    """

    own: int
    others: Collection[int] = ()

    def has(self, workflow_id: str) -> bool:
        """Exactly one of the services says so, as long as they know of the same ones. One that comes or goes moves only what is its own."""
        mine = _weigh(self.own, workflow_id)
        return all(mine > _weigh(other, workflow_id) for other in self.others if other != self.own)


def _weigh(service: int, workflow_id: str) -> tuple[bytes, int]:
    return blake2b(f"{service} {workflow_id}".encode(), digest_size=8).digest(), service
