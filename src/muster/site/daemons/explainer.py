"""How does a user learn why workers wait? The pool is asked, beside the reports of statuses, which wait for nobody."""

from collections.abc import Callable, Mapping

import anyio
from anyio.abc import TaskGroup, TaskStatus

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
        self._asking: set[str] = set()
        self._from = float("-inf")

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Look, ask and tell until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            while True:
                await self.run_once(tasks)
                await anyio.sleep(LOOK_S)

    async def run_once(self, tasks: TaskGroup) -> None:
        """Tell of those that do not wait any more, and begin to ask about those that are due; nobody waits for the slow answers."""
        now, seen = anyio.current_time(), self._find_seen()
        self._book.look(seen, now=now)
        if now < self._from:
            return
        await self._tell(dict.fromkeys(self._book.list_over(seen), ()))
        watched = self._keeper.watched()
        due = [uuid for uuid in self._book.list_due(now=now) if uuid in watched and uuid not in self._asking]
        for uuid in due[: AT_ONCE - len(self._asking)]:
            self._book.note_asked(uuid, now=now)
            self._asking.add(uuid)
            tasks.start_soon(self._ask, uuid, watched[uuid], name=f"ask why workers of {uuid} wait")

    async def _ask(self, uuid: str, cluster: int) -> None:
        try:
            reasons = await self._find_reasons(uuid, cluster)
        finally:
            self._asking.discard(uuid)
        if reasons is not None and self._book.is_waiting(uuid):
            await self._tell({uuid: reasons})

    async def _tell(self, reasons: Mapping[str, Reasons]) -> None:
        """What the service did not hear is told it after the next look, or the next answer."""
        try:
            await self._book.tell(self._parts, reasons)
        except InvalidError:
            self._from = anyio.current_time() + TOLD_AGAIN_S
        except MusterError as error:
            self._trouble.tell("telling why workers wait", error)

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
