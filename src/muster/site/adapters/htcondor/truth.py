"""Does the log tell everything? Events do get lost; so what it said of a cluster is compared with the queue and the history.

A difference may only be an event that is on its way: what the queue says counts when it has said so for a while (`logs.SETTLED_S`).
Source: htcondor-notes.md 7.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import anyio
import anyio.to_thread

from muster.site.adapters.htcondor.logs import Logs
from muster.site.adapters.htcondor.queue import ProcAd, has_cluster, list_ended_procs, list_procs
from muster.site.adapters.htcondor.schedd import Schedd

COMPARE_S = 0.5
"""Seconds of a call that may go to comparing: with many clusters it is spread over many calls."""


class Rounds:
    """Of which clusters is it time to see whether their logs told everything? All of them once in `interval_s` seconds, some at a call."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._from = -math.inf
        self._left: deque[str] = deque()

    def take_due(self, tags: Iterable[str]) -> Iterator[str]:
        """Those that are due, as long as there is time. `tags`: of all."""
        until = anyio.current_time() + COMPARE_S
        if not self._left and anyio.current_time() >= self._from:
            self._from = anyio.current_time() + self._interval_s
            self._left.extend(tags)
        while self._left and anyio.current_time() < until:
            yield self._left.popleft()


@dataclass(frozen=True)
class Outcome:
    """What a comparison led to. `is_gone`: nothing of the cluster is in the queue."""

    is_changed: bool
    is_gone: bool


async def compare(schedd: Schedd, logs: Logs, cluster: int, tag: str, *, n_workers: int) -> Outcome:
    """Correct what the log has not told. Raises UnavailableError: nothing was corrected that is not so."""
    queued = await list_procs(schedd, cluster, tag)
    is_gone = not queued.numbers and not await has_cluster(schedd, cluster, tag)
    is_news = await anyio.to_thread.run_sync(logs.read, cluster)

    def find_missing() -> list[int]:
        left = logs.list_left(cluster, n_workers=n_workers, with_unseen=is_gone)
        return [proc for proc in left if proc not in queued.numbers]

    missing = await anyio.to_thread.run_sync(find_missing)
    ended: Mapping[int, ProcAd] = {}
    if missing:
        ended = {one.proc: one for one in await list_ended_procs(schedd, cluster, tag, match=n_workers)}
    is_changed = await anyio.to_thread.run_sync(logs.correct, cluster, queued, ended, missing if is_gone else [])
    return Outcome(is_changed or is_news, is_gone)
