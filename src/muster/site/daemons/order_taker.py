"""Who carries out what people ask for single workers? Orders come by a call that the service parks; each taskforce's are done in turn."""

import random

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from muster.client.shapes.worker_orders import GivenOrder, GivenOrders, OrderDone, TakeOrders
from muster.domain.backoff import next_delay
from muster.domain.errors import ConflictError, MusterError, NotFoundError, UnavailableError
from muster.site.daemons.trouble import TroubleLog
from muster.site.services.carry_out_order import carry_out
from muster.site.services.parts import Parts

log = structlog.get_logger("muster.site")

WAIT_S = 20.0
RETRY_FIRST_S = 0.2
RETRY_DELAY_S_MAX = 15.0
AGAIN_S = 600.0
"""Seconds after which a service that knows no orders, since it is older, is asked for some again."""
PAUSE_S = 0.1
"""Seconds before the next call, when one came back at once without orders."""
TRY_S = 60.0
"""Seconds for which an order is tried where the pool does not answer; then that is the answer."""

DONE_KEPT = 100
"""Orders of which it is remembered what came of them."""


class OrderTaker:
    """Takes orders for single workers, and answers them."""

    def __init__(self, parts: Parts, trouble: TroubleLog) -> None:
        self._parts = parts
        self._trouble = trouble
        self._working: set[str] = set()
        self._asking = anyio.CancelScope()
        self._done: dict[str, OrderDone] = {}

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take and carry out, until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            failures = 0
            while True:
                try:
                    await self.run_once(tasks)
                    failures = 0
                    await anyio.sleep(PAUSE_S)
                except NotFoundError:
                    await anyio.sleep(AGAIN_S)
                except MusterError as error:
                    failures += 1
                    self._trouble.tell("taking orders for workers", error)
                    await anyio.sleep(
                        next_delay(
                            failures, first_s=RETRY_FIRST_S, delay_s_max=RETRY_DELAY_S_MAX, jitter=random.random()
                        )
                    )

    async def run_once(self, tasks: TaskGroup) -> None:
        """Ask once, and begin with what came. Raises what the client raises."""
        wanted = TakeOrders(self._parts.agent, wait_s=WAIT_S, working=sorted(self._working))
        given = GivenOrders([])
        with anyio.CancelScope() as self._asking:
            given = await self._parts.service.take_orders(wanted)
        for order in given.orders:
            if order.taskforce_uuid not in self._working:
                self._working.add(order.taskforce_uuid)
                tasks.start_soon(self._serve, order, name=f"order {order.order_id}")

    async def _serve(self, order: GivenOrder) -> None:
        try:
            await self._carry_out(order)
        finally:
            self._working.discard(order.taskforce_uuid)
            self._asking.cancel()  # the call that is parked asks for no more of this taskforce; what it may have brought comes again

    async def _try(self, order: GivenOrder) -> OrderDone:
        """Do it, once: where its answer gets lost the same is said again. Raises UnavailableError."""
        try:
            done = await carry_out(self._parts, order)
        except UnavailableError:
            raise
        except Exception as error:  # one order must not cost the agent
            log.exception("an order failed", order=order.order_id, taskforce=order.taskforce_uuid)
            why = f"a fault of the agent: {type(error).__name__}: {error}"
            done = OrderDone(self._parts.agent, order.taskforce_uuid, error=why)
        self._done[order.order_id] = done
        while len(self._done) > DONE_KEPT:
            del self._done[next(iter(self._done))]
        return done

    async def _carry_out(self, order: GivenOrder) -> None:
        """To its answer; one whose answer does not arrive is given again."""
        try:
            with anyio.fail_after(min(TRY_S, order.stands_s)):
                done = self._done.get(order.order_id) or await self._try(order)
        except (UnavailableError, TimeoutError) as error:
            said = (
                UnavailableError(f"the pool has not answered within {TRY_S:.0f} s")
                if isinstance(error, TimeoutError)
                else error
            )
            self._trouble.tell(f"carrying out {order.action} for workers of {order.taskforce_uuid}", said)
            await anyio.sleep(RETRY_DELAY_S_MAX * random.random())  # it is given again until its time is over
            return
        log.info(
            "order",
            order=order.order_id,
            taskforce=order.taskforce_uuid,
            action=order.action,
            procs=len(order.procs) or "all",
            by=order.asked_by,
            done=done.done,
            error=done.error,
        )
        try:
            await self._parts.service.order_done(order.order_id, done)
        except (NotFoundError, ConflictError):
            pass  # nobody waits for it any more, or another agent has the taskforce
        except MusterError as error:
            self._trouble.tell("answering an order for workers", error)
