"""What do site agents ask of the service, and what do they tell it?"""

import msgspec

from muster.client.call import Call
from muster.client.making import BASE, part, post, reader
from muster.client.shapes.message import Answer
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


def claim(claim: Claim) -> Call[Claims]:
    """Take taskforces to start and to stop."""
    return post("/site/claims", claim, Claims, parked_s=claim.wait_s)


def submitted(taskforce_uuid: str, report: Submitted) -> Call[PhaseAnswer]:
    """A cluster exists."""
    return post(f"/site/taskforces/{part(taskforce_uuid)}/submitted", report, PhaseAnswer)


def submit_failed(taskforce_uuid: str, report: SiteFailure) -> Call[PhaseAnswer]:
    """There is no cluster, and why."""
    return post(f"/site/taskforces/{part(taskforce_uuid)}/submit-failed", report, PhaseAnswer)


def removed(taskforce_uuid: str, report: Removed) -> Call[PhaseAnswer]:
    """The cluster is gone."""
    return post(f"/site/taskforces/{part(taskforce_uuid)}/removed", report, PhaseAnswer)


def remove_failed(taskforce_uuid: str, report: SiteFailure) -> Call[PhaseAnswer]:
    """The cluster could not be removed, and why."""
    return post(f"/site/taskforces/{part(taskforce_uuid)}/remove-failed", report, PhaseAnswer)


def completed(taskforce_uuid: str, report: Completed) -> Call[PhaseAnswer]:
    """No proc is left."""
    return post(f"/site/taskforces/{part(taskforce_uuid)}/completed", report, PhaseAnswer)


def report(statuses: SiteReport) -> Call[list[str]]:
    """Statuses that changed. Answers the taskforces that the service does not know."""
    read = reader(_Unknown)
    return Call("POST", f"{BASE}/site/reports", lambda body: read(body).unknown, body=msgspec.json.encode(statuses))


def take_orders(wanted: TakeOrders) -> Call[GivenOrders]:
    """What is to be done with single workers; a service of before knows no such call (NotFoundError)."""
    return post("/site/orders", wanted, GivenOrders, parked_s=wanted.wait_s)


def order_done(order_id: str, done: OrderDone) -> Call[OrderTaken]:
    """What came of an order."""
    return post(f"/site/orders/{part(order_id)}", done, OrderTaken)


class _Unknown(Answer):
    unknown: list[str]
