"""Whenever a workflow is ended, does each of its taskforces come to its end, and is nothing started afterwards?"""

from collections.abc import Awaitable, Callable

import pytest

from muster.server.services.activate_workflows import activate_workflows
from muster.server.services.launch_taskforces import launch_taskforces
from server.stand import TMS, Json, Stand

pytestmark = pytest.mark.anyio

# How far a taskforce has come, as a chain of steps; each gives the order if there is one by then.
STEPS = [
    "pre-mq-activation",
    "pre-launch",
    "pending-starter",
    "claimed",
    "condor-submit",
    "condor-rm",
    "condor-complete",
]
NOT_STARTED = {"pre-mq-activation", "pre-launch", "pending-starter", "claimed"}
OVER = {"condor-rm", "condor-complete"}


async def bring_to(stand: Stand, step: str) -> tuple[Json, Json | None]:
    """A workflow whose only taskforce is there, and the order if it was claimed."""
    workflow = await stand.submit()
    order: Json = None

    async def claim() -> None:
        nonlocal order
        [order] = (await stand.claim())["start"]

    moves: list[Callable[[], Awaitable[object]]] = [
        lambda: activate_workflows(stand.parts),
        lambda: launch_taskforces(stand.parts),
        claim,
        lambda: stand.report(order, "submitted", cluster_id=7, n_workers=2),
        lambda: stand.report(order, "removed"),
        lambda: stand.report(order, "completed", at=9.0),
    ]
    for move in moves[: STEPS.index(step)]:
        await move()
    return workflow, order


@pytest.mark.parametrize("how", ["finish", "abort"])
@pytest.mark.parametrize("step", STEPS)
async def test_from_every_phase(stand: Stand, step: str, how: str) -> None:
    workflow, order = await bring_to(stand, step)

    ended = await stand.end(workflow, how)

    assert ended["n_taskforces"] == (0 if step in OVER else 1)
    await stand.advance()  # the daemons find nothing to take further
    [taskforce] = (await stand.show(workflow))["taskforces"]
    assert taskforce["phase"] == (step if step in OVER else "pending-stopper")
    last = taskforce["phase_change_log"][-1]
    assert (last["target_phase"], last["was_successful"]) == ("pending-stopper", step not in OVER)
    held = [order["taskforce_uuid"]] if order else []
    claims = await stand.claim(held=held)
    assert claims["start"] == []
    assert len(claims["stop"]) == (step == "condor-submit")
    assert claims["lost"] == (held if step in ("claimed", "condor-complete") else [])
    if order is None:
        return
    # Whatever the site says now, however late, is taken without a stumble, and the end is the end.
    for what, fields in (
        ("submitted", {"cluster_id": 7, "n_workers": 2}),
        ("submit-failed", {"error": "late"}),
        ("removed", {}),
        ("completed", {"at": 9.0}),
        ("removed", {}),
        ("remove-failed", {"error": "late"}),
    ):
        assert (await stand.try_report(order, what, **fields)).status_code == 200
    [taskforce] = (await stand.show(workflow))["taskforces"]
    assert (taskforce["phase"], taskforce["cluster_id"]) == ("condor-complete", 7)
    assert (await stand.show(workflow))["state"] == ended["state"]


@pytest.mark.parametrize("step", sorted(NOT_STARTED))
async def test_nobody_enrols_for_a_workflow_that_is_over(stand: Stand, step: str) -> None:
    workflow, _ = await bring_to(stand, step)
    await stand.end(workflow, "abort")
    uuid = workflow["taskforces"][0]["taskforce_uuid"]
    with pytest.raises(AssertionError, match="taskforce-ended"):
        await stand.enrol(uuid)


async def test_ending_one_workflow_leaves_the_others_alone(stand: Stand) -> None:
    ended, _ = await bring_to(stand, "pending-starter")
    other, _ = await bring_to(stand, "pending-starter")
    await stand.end(ended, "abort")
    assert [one["workflow_id"] for one in (await stand.claim())["start"]] == [other["workflow_id"]]
    assert (await stand.get(f"/muster/v1/workflows/{other['workflow_id']}"))["state"] == "active"
    assert await stand.get("/v1/tms/pending-stopper/taskforces?schedd=local", by=TMS) == {}
