"""Who sees each taskforce through its life? One task a taskforce, so that a stuck one keeps nobody else waiting."""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from muster.client.shapes.sites import Claims, Expected, StartOrder, StopOrder
from muster.domain.backoff import next_delay
from muster.domain.errors import MusterError
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.journal import Record, Stage
from muster.site.services.advance import advance, advance_lost
from muster.site.services.claim_and_start import accept_start
from muster.site.services.parts import Parts
from muster.site.services.reconcile import find_expected
from muster.site.services.stop import accept_stop

log = structlog.get_logger("muster.site")

STARTS_AT_ONCE = 8
RETRY_FIRST_S = 0.2
RETRY_DELAY_S_MAX = 15.0
_ON_THE_WAY_OUT = (Stage.STOPPING, Stage.ENDED)
"""What is to be done then is the same whoever has the claim."""
LOST_LOOK_S = 5.0
"""Seconds between two looks at a taskforce whose claim is another's, and whose cluster is here."""


@dataclass
class Kept:
    """One taskforce in hand.

    Args:
        start, stop: the newest orders, not yet written down.
        expected: the service thinks that it is here, and that was not looked into yet.
        is_news_of_loss: the service said that the claim is lost, and nothing was done about it yet.
        is_lost: the claim is not ours: it is not asked to be renewed, so that the service may give it again.
        is_renewed: the claim was in force since this agent began.
        told_stage: what was logged last.
    """

    record: Record | None = None
    start: StartOrder | None = None
    stop: StopOrder | None = None
    expected: Expected | None = None
    is_news_of_loss: bool = False
    is_lost: bool = False
    is_renewed: bool = False
    told_stage: str = ""
    bell: anyio.Event = field(default_factory=anyio.Event)

    def has_nothing_left(self) -> bool:
        return self.record is None and self.start is None and self.stop is None and self.expected is None


