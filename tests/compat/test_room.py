"""Is a workflow service that activates queues told to try again later where there is no room, and let in when there is?

Source: mqs.md sections 4.4 and 13; what the service does then, wms.md section 7.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from compat.caller import Answer, Service
from compat.exact import check
from compat.mqs_shapes import Reserved
from compat.parties import Desk
from compat.samples import request, task, unknown_ids
from harness.waiting import wait_for

LATER = {"try_again_later": True}
SOON_S = 60.0


@pytest.fixture(scope="module")
def chosen_settings() -> Mapping[str, Any]:
    """Room for three queues; those of another service are in use for as long as their tokens, which is soon over."""
    return {"queues_max": 3, "broker_token_ttl_s": 5.0}


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def activate(desk: Desk, workflow_id: str) -> Answer:
    return desk.wms.post(f"/mqs/workflows/{workflow_id}/mq-group/activation", {"criteria": {"priority": 10}})


def test_an_activation_waits_for_the_queues_of_others(desk: Desk) -> None:
    ours = desk.create(request(task()))["taskforces"][0]  # with two queues
    wait_for(
        lambda: desk.taskforce(ours["taskforce_uuid"])["phase"] == "pending-starter", "it is let in", deadline_s=SOON_S
    )
    theirs = unknown_ids()["workflow_id"]
    reserved = desk.reserve(theirs, ["a", "b"], ["a"])

    refused = activate(desk, theirs)
    after_that = desk.group(theirs), desk.public_profiles(theirs)
    desk.deactivate(ours["workflow_id"], "abort")
    wait_for(lambda: activate(desk, theirs).body != LATER, "there is room", deadline_s=SOON_S)

    assert (refused.status, refused.body) == (200, LATER)
    assert after_that == (reserved["mqgroup"], reserved["mqprofiles"][:1])
    again = activate(desk, theirs)
    check(again.body, Reserved)
    assert all(one["is_activated"] for one in again.body["mqprofiles"])
