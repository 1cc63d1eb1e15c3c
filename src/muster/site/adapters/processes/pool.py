"""How can one machine be a pool? Workers are its processes; they outlive the agent, and the next one takes them over."""

import select
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

import anyio
import anyio.to_thread

from muster.domain.errors import ConflictError, NotFoundError, UnavailableError
from muster.domain.worker_order import OrderAction, WorkerLog
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.processes.cluster import LocalCluster
from muster.site.adapters.processes.exits import Exits
from muster.site.adapters.processes.folder import ClusterFile, ClusterFolder, PoolFolder
from muster.site.adapters.processes.orders import act
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.ports.pool import ClusterSpec, Description, Observation, Placed
from muster.worker import crash_points

T = TypeVar("T")

NET_S = 1.0
"""Seconds after which due starts are looked for, even if nothing ended."""
LOOK_S = 0.02
"""Seconds between two looks at workers that were asked to end."""


class ProcessPool:
    """Clusters of local processes under one folder. Make it with `open`; one at a time for a folder."""

    def __init__(self, folder: Path, settings: WorkerSettings) -> None:
        self._folder = PoolFolder(folder)
        self._settings = settings
        self._exits = Exits()
        self._clusters: dict[int, LocalCluster] = {}
        self._tags: dict[str, int] = {}
        self._turns: dict[int, anyio.Lock] = {}
        self._changed: set[int] = set()
        self._making = anyio.Lock()
        self.damaged: Sequence[Path] = ()

    @classmethod
    async def open(cls, folder: Path, settings: WorkerSettings) -> Self:
        """Take over what is in the folder. Nothing is started before the first `wait_for_change`.

        `damaged` then names clusters that could not be read and were moved aside.
        """
        pool = cls(folder, settings)

        def take_over() -> list[LocalCluster]:
            with disk_errors(folder):
                found, pool.damaged = pool._folder.open()
                clusters = [pool._make_cluster(one, one.read()) for one in found]
                for cluster in clusters:
                    cluster.take_over()
            return clusters

        for cluster in await anyio.to_thread.run_sync(take_over):
            pool._add(cluster)
        return pool

    def close(self) -> None:
        """Let go of every worker without touching it."""
        for cluster in self._clusters.values():
            cluster.drop_handles()
        self._exits.close()

    # -- the port ----------------------------------------------------------------------------------------------------

    async def submit(self, spec: ClusterSpec, *, tag: str) -> int:
        """See `Pool.submit`. Workers for which there is no room now are started later."""
        async with self._making:
            if tag in self._tags:
                raise ConflictError(f"cluster {tag} exists")

            def make() -> tuple[ClusterFolder, ClusterFile]:
                with disk_errors(self._folder.path):
                    return self._folder.make(spec, tag=tag, inputs=self._settings.inputs)

            cluster = self._make_cluster(*await anyio.to_thread.run_sync(make))
            cluster.begin()
            self._add(cluster)
        crash_points.reach("pool.submit.directory")
        await self._with_turn(cluster, cluster.start_due)
        return cluster.asked.cluster

    async def find(self, tag: str) -> int | None:
        return self._tags.get(tag)

    async def tend(self) -> None:
        """Whoever waits for a change sees to everything here: nothing of it takes long."""

    async def describe(self, cluster: int) -> Description:
        if cluster not in self._clusters:
            raise NotFoundError(f"cluster {cluster} does not exist here")
        return Description()

    async def list_placed(self) -> Sequence[Placed]:
        files = [cluster.asked for cluster in self._clusters.values()]
        return [Placed(one.tag, one.cluster, one.n_workers, one.fence) for one in files]

    async def observe(self, cluster: int) -> Observation:
        if (found := self._clusters.get(cluster)) is None:
            raise NotFoundError(f"cluster {cluster} does not exist here")
        return found.observe()

    async def explain(self, cluster: int) -> Sequence[str]:
        if cluster not in self._clusters:
            raise NotFoundError(f"cluster {cluster} does not exist here")
        return ()  # what keeps a process from starting is its error, which `observe` tells

    async def wait_for_change(self, *, timeout_s: float) -> frozenset[int]:
        with anyio.move_on_after(timeout_s):
            while True:
                with anyio.CancelScope(shield=True):  # an exit that was taken note of must not get lost
                    await self._tend()
                if self._changed:
                    break
                with anyio.move_on_after(self._time_to_next_start()):
                    await anyio.wait_readable(self._exits.fileno())
        changed, self._changed = frozenset(self._changed), set()
        return changed

    async def act(self, cluster: int, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
        if (found := self._clusters.get(cluster)) is None:
            raise NotFoundError(f"cluster {cluster} does not exist here")
        if found.is_removing:
            raise ConflictError(f"cluster {cluster} is being removed")
        done = await self._with_turn(found, partial(act, found, action, procs, reason=reason))
        self._changed.add(cluster)
        return done

    async def read_logs(self, tag: str, proc: int) -> Sequence[WorkerLog]:
        def read() -> Sequence[WorkerLog]:
            with disk_errors(self._folder.path):
                return self._folder.read_logs(tag, proc)

        return await anyio.to_thread.run_sync(read)

    async def remove(self, cluster: int, *, grace_s: float) -> None:
        if (found := self._clusters.get(cluster)) is None:
            return
        await self._with_turn(found, found.begin_removal)
        if grace_s > 0:
            await self._with_turn(found, found.ask_to_end)
            await self._await_ends([found], grace_s)
        await self._with_turn(found, found.kill_all)
        await self._with_turn(found, found.note_removed)
        self._changed.add(cluster)

    async def forget(self, cluster: int) -> None:
        if (found := self._clusters.get(cluster)) is None:
            return
        if found.observe().n_left:
            raise ConflictError(f"cluster {cluster} has procs left: remove it first")

        def drop() -> None:
            self._folder.drop(found.folder)

        await self._with_turn(found, drop)
        del self._clusters[cluster], self._turns[cluster]
        self._tags.pop(found.asked.tag)
        self._changed.discard(cluster)

    async def pause(self, *, grace_s: float) -> None:
        """See `Pool.pause`; what could not be written down is named, too."""
        clusters = [one for one in self._clusters.values() if one.observe().n_left]
        failures: list[UnavailableError] = []

        async def do(cluster: LocalCluster, *works: Callable[[], None]) -> None:
            for work in works:
                try:
                    await self._with_turn(cluster, work)
                except (
                    UnavailableError
                ) as error:  # whatever could not be done or written down: all workers are still to be stopped
                    failures.append(error)

        for cluster in clusters:
            await do(cluster, cluster.begin_pause, cluster.ask_to_end)
        await self._await_ends(clusters, grace_s)
        for cluster in clusters:
            await do(cluster, cluster.kill_all, cluster.note_paused)
        if failures:
            raise UnavailableError("; ".join(map(str, failures)))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _make_cluster(self, folder: ClusterFolder, asked: ClusterFile) -> LocalCluster:
        return LocalCluster(folder, asked, self._settings, self._exits)

    def _add(self, cluster: LocalCluster) -> None:
        number = cluster.asked.cluster
        self._clusters[number] = cluster
        self._turns[number] = anyio.Lock()
        self._tags[cluster.asked.tag] = number
        self._changed.add(number)

    async def _with_turn(self, cluster: LocalCluster, work: Callable[[], T]) -> T:
        """Run blocking work on a cluster in a thread; one at a time for each."""

        def run() -> T:
            with disk_errors(cluster.folder.path):
                return work()

        async with self._turns[cluster.asked.cluster]:
            return await anyio.to_thread.run_sync(run)

    async def _tend(self) -> None:
        """Take note of workers that have ended, and start those that are due.

        Raises UnavailableError for the first cluster in trouble, when all were looked at.
        """
        troubles: list[UnavailableError] = []

        async def do(cluster: LocalCluster, work: Callable[[], None]) -> None:
            self._changed.add(cluster.asked.cluster)
            try:
                await self._with_turn(cluster, work)
            except UnavailableError as error:
                troubles.append(error)

        for number, procs in self._exits.poll().items():
            if (cluster := self._clusters.get(number)) is not None:
                await do(cluster, partial(cluster.collect, [cluster.workers[proc] for proc in procs]))
        now = time.monotonic()
        for cluster in list(self._clusters.values()):
            due = cluster.next_due()
            if due is not None and due <= now:
                await do(cluster, cluster.start_due)
        if troubles:
            raise troubles[0]

    def _time_to_next_start(self) -> float:
        dues = [due for cluster in self._clusters.values() if (due := cluster.next_due()) is not None]
        return min([NET_S, *(max(0.0, due - time.monotonic()) for due in dues)])

    async def _await_ends(self, clusters: Sequence[LocalCluster], grace_s: float) -> None:
        """Wait until every worker of these has ended, at most `grace_s` seconds."""
        with anyio.move_on_after(grace_s):
            while any(_is_any_running(cluster) for cluster in clusters):  # noqa: ASYNC110  # processes ring no bell
                await anyio.sleep(LOOK_S)


def _is_any_running(cluster: LocalCluster) -> bool:
    handles = cluster.running()
    poll = select.poll()
    for handle in handles:
        poll.register(handle, select.POLLIN)
    return len(poll.poll(0)) < len(handles)
