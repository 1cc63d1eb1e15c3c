"""What does the server need to wait for something? Topics that commits wake."""

from contextlib import AbstractContextManager
from typing import Protocol


class Bell(Protocol):
    """One waiter of some topics."""

    async def wait(self, timeout_s: float) -> bool:
        """Wait until one of the topics is woken, at most `timeout_s`; True at once if that happened since `listen` or since the
        last `wait`. False: nothing came.
        """


class Waking(Protocol):
    """Wakes waiters after commits, in this process and, over the database, in other replicas.

    Topics: `activate`, `launch`, `start:<schedd>`, `stop:<schedd>`, `queue:<number>`, `workflow:<workflow id>`, `drain`,
    `retry`, `keys`.
    """

    def listen(self, *topics: str) -> AbstractContextManager[Bell]:
        """A bell that rings for the topics. Listen first, look at the state second, wait third: then nothing is missed."""

    def wake(self, topic: str, *, bells: int | None = None) -> None:
        """Ring every bell of the topic in this process, or only the `bells` that have waited longest."""
