"""How is an HTCondor access point a pool? Clusters are submitted to its schedd, and what became of them stands in their job event logs.

A cluster has a folder and a log of its own. What the log says is what is known; the queue is asked where nothing may be missed: whether a
cluster in doubt exists, whether one that seems over has left, which procs are held, and now and then whether the log told everything.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread
import msgspec

from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.domain.worker_order import OrderAction, WorkerLog
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.htcondor.duties import Duties
from muster.site.adapters.htcondor.elsewhere import Elsewhere, NumberTakenError
from muster.site.adapters.htcondor.explain import Explainer
from muster.site.adapters.htcondor.folder import PlacedFile, PoolFolder
from muster.site.adapters.htcondor.held import GivenUp, HeldProcs
from muster.site.adapters.htcondor.keeping import Tidier
from muster.site.adapters.htcondor.logs import Logs
from muster.site.adapters.htcondor.pausing import pause, resume
from muster.site.adapters.htcondor.placing import Known, Placing
from muster.site.adapters.htcondor.queue import has_cluster, list_clusters
from muster.site.adapters.htcondor.removing import take_away
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Schedd
from muster.site.adapters.htcondor.singles import Singles
from muster.site.adapters.htcondor.troubles import tell_troubles
from muster.site.adapters.htcondor.truth import Rounds, compare
from muster.site.ports.pool import ClusterSpec, Description, Observation, Placed
from muster.worker import crash_points

LOOK_S = 0.2
"""Seconds between two looks at the logs."""
FRESH_S = 0.5
"""Seconds for which what the last look at all logs found is good enough for who observes one cluster."""
VERIFY_S = 1.0
"""Seconds between two looks whether a cluster that seems over has left the queue."""


class CondorPool:
    """Clusters of one schedd. Make it with `open`; one at a time for a folder."""

    def __init__(self, folder: Path, schedd: Schedd, rules: Rules, *, now: Callable[[], float] = time.time) -> None:
        self._folder = PoolFolder(folder)
        self._schedd = schedd
        self._rules = rules
        self._now = now
        self._logs = Logs()
        self._placing = Placing(
            schedd, self._folder, rules.policy, rules.workers, find_logged=self._logs.find_logged, now=now
        )
        self._held = HeldProcs(schedd, rules.holds)
        self._tidier = Tidier(self._folder, rules.keeping, now=now)
        self._elsewhere = Elsewhere(schedd)
        self._singles = Singles(schedd, self._folder, self._elsewhere)
        self._explainer = Explainer(schedd, rules.policy, now=now)
        self._known: dict[str, Known] = {}  # by tag
        self._tags: dict[int, str] = {}
        self._turns: dict[str, anyio.Lock] = {}
        self._changed: set[int] = set()
        self._verified_at: dict[int, float] = {}
        self._rounds = Rounds(rules.truth_s)
        self._polled_at = -math.inf
        self._is_resumed = False
        self._given_up: list[GivenUp] = []  # not noted yet
        self.damaged: Sequence[Path] = ()

    @classmethod
    async def open(cls, folder: Path, schedd: Schedd, rules: Rules) -> Self:
        """Take over what is in the folder; the schedd need not answer. `damaged` then names what was moved aside."""
        pool = cls(folder, schedd, rules)

        def take_over() -> list[Known]:
            with disk_errors(folder):
                found, pool.damaged = pool._folder.open()
                known = [Known(one, one.read(), one.find_placed()) for one in found]
                for one in known:
                    if one.placed is not None:
                        pool._follow(one)
            return known

        for known in await anyio.to_thread.run_sync(take_over):
            pool._keep(known)
        return pool

    async def close(self) -> None:
        """Write down how far the logs were read, and let go of everything. Nothing in the pool is touched."""
        await anyio.to_thread.run_sync(self._logs.close)

    # -- the port ----------------------------------------------------------------------------------------------------

    async def submit(self, spec: ClusterSpec, *, tag: str) -> int:
        """See `Pool.submit`. What is known by now to be in doubt, and not to exist, is made anew."""
        async with self._turn(tag):
            if (known := self._known.get(tag)) is not None:
                if known.placed is not None:
                    raise ConflictError(f"cluster {tag} exists")
                await self._elsewhere.check(known)
                await self._placing.discard(known)
                del self._known[tag]
            known = self._known[tag] = await self._placing.make(spec, tag)
            try:
                known = await self._placing.submit(known, spec)
            except RejectedError:
                del self._known[tag]
                raise
            try:
                return await self._begin(known)
            except NumberTakenError:  # the next one is another
                await self._placing.withdraw(known)
                del self._known[tag]
                raise

    async def find(self, tag: str) -> int | None:
        async with self._turn(tag):
            known = self._known.get(tag)
            if known is None:
                return await self._adopt_by_tag(tag)
            if known.placed is None:
                await self._elsewhere.check(known)
                known = self._known[tag] = await self._placing.settle(known)
                if known.placed is None:
                    return None
                await self._begin(known)
            self._check_number(known)
            return known.placed.cluster

    async def describe(self, cluster: int) -> Description:
        known = self._get(cluster)
        with disk_errors(known.folder.path):
            submitted = await anyio.to_thread.run_sync(known.folder.read_description)
        return Description(submitted, str(known.log))

    async def list_placed(self) -> Sequence[Placed]:
        queued = await list_clusters(self._schedd, agent=self._rules.policy.agent)
        for one in queued:
            if one.cluster in self._tags:
                continue
            async with self._turn(one.tag):
                known = self._known.get(one.tag)
                if known is None:
                    await self._adopt_by_tag(one.tag)
                elif (
                    known.placed is not None
                    and known.placed.cluster != one.cluster
                    and not await self._elsewhere.has(known)
                ):
                    await self._placing.remove_too_many(one.tag, [one.cluster])
        for tag in [tag for tag, known in self._known.items() if known.placed is None]:
            await self._clear_doubt(tag)
        return [
            Placed(known.asked.tag, known.placed.cluster, known.asked.n_workers, known.asked.fence)
            for known in self._known.values()
            if known.placed is not None
        ]

    async def observe(self, cluster: int) -> Observation:
        known = self._get(cluster)
        is_stale = anyio.current_time() - self._polled_at > FRESH_S
        if is_stale and await anyio.to_thread.run_sync(self._logs.read, cluster):
            self._changed.add(cluster)  # whoever waits for a change hears of this one, too
        return self._see(known)

    async def explain(self, cluster: int) -> Sequence[str]:
        known = self._get(cluster)
        if (sentence := await self._elsewhere.explain([known])) is not None:
            return [sentence]
        return await self._explainer.explain(cluster, self._logs.report(cluster), n_workers=known.asked.n_workers)

    async def wait_for_change(self, *, timeout_s: float) -> frozenset[int]:
        with anyio.move_on_after(timeout_s):
            while True:
                with anyio.CancelScope(shield=True):  # what was read must not get lost
                    found = await anyio.to_thread.run_sync(self._logs.poll)
                    self._polled_at = anyio.current_time()
                    self._changed.update(number for number in found if number in self._tags)
                if self._changed:
                    break
                await anyio.sleep(LOOK_S)
        changed, self._changed = frozenset(self._changed), set()
        return changed

    async def tend(self) -> None:
        """See to held procs, to clusters that seem over, and, now and then, to the whole truth; also to what is kept."""
        duties = Duties()
        await duties.do(self._resume, self._tend_held)
        await duties.do(*(partial(self._verify, cluster) for cluster in self._logs.list_over()))
        await duties.do(self._compare, self._tidier.run_if_due)
        await duties.do(lambda: tell_troubles(list(self._known.values()), self._elsewhere))
        duties.tell()

    async def _resume(self) -> None:
        if not self._is_resumed:
            kept = [one.placed.cluster for one in self._known.values() if one.placed and one.is_held_whole]
            self._is_resumed = await resume(self._schedd, self._rules.policy.agent, kept=kept)

    async def _tend_held(self) -> None:
        held = [one for one in self._logs.list_holding() if one in self._tags]
        holding = [one for one in held if not await self._elsewhere.has(self._get(one))]
        self._given_up += await self._held.tend({one: self._get(one).asked.n_workers for one in holding})
        while self._given_up:
            await self._note_given_up(self._given_up[0])
            del self._given_up[0]  # noted: where the disk is full it is tried again

    async def act(self, cluster: int, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
        async with self._turn(self._get(cluster).asked.tag):
            known = self._get(cluster)
            if not procs and known.placed is not None and action is not OrderAction.REMOVE:
                placed = msgspec.structs.replace(known.placed, is_held_whole=action is OrderAction.HOLD)
                known = await self._note(known, placed)
            done = await self._singles.act(known, action, procs, reason=reason)
        self._changed.add(cluster)
        return done

    async def read_logs(self, tag: str, proc: int) -> Sequence[WorkerLog]:
        return await self._singles.read_logs(self._known.get(tag), tag, proc)

    async def remove(self, cluster: int, *, grace_s: float) -> None:
        if cluster not in self._tags:
            return
        known = self._get(cluster)
        async with self._turn(known.asked.tag):
            placed = known.placed
            if placed is None or placed.gone_at is not None:
                return
            await self._elsewhere.check(known)
            if not placed.is_removing:
                known = await self._note(known, msgspec.structs.replace(placed, is_removing=True))
            try:
                await take_away(self._schedd, cluster, known.asked.tag, grace_s=grace_s)
            except RejectedError:
                await self._note(known, placed)  # it stays, and is watched on
                raise
            crash_points.reach("condor.remove.gone")
            await self._note_gone(known, cluster)
        self._changed.add(cluster)

    async def forget(self, cluster: int) -> None:
        if cluster not in self._tags:
            return
        known = self._get(cluster)
        async with self._turn(known.asked.tag):
            if known.placed is None or known.placed.gone_at is None:
                raise ConflictError(f"cluster {cluster} has procs left: remove it first")

            def drop() -> None:
                with disk_errors(self._folder.path):
                    self._folder.forget(known.folder, cluster)
                self._logs.drop(cluster)

            await anyio.to_thread.run_sync(drop)
            del self._known[known.asked.tag], self._tags[cluster]  # its turn stays: others may wait for it
            self._verified_at.pop(cluster, None)
            self._changed.discard(cluster)

    async def pause(self, *, grace_s: float) -> None:
        """See `Pool.pause`. The next pool's first looks release them."""
        await pause(self._schedd, self._rules.policy.agent, grace_s=grace_s)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _turn(self, tag: str) -> anyio.Lock:
        return self._turns.setdefault(tag, anyio.Lock())

    def _get(self, cluster: int) -> Known:
        if (tag := self._tags.get(cluster)) is None:
            raise NotFoundError(f"cluster {cluster} does not exist here")
        return self._known[tag]

    def _keep(self, known: Known) -> None:
        self._known[known.asked.tag] = known
        if known.placed is not None:
            self._tags.setdefault(known.placed.cluster, known.asked.tag)
            self._changed.add(known.placed.cluster)

    async def _begin(self, known: Known) -> int:
        """A cluster has a number: follow its log."""
        if known.placed is None:
            raise ValueError(f"cluster {known.asked.tag} is in doubt")
        cluster = known.placed.cluster
        self._check_number(known)
        await anyio.to_thread.run_sync(self._follow, known)
        self._keep(known)
        return cluster

    def _check_number(self, known: Known) -> None:
        """Raises NumberTakenError where another has the number: one of another schedd, which numbers its own clusters."""
        number = known.placed.cluster if known.placed else 0
        if (other := self._tags.get(number, known.asked.tag)) != known.asked.tag:
            raise NumberTakenError(f"cluster {number} is of another taskforce here, {other}, which another schedd has")

    async def _clear_doubt(self, tag: str) -> None:
        """Of a cluster in doubt nobody may ask again: it is there, or its folder goes, with the secret in it."""
        async with self._turn(tag):
            known = self._known.get(tag)
            if known is None or known.placed is not None or await self._elsewhere.has(known):
                return
            known = self._known[tag] = await self._placing.settle(known)
            if known.placed is not None:
                await self._begin(known)
            else:
                await self._placing.discard(known)
                del self._known[tag]

    def _follow(self, known: Known) -> None:
        if known.placed is not None:
            checkpoint, n_workers = known.folder.checkpoint, known.asked.n_workers
            self._logs.follow(known.placed.cluster, known.log, checkpoint=checkpoint, n_workers=n_workers)

    async def _adopt_by_tag(self, tag: str) -> int | None:
        """Take up a cluster in the queue of which there is no folder: it was lost, or another agent has placed it."""
        queued = await self._placing.find_queued(tag)
        if queued is None:
            return None
        if queued.cluster in self._tags:
            raise NumberTakenError(f"cluster {queued.cluster} has the number of another schedd's here")
        cluster = await self._begin(await self._placing.adopt(queued))
        self._known[tag] = await self._placing.see_to_lacking(self._known[tag])
        return cluster

    def _see(self, known: Known) -> Observation:
        placed = known.placed
        if placed is None:
            raise NotFoundError(f"cluster {known.asked.tag} is in doubt")
        return self._logs.observe(
            placed.cluster, n_workers=known.asked.n_workers, gone_at=placed.gone_at, given_up=placed.given_up
        )

    # -- looking -----------------------------------------------------------------------------------------------------

    async def _verify(self, cluster: int) -> None:
        """The log says that every proc has ended: has the cluster left the queue?"""
        now = anyio.current_time()
        if cluster not in self._tags or now < self._verified_at.get(cluster, 0.0):
            return
        known = self._get(cluster)
        placed = known.placed
        if placed is None or placed.gone_at is not None or placed.is_removing or await self._elsewhere.has(known):
            return
        self._verified_at[cluster] = now + VERIFY_S
        is_there = await has_cluster(self._schedd, cluster, known.asked.tag)
        async with self._turn(known.asked.tag):
            if not is_there and self._known.get(known.asked.tag) is known:
                await self._note_gone(known, cluster)
                self._changed.add(cluster)

    async def _compare(self) -> None:
        """Events do get lost: see, one cluster after the other, what queue and history say of those that are not over."""
        for tag in self._rounds.take_due(self._known):
            if self._turn(tag).locked():  # being placed, or removed, which may take long
                continue
            async with self._turn(tag):
                known = self._known.get(tag)
                placed = None if known is None else known.placed
                if known is None or placed is None or placed.gone_at is not None or placed.is_removing:
                    continue
                known = self._known[tag] = await self._elsewhere.bring_home(known)
                if await self._elsewhere.has(known):
                    continue
                known = self._known[tag] = await self._placing.see_to_lacking(known)
                outcome = await compare(self._schedd, self._logs, placed.cluster, tag, n_workers=known.asked.n_workers)
                if outcome.is_changed:
                    self._changed.add(placed.cluster)
                if outcome.is_gone:
                    await self._note_gone(known, placed.cluster)
                    self._changed.add(placed.cluster)

    async def _note_gone(self, known: Known, cluster: int) -> None:
        """Nothing of it is in the queue: what its log does not know of its procs' ends, the history may."""
        await compare(self._schedd, self._logs, cluster, known.asked.tag, n_workers=known.asked.n_workers)
        await anyio.to_thread.run_sync(self._logs.settle, cluster)
        ended_at = self._logs.find_end(cluster) or self._now()
        placed = known.placed or PlacedFile(cluster)
        await self._note(known, msgspec.structs.replace(placed, gone_at=ended_at))

    async def _note_given_up(self, given_up: GivenUp) -> None:
        if given_up.cluster not in self._tags:
            return
        async with self._turn(self._tags[given_up.cluster]):
            if given_up.cluster not in self._tags:
                return
            known = self._get(given_up.cluster)
            if known.placed is not None:
                errors = Counter(known.placed.given_up)
                errors.update(given_up.errors)
                await self._note(known, msgspec.structs.replace(known.placed, given_up=dict(errors)))
                self._changed.add(given_up.cluster)

    async def _note(self, known: Known, placed: PlacedFile) -> Known:
        known = self._known[known.asked.tag] = await known.note(placed)
        return known
