"""How is a cluster submitted exactly once? Its folder first, then the schedd, then its number; in doubt the schedd is asked.

A folder without a number is in doubt: an answer was lost, or the agent died. Before anything is submitted again, the queue, the cluster's
own log and the history are asked, in this order. One in the queue is certain to exist; log and history know those that have left it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread
import msgspec
import structlog

from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.htcondor.bindings import check_expression
from muster.site.adapters.htcondor.describe import Files, Policy, describe
from muster.site.adapters.htcondor.folder import ClusterFile, PlacedFile, PoolFolder, TaskforceFolder, Workers
from muster.site.adapters.htcondor.lacking import (
    explain_lacking,
    find_wanted,
    hold_lacking,
    list_lacking,
    make_again,
    release_lacking,
)
from muster.site.adapters.htcondor.queue import QueuedCluster, find_ended, list_tagged, name_cluster
from muster.site.adapters.htcondor.removing import take_away
from muster.site.adapters.htcondor.schedd import Action, Schedd
from muster.site.adapters.htcondor.worker_logs import LogPlace
from muster.site.ports.pool import ClusterSpec
from muster.worker import crash_points

log = structlog.get_logger("muster.site")

REQUIREMENTS_CHARS_MAX, REQUIREMENTS_DEPTH_MAX = 10_000, 50
DOUBT_S = 1.0
"""Seconds between two looks for a cluster in doubt: a submission whose sender died may still be on its way to the schedd."""


@dataclass(frozen=True)
class Known:
    """One cluster of which there is a folder. `placed`: None: in doubt."""

    folder: TaskforceFolder
    asked: ClusterFile
    placed: PlacedFile | None

    @property
    def log(self) -> Path:
        """Its job event log: in its folder, or where another agent has placed it."""
        return Path(self.asked.log) if self.asked.log else self.folder.log

    @property
    def is_held_whole(self) -> bool:
        """Is HTCondor to make no further procs of it for now?"""
        return bool(self.asked.lacking) or (self.placed is not None and self.placed.is_held_whole)

    async def note(self, placed: PlacedFile) -> Self:
        """The same, with what became of it, durable. Raises UnavailableError."""
        with disk_errors(self.folder.path):
            await anyio.to_thread.run_sync(self.folder.note_placed, placed)
        return replace(self, placed=placed)

    def find_place(self) -> LogPlace | None:
        """Where its logs are; None: it is in doubt."""
        placed = self.placed
        return None if placed is None else LogPlace(self.folder, placed.cluster, self.asked.n_workers, self.log)


class Placing:
    """Submits and finds again.

    Args:
        find_logged: the number of the cluster that the log at a path tells of, if it tells of any.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        schedd: Schedd,
        folder: PoolFolder,
        policy: Policy,
        workers: Workers,
        *,
        find_logged: Callable[[Path, str], int | None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._schedd = schedd
        self._folder = folder
        self._policy = policy
        self._workers = workers
        self._find_logged = find_logged
        self._now = now

    async def make(self, spec: ClusterSpec, tag: str) -> Known:
        """Write down what is to be submitted. Raises RejectedError, ConflictError, UnavailableError."""
        if (fault := judge_requirements(spec.request.requirements)) is not None:
            raise RejectedError(f"condor_requirements {spec.request.requirements[:300]!r}: {fault}")
        schedd = (await self._schedd.identify()).schedd

        def make() -> Known:
            with disk_errors(self._folder.path):
                folder = self._folder.make(spec, tag=tag, schedd=schedd, workers=self._workers, now=self._now())
                return Known(folder, folder.read(), None)

        known = await anyio.to_thread.run_sync(make)
        crash_points.reach("condor.submit.folder")
        return known

    async def submit(self, known: Known, spec: ClusterSpec) -> Known:
        """Hand a cluster to the schedd, and write down its number.

        Raises RejectedError: the schedd refused it, and its folder is gone. Raises UnavailableError: it is in doubt.
        """
        tag, folder = known.asked.tag, known.folder
        files = Files(
            log=folder.log,
            launcher=folder.launcher,
            transferred=folder.list_transferred(known.asked.input_files),
            outputs=folder.outputs,
        )
        try:
            description = describe(spec, self._policy, files, tag=tag)
            with disk_errors(folder.path):
                await anyio.to_thread.run_sync(folder.note_description, description)
            cluster = await self._schedd.submit(description, count=spec.n_workers)
        except RejectedError:
            await self.discard(known)
            raise
        crash_points.reach("condor.submit.sent")
        known = await self._note(known, cluster)
        crash_points.reach("condor.submit.noted")
        return known

    async def settle(self, known: Known) -> Known:
        """Find out whether a cluster in doubt exists; if it does, it has its number now. Raises UnavailableError: still in doubt."""
        cluster = await self._look(known)
        if cluster is None:
            await anyio.sleep(DOUBT_S)
            cluster = await self._look(known)
        return known if cluster is None else await self._note(known, cluster)

    async def _look(self, known: Known) -> int | None:
        tag = known.asked.tag
        if (queued := await self.find_queued(tag)) is not None:
            return queued.cluster
        logged = await anyio.to_thread.run_sync(self._find_logged, known.folder.log, tag)
        if logged is not None:
            return logged
        forgotten = await anyio.to_thread.run_sync(self._folder.list_forgotten, tag)
        return await find_ended(self._schedd, tag, after=known.asked.submitted_after, not_among=forgotten)

    async def find_queued(self, tag: str) -> QueuedCluster | None:
        """The cluster with this tag that is in the queue; the oldest stays if there are several."""
        forgotten = await anyio.to_thread.run_sync(self._folder.list_forgotten, tag)
        queued = [one for one in await list_tagged(self._schedd, tag) if one.cluster not in forgotten]
        oldest = min(queued, key=lambda one: one.cluster, default=None)
        await self.remove_too_many(tag, [one.cluster for one in queued if one is not oldest])
        return oldest

    async def remove_too_many(self, tag: str, clusters: list[int]) -> None:
        """There may be one cluster with a tag, and no more."""
        for cluster in clusters:
            log.error("a second cluster of a taskforce is removed", taskforce=tag, cluster=cluster)
            reason = f"taskforce {tag} has another cluster"
            await self._schedd.act(Action.REMOVE, await name_cluster(self._schedd, cluster, tag), reason=reason)

    async def adopt(self, queued: QueuedCluster) -> Known:
        """Make the folder of a cluster in the queue of which there is none. Raises UnavailableError."""
        wanted = await find_wanted(self._schedd, queued.cluster, queued.tag)
        asked = ClusterFile(
            queued.tag,
            queued.n_workers,
            queued.fence,
            input_files=list(wanted.inputs),
            submitted_after=queued.submitted_at,
            log=queued.log,
            schedd=(await self._schedd.identify()).schedd,
        )

        def adopt() -> Known:
            with disk_errors(self._folder.path):
                folder = self._folder.adopt(
                    asked,
                    PlacedFile(queued.cluster),
                    repair=lambda folder, place: make_again(folder, place, wanted, self._workers),
                )
                if lacking := list_lacking(wanted.of_agent):
                    folder.note_asked(msgspec.structs.replace(asked, lacking=lacking))
                return Known(folder, folder.read(), folder.find_placed())

        log.warning("a cluster without a folder is taken up", taskforce=queued.tag, cluster=queued.cluster)
        known = await anyio.to_thread.run_sync(adopt)
        if known.asked.lacking:
            log.error(explain_lacking(queued.cluster, queued.tag, known.asked.lacking))
        return known

    async def see_to_lacking(self, known: Known) -> Known:
        """Hold those that wait for files that are lost, or let them go on once these are back. Raises UnavailableError."""
        placed = known.placed
        if placed is None or not known.asked.lacking:
            return known
        lacking = await anyio.to_thread.run_sync(list_lacking, known.asked.lacking)
        if lacking:
            await hold_lacking(self._schedd, placed.cluster, known.asked.tag, lacking)
            return known
        await release_lacking(self._schedd, placed.cluster, known.asked.tag, is_held_whole=placed.is_held_whole)
        asked = msgspec.structs.replace(known.asked, lacking=[])

        def note() -> None:
            with disk_errors(known.folder.path):
                known.folder.note_asked(asked)

        await anyio.to_thread.run_sync(note)
        return replace(known, asked=asked)

    async def withdraw(self, known: Known) -> None:
        """Take a cluster back that was just submitted, with its folder. Raises UnavailableError: it is there still."""
        if known.placed is not None:
            await take_away(self._schedd, known.placed.cluster, known.asked.tag, grace_s=0)
        await self.discard(known)

    async def discard(self, known: Known) -> None:
        """Take away the folder of what was not submitted."""

        def discard() -> None:
            with disk_errors(self._folder.path):
                self._folder.discard(known.folder)

        await anyio.to_thread.run_sync(discard)

    async def _note(self, known: Known, cluster: int) -> Known:
        placed = PlacedFile(cluster)

        def note() -> None:
            with disk_errors(known.folder.path):
                known.folder.note_placed(placed)

        with anyio.CancelScope(shield=True):
            try:
                await anyio.to_thread.run_sync(note)
            except UnavailableError as error:  # the disk is full, say: it stays in doubt, and is found again
                raise UnavailableError(f"cluster {cluster} was submitted, and {error}") from error
        return Known(known.folder, known.asked, placed)


def judge_requirements(text: str) -> str | None:
    """Why a user's text cannot be the requirements of workers; None: it can. An empty one is none."""
    if len(text) > REQUIREMENTS_CHARS_MAX:
        return f"it has {len(text)} characters; {REQUIREMENTS_CHARS_MAX} are allowed"
    depth = deepest = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        deepest = max(deepest, depth)
    if deepest > REQUIREMENTS_DEPTH_MAX:  # whoever reads it, HTCondor too, calls itself for each
        return f"its parentheses are nested {deepest} deep; {REQUIREMENTS_DEPTH_MAX} are allowed"
    fault = check_expression(text) if text else None
    return None if fault is None else f"HTCondor says: {fault}"