class TaskforceKeeper:
    """Keeps every taskforce of this agent going: orders in, steps done, troubles retried."""

    def __init__(self, parts: Parts, trouble: TroubleLog) -> None:
        self._parts = parts
        self._trouble = trouble
        self._kept: dict[str, Kept] = {}
        self._starting = anyio.CapacityLimiter(STARTS_AT_ONCE)
        self._tasks: TaskGroup | None = None

    async def run(
        self, records: Iterable[Record], *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep what the journal remembers, and whatever is taken up later, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            for record in records:
                self.take_up(record)
            task_status.started()
            await anyio.sleep_forever()

    # -- what others tell and ask ------------------------------------------------------------------------------------

    def __contains__(self, taskforce_uuid: object) -> bool:
        return taskforce_uuid in self._kept

    def held(self) -> list[str]:
        """Taskforces whose claims are to be renewed."""
        return [uuid for uuid, kept in self._kept.items() if not kept.is_lost]

    def watched(self) -> Mapping[str, int]:
        """Clusters of the taskforces that run, by uuid."""
        return {
            uuid: kept.record.cluster
            for uuid, kept in self._kept.items()
            if kept.record is not None and kept.record.stage is Stage.CONFIRMED and kept.record.cluster is not None
        }

    def list_records(self) -> list[Record]:
        """Of everything in hand that is written down."""
        return [kept.record for kept in self._kept.values() if kept.record is not None]

    def take_up(self, record: Record) -> None:
        """Keep a taskforce from its record on, unless it is kept already."""
        if record.taskforce_uuid not in self._kept:
            self._keep(record.taskforce_uuid).record = record

    def take(self, claims: Claims, *, renewed: Iterable[str]) -> bool:
        """Take what a claim brought; `renewed`: what it asked to renew. True if there was any news."""
        for start in claims.start:
            kept = self._keep(start.taskforce_uuid)
            kept.start, kept.is_renewed = start, True
            kept.bell.set()
        for stop in claims.stop:
            kept = self._keep(stop.taskforce_uuid)
            kept.stop, kept.is_renewed = stop, True
            kept.bell.set()
        for expected in claims.expected:
            if expected.taskforce_uuid not in self._kept:  # else it is in hand, and was not yet when we asked
                kept = self._keep(expected.taskforce_uuid)
                kept.expected, kept.is_renewed = expected, True
        self.tell_lost(claims.lost)
        for uuid in set(renewed).difference(claims.lost):
            if (known := self._kept.get(uuid)) is not None and not known.is_renewed:
                known.is_renewed = True
                known.bell.set()
        return bool(claims.start or claims.stop or claims.lost or claims.expected)

    def tell_lost(self, taskforce_uuids: Iterable[str]) -> None:
        """The service says that these are not ours, or not any more."""
        for uuid in taskforce_uuids:
            if (kept := self._kept.get(uuid)) is not None:
                kept.is_news_of_loss = True
                kept.bell.set()

    def tell_changed(self, clusters: Iterable[int]) -> None:
        """The pool says that something happened to these clusters."""
        changed = frozenset(clusters)
        for kept in self._kept.values():
            record = kept.record
            if record is not None and record.stage is Stage.CONFIRMED and record.cluster in changed:
                kept.bell.set()

    # -- one taskforce -----------------------------------------------------------------------------------------------

    def _keep(self, uuid: str) -> Kept:
        if (kept := self._kept.get(uuid)) is None:
            if self._tasks is None:
                raise RuntimeError("the keeper does not run yet")
            kept = self._kept[uuid] = Kept()
            self._tasks.start_soon(self._see_through, uuid, kept, name=f"keep {uuid}")
        return kept

    async def _see_through(self, uuid: str, kept: Kept) -> None:
        failures = 0
        while not kept.has_nothing_left():
            kept.bell = anyio.Event()
            try:
                wait_s = await self._pass(uuid, kept)
                failures = 0
            except MusterError as error:  # whatever it is, it is this taskforce's trouble alone
                failures += 1
                self._trouble.tell(f"taskforce {uuid}", error)
                wait_s = next_delay(
                    failures, first_s=RETRY_FIRST_S, delay_s_max=RETRY_DELAY_S_MAX, jitter=random.random()
                )
            if wait_s > 0 and not kept.has_nothing_left():
                with anyio.move_on_after(wait_s):
                    await kept.bell.wait()
        del self._kept[uuid]

    async def _pass(self, uuid: str, kept: Kept) -> float:
        """Take in what was told, then do one step. Returns the seconds until the next pass, if no bell rings before."""
        await self._take_in(kept)
        self._tell_stage(uuid, kept)
        before = kept.record
        if before is None:
            return 0
        is_lost_now = kept.is_news_of_loss
        if is_lost_now and before.stage not in _ON_THE_WAY_OUT:
            step = await advance_lost(self._parts, before)
        elif before.stage is Stage.INTENDED:
            if not kept.is_renewed:
                return math.inf  # another agent may have it by now: the next claim tells
            async with self._starting:
                step = await advance(self._parts, before)
        else:
            step = await advance(self._parts, before)
        if not step.may_follow(before):
            raise RuntimeError(f"taskforce {uuid} went from {before.stage} to {step.record}")
        after = kept.record = step.record
        kept.is_news_of_loss = False
        kept.is_lost = step.is_lost or is_lost_now or (kept.is_lost and after == before)
        self._tell_stage(uuid, kept)
        if step.is_lost and after is not None and after.stage is Stage.SUBMITTED:
            return LOST_LOOK_S
        return math.inf if after == before and not is_lost_now else 0

    def _tell_stage(self, uuid: str, kept: Kept) -> None:
        stage = str(kept.record.stage) if kept.record is not None else "forgotten"
        if stage != kept.told_stage:
            kept.told_stage = stage
            log.info("taskforce", taskforce=uuid, stage=stage)

    async def _take_in(self, kept: Kept) -> None:
        """Write down the newest orders. One that cannot be written down stays for the next pass."""
        if (start := kept.start) is not None:
            kept.record = await accept_start(self._parts, kept.record, start)
            if kept.start is start:
                kept.start, kept.is_lost = None, False
        if (stop := kept.stop) is not None:
            kept.record = await accept_stop(self._parts, kept.record, stop)
            if kept.stop is stop:
                kept.stop, kept.is_lost = None, False
        if (expected := kept.expected) is not None:
            if kept.record is None:
                kept.record = await find_expected(self._parts, expected)
            kept.expected = None
