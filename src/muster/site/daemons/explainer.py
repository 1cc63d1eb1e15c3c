"""How does a user learn why workers wait? The pool is asked, beside the reports of statuses, which wait for nobody."""

from collections.abc import Callable, Mapping
from typing import Never

import anyio
from anyio.abc import TaskStatus

from muster.domain.errors import InvalidError, MusterError, NotFoundError, UnavailableError
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.trouble import TroubleLog
from muster.site.ports.pool import Observation
from muster.site.services.explain_waiting import Reasons, WaitingBook, trim_reasons
from muster.site.services.parts import Parts

LOOK_S = 1.0
"""Seconds between two looks at who waits."""
AT_ONCE = 4
"""Clusters that the pool is asked about at the same time."""
ASKED_MAX = 16
"""Clusters that one pass asks about; the others are asked about in the next one."""
ANSWER_S_MAX = 60.0
"""Seconds after which an answer is not waited for any more."""
TOLD_AGAIN_S = 600.0
"""Seconds after which a service that takes no reasons, since it is older, is told some again."""


class Explainer:
    """Asks why procs that have waited for a while do not run, and tells the service.

    Args:
        find_seen: how the clusters were when they were looked at last, by taskforce.
    """

    def __init__(
        self,
        parts: Parts,
        keeper: TaskforceKeeper,
        trouble: TroubleLog,
        *,
        find_seen: Callable[[], Mapping[str, Observation]],
    ) -> None:
        self._parts = parts
        self._keeper = keeper
        self._trouble = trouble
        self._find_seen = find_seen
        self._book = WaitingBook()
        self._from = float("-inf")

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> Never:
        task_status.started()
        while True:
            try:
                await self.run_once()
            except MusterError as error:  # the next pass tells the same
                self._trouble.tell("telling why workers wait", error)
            await anyio.sleep(LOOK_S)

    async def run_once(self) -> None:
        """Ask about those that are due, and tell what is new of them, and of those that do not wait any more."""
        now, seen = anyio.current_time(), self._find_seen()
        self._book.look(seen, now=now)
        if now < self._from:
            return
        try:
            await self._book.tell(self._parts, dict.fromkeys(self._book.list_over(seen), ()))
            await self._ask(self._book.list_due(now=now, limit=ASKED_MAX))
        except InvalidError:
            self._from = now + TOLD_AGAIN_S

    async def _ask(self, uuids: list[str]) -> None:
        """A bounded number at a time; each answer is told as soon as it is there."""
        watched, waiting = self._keeper.watched(), iter(uuids)
        troubles: list[MusterError] = []

        async def ask_some() -> None:
            for uuid in waiting:  # shared, so that each is asked about once
                if troubles or (cluster := watched.get(uuid)) is None:
                    continue
                self._book.note_asked(uuid, now=anyio.current_time())
                reasons = await self._find_reasons(uuid, cluster)
                if reasons is None:
                    continue
                try:
                    await self._book.tell(self._parts, {uuid: reasons})
                except MusterError as error:
                    troubles.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(AT_ONCE, len(uuids))):
                tasks.start_soon(ask_some)
        if troubles:
            raise troubles[0]  # outside of the task group, which would wrap it

    async def _find_reasons(self, uuid: str, cluster: int) -> Reasons | None:
        """None where the pool does not say, so that what was told stays."""
        try:
            with anyio.fail_after(ANSWER_S_MAX):
                return trim_reasons(await self._parts.pool.explain(cluster))
        except TimeoutError:
            silence = UnavailableError(f"the pool has not answered within {ANSWER_S_MAX:.0f} s")
            self._trouble.tell(f"asking why workers of {uuid} wait", silence)
        except NotFoundError:
            pass  # its keeper sees that too
        except MusterError as error:
            self._trouble.tell(f"asking why workers of {uuid} wait", error)
        return None
