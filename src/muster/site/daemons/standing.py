"""Who writes down how the agent stands? One loop, at changes and now and then: what it writes last tells when it stopped or stuck."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Never

import anyio
import msgspec
from anyio.abc import TaskStatus

from muster.domain.errors import UnavailableError
from muster.site.daemons.claimer import Claimer
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.reporter import StatusReporter
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.pool import Observation
from muster.site.ports.standing import Standing, StandingFile, TaskforceStanding
from muster.site.services.parts import Parts

LOOK_S = 1.0
"""Seconds between two looks whether anything changed."""
WRITE_S = 5.0
"""Seconds after which it is written although nothing changed."""


@dataclass(frozen=True)
class Daemons:
    """Whom it asks."""

    keeper: TaskforceKeeper
    claimer: Claimer
    reporter: StatusReporter
    trouble: TroubleLog


class StandingWriter:
    """Writes down how the agent stands.

    Args:
        pool, url, locations, version: as they are shown.
    """

    def __init__(
        self,
        parts: Parts,
        daemons: Daemons,
        file: StandingFile,
        *,
        pool: str,
        url: str,
        locations: Sequence[str],
        version: str,
    ) -> None:
        self._parts = parts
        self._daemons = daemons
        self._file = file
        now = parts.now()
        self._blank = Standing(
            agent=parts.agent,
            version=version,
            pid=os.getpid(),
            pool=pool,
            url=url,
            locations=[*locations],
            started_at=now,
            written_at=now,
            claimed_at=None,
            reported_at=None,
            troubles=[],
            taskforces=[],
        )
        self._written: tuple[object, ...] | None = None
        self._due_at = float("-inf")
        self._ahead_s = 0.0  # of the time of day before the clock that only counts on, when it was written

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except UnavailableError as error:
                self._daemons.trouble.tell("writing down how the agent stands", error)
            await anyio.sleep(LOOK_S)

    async def run_once(self) -> None:
        """Write it, if anything changed, or it is time."""
        standing = self._look()
        told = (standing.taskforces, standing.claimed_at is None, [(one.doing, one.error) for one in standing.troubles])
        ahead_s = standing.written_at - anyio.current_time()
        is_set = abs(ahead_s - self._ahead_s) > WRITE_S  # then what was written seems to be old, or of the future
        if told == self._written and anyio.current_time() < self._due_at and not is_set:
            return
        await self._file.write(standing)
        self._written, self._due_at, self._ahead_s = told, anyio.current_time() + WRITE_S, ahead_s

    def _look(self) -> Standing:
        asked = self._daemons
        now = self._parts.now()
        return msgspec.structs.replace(
            self._blank,
            written_at=now,
            claimed_at=asked.claimer.claimed_at,
            reported_at=asked.reporter.reported_at,
            troubles=asked.trouble.list_recent(now),
            taskforces=list_taskforces(asked.keeper, asked.reporter.seen),
        )


def list_taskforces(keeper: TaskforceKeeper, seen: Mapping[str, Observation]) -> list[TaskforceStanding]:
    """Those in hand, by uuid, with what was last seen of them."""
    return [
        TaskforceStanding(
            record.taskforce_uuid,
            str(record.stage),
            record.cluster,
            record.n_workers,
            count_states(seen[record.taskforce_uuid]) if record.taskforce_uuid in seen else {},
        )
        for record in sorted(keeper.list_records(), key=lambda one: one.taskforce_uuid)
    ]


def count_states(observation: Observation) -> dict[str, int]:
    """How many procs are in which state, whatever their workers are at."""
    counts: dict[str, int] = {}
    for (state, _), count in observation.counts.items():
        if count:
            counts[str(state)] = counts.get(str(state), 0) + count
    return dict(sorted(counts.items()))
