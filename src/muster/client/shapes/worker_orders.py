"""What may be asked of a site for single workers, what came of it, and how does the site's agent learn of it?"""

from typing import Annotated

import msgspec
from msgspec import Meta

from muster.client.shapes.message import Answer, Request
from muster.client.shapes.sites import Number
from muster.domain.worker_order import LOG_BYTES_MAX, LOGS_MAX, PROCS_MAX, OrderAction

Procs = Annotated[list[Annotated[int, Meta(ge=0, le=2**31 - 1)]], Meta(max_length=PROCS_MAX)]


class OrderWorkers(Request):
    """POST /muster/v1/taskforces/{uuid}/orders: have something done with some of its workers, or with all that are there (`procs` empty).

    `action`: `hold` (it ends what it has in hand, leaves, and is not started again until it is released), `release`, `remove` (it leaves
    for good) or `logs` (what one worker wrote is brought). `reason`: why, for the logs.
    """

    action: OrderAction
    procs: Procs = msgspec.field(default_factory=list)
    reason: Annotated[str, Meta(max_length=500)] = ""


class WorkerLogView(Answer):
    """A text that a worker or its pool wrote, the end of it. `size_bytes`: of all of it."""

    name: str
    text: str
    size_bytes: int


class WorkerOrderView(Answer):
    """GET /muster/v1/taskforces/{uuid}/orders/{id}?wait_s=: parks until it is not `waiting` any more.

    `state`: `waiting`, `done`, `failed` (`error` says why) or `expired`: no agent carried it out in five minutes, and none will. `done`:
    the workers with whom it was done; others that were named have ended, or were so already. Kept for a day.
    """

    order_id: str
    taskforce_uuid: str
    action: str
    procs: list[int]
    reason: str
    asked_by: str
    asked_at: float
    state: str
    answered_at: float | None
    done: int
    error: str
    logs: list[WorkerLogView]


class TakeOrders(Request):
    """POST /muster/v1/site/orders: the oldest order of each taskforce of the agent's; parks up to `wait_s` when there is none.

    An order is given until it is answered. `working`: taskforces of which one is being carried out.
    """

    agent: str
    wait_s: float = 20.0
    working: list[str] = msgspec.field(default_factory=list)


class GivenOrder(Answer):
    """An order, as the agent gets it. `reason`: one line; `asked_by`: who asked; `stands_s`: seconds in which it is to be carried out."""

    order_id: str
    taskforce_uuid: str
    action: str
    procs: list[int]
    reason: str
    asked_by: str
    stands_s: float = 60.0


class GivenOrders(Answer):
    """What is to be carried out now."""

    orders: list[GivenOrder]


class WorkerLogText(Request):
    """As `WorkerLogView`, from the agent."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    text: Annotated[str, Meta(max_length=LOG_BYTES_MAX)]
    size_bytes: Number


class OrderDone(Request):
    """POST /muster/v1/site/orders/{id}: it was carried out, or `error` says why not. The first answer counts."""

    agent: str
    taskforce_uuid: str
    done: Number = 0
    error: Annotated[str, Meta(max_length=10_000)] = ""
    logs: Annotated[list[WorkerLogText], Meta(max_length=LOGS_MAX)] = msgspec.field(default_factory=list)


class OrderTaken(Answer):
    """`accepted` False: it was answered before."""

    order_id: str
    accepted: bool
