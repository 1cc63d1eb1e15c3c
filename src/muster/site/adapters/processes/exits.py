"""Which workers have ended? One descriptor to wait on for all of them, also for those that an earlier agent started."""

import select
import threading


class Exits:
    """Pidfds, each of a proc of a cluster. The descriptor of `fileno` is readable once one of them has ended."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._who: dict[int, tuple[int, int]] = {}
        self._turns = threading.Lock()

    def fileno(self) -> int:
        return self._epoll.fileno()

    def add(self, handle: int, cluster: int, proc: int) -> None:
        """Wait for this pidfd as well."""
        with self._turns:
            self._who[handle] = (cluster, proc)
            self._epoll.register(handle, select.EPOLLIN)

    def discard(self, handle: int) -> None:
        """Stop waiting for it; call before it is closed."""
        with self._turns:
            if self._who.pop(handle, None) is not None:
                self._epoll.unregister(handle)

    def poll(self) -> dict[int, list[int]]:
        """Procs that have ended and were not discarded since, by cluster; at most 1000."""
        ended: dict[int, list[int]] = {}
        with self._turns:
            for handle, _ in self._epoll.poll(0, 1000):
                cluster, proc = self._who[handle]
                ended.setdefault(cluster, []).append(proc)
        return ended

    def close(self) -> None:
        self._epoll.close()
