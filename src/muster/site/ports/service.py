"""What does the agent need of the service? Orders under claim, and somebody to tell what became of them."""

from typing import Protocol

from muster.client.shapes.sites import (
    Claim,
    Claims,
    Completed,
    PhaseAnswer,
    Removed,
    SiteFailure,
    SiteReport,
    Submitted,
)
from muster.client.shapes.worker_orders import GivenOrders, OrderDone, OrderTaken, TakeOrders
from muster.client.shapes.workflows import TaskforceView


class Service(Protocol):
    """The site's part of our own door.

    Every method raises UnavailableError when the service does not answer. Those that name a taskforce raise NotFoundError for
    one that the service does not know, and ConflictError when `fence` is not of the claim in force. All may be repeated.
    """

    async def claim(self, claim: Claim, /) -> Claims: ...
    async def submitted(self, taskforce_uuid: str, submitted: Submitted, /) -> PhaseAnswer: ...
    async def submit_failed(self, taskforce_uuid: str, failure: SiteFailure, /) -> PhaseAnswer: ...
    async def removed(self, taskforce_uuid: str, removed: Removed, /) -> PhaseAnswer: ...
    async def remove_failed(self, taskforce_uuid: str, failure: SiteFailure, /) -> PhaseAnswer: ...
    async def completed(self, taskforce_uuid: str, completed: Completed, /) -> PhaseAnswer: ...
    async def report(self, report: SiteReport, /) -> list[str]:
        """Returns the uuids that the service does not know."""

    async def take_orders(self, wanted: TakeOrders, /) -> GivenOrders:
        """Raises NotFoundError: the service is of before, and knows no orders."""

    async def order_done(self, order_id: str, done: OrderDone, /) -> OrderTaken:
        """Raises NotFoundError: it is not kept any more; ConflictError: the taskforce is another agent's."""

    async def get_taskforce(self, taskforce_uuid: str, /) -> TaskforceView: ...
