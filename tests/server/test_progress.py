"""Does one who follows a workflow learn of changes soon, and of why nothing changes?"""

import re
import time

import anyio
import pytest

from muster.server.services.activate_workflows import activate_workflows
from muster.server.services.follow_progress import FLOOR_S
from muster.server.services.launch_taskforces import launch_taskforces
from server.stand import NEW, Json, Stand

pytestmark = pytest.mark.anyio


async def progress(stand: Stand, workflow: Json, query: str = "") -> Json:
    return await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress{query}")


async def test_the_token_is_the_same_as_long_as_nothing_changes(stand: Stand) -> None:
    workflow = await stand.submit()
    first = await progress(stand, workflow)
    assert (await progress(stand, workflow))["token"] == first["token"]
    await stand.publish(workflow, 1)
    second = await progress(stand, workflow)
    assert second["token"] != first["token"]
    await stand.end(workflow, "finish")
    assert (await progress(stand, workflow))["token"] != second["token"]


async def test_a_call_waits_for_a_change(stand: Stand) -> None:
    workflow = await stand.submit()
    token = (await progress(stand, workflow))["token"]
    seen: list[Json] = []

    async def follow() -> None:
        seen.append(await progress(stand, workflow, f"?seen={token}&wait_s=5"))

    with anyio.fail_after(4):
        async with anyio.create_task_group() as group:
            group.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            assert seen == []
            await stand.publish(workflow, 1, 2)
    assert seen[0]["input"]["waiting"] == 2


async def test_who_follows_hears_at_once_of_what_daemons_do_with_its_taskforces(stand: Stand) -> None:
    workflow = await stand.submit()
    for daemon in (activate_workflows, launch_taskforces):
        with stand.parts.waking.listen(f"workflow:{workflow['workflow_id']}") as bell:
            await daemon(stand.parts)
            assert await bell.wait(stand.parts.settings.net_interval_s), "it would look by itself only then"


async def test_a_call_ends_with_its_time(stand: Stand) -> None:
    workflow = await stand.submit()
    token = (await progress(stand, workflow))["token"]
    begun = time.monotonic()
    assert (await progress(stand, workflow, f"?seen={token}&wait_s=0.3"))["token"] == token
    assert 0.3 <= time.monotonic() - begun < 3


async def test_news_come_in_steps(stand: Stand) -> None:
    """Answers to one who follows are at least the floor apart, however much happens."""
    workflow = await stand.submit()
    token, begun, answers = "other", time.monotonic(), 3
    for number in range(answers):
        await stand.publish(workflow, number)
        token = (await progress(stand, workflow, f"?seen={token}&wait_s=5"))["token"]
    assert time.monotonic() - begun >= answers * FLOOR_S


async def test_a_parked_call_ends_when_the_service_stops(stand: Stand) -> None:
    workflow = await stand.submit()
    token = (await progress(stand, workflow))["token"]
    with anyio.fail_after(4):
        async with anyio.create_task_group() as group:
            group.start_soon(progress, stand, workflow, f"?seen={token}&wait_s=5")
            await anyio.wait_all_tasks_blocked()
            stand.parts.stopping.asked = True
            stand.parts.waking.wake("stopping")


async def test_it_says_why_nothing_moves(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "finish_when_done": True})

    async def why() -> str | None:
        reason: str | None = (await progress(stand, workflow))["why"]
        return reason

    assert await why() == "no events were published yet: publish into in"
    await stand.publish(workflow, 1)
    await stand.advance()
    assert await why() == "no site agent has taken the workers yet: is `muster site` running for local?"
    [order] = (await stand.claim())["start"]
    assert await why() is None
    await stand.report(order, "submitted", cluster_id=1, n_workers=1)
    assert await why() == "the workers were submitted, and none has called yet"
    worker = await stand.enrol(order["taskforce_uuid"])
    assert await why() is None
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    assert await why() is None
    done = {
        "event": leased["event"],
        "fence": leased["fence"],
        "outcome": "done",
        "results": [],
        "error": None,
        "wall_s": 0.1,
    }
    await stand.step(worker, 2, finished=[done])
    assert await why() == "every event is done: publish more, or close in to finish the workflow"
    await stand.end(workflow, "finish")
    assert await why() is None


async def test_failures_are_counted_and_grouped_by_cause(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.publish(workflow, 1, 2)
    events = (await stand.step(worker, 1, want=2))["events"]
    error = {"text": "no luck", "fingerprint": "no luck", "stdout_tail": "", "stderr_tail": "", "exit_code": 1}
    failed = [
        {
            "event": one["event"],
            "fence": one["fence"],
            "outcome": "failed",
            "results": [],
            "error": error,
            "wall_s": 0.1,
        }
        for one in events
    ]
    await stand.step(worker, 2, finished=failed)
    now = await progress(stand, workflow)
    assert (now["failures"], now["input"]["waiting"]) == (2, 2)
    assert re.match(
        r"all that waits failed before, and is tried again after a pause, the next at \d\d:\d\d:\d\d UTC: muster workflow errors WF-",
        now["why"],
    )
    shown = await stand.get(f"/muster/v1/events/{events[0]['event']}")
    assert (shown["state"], shown["attempts"]) == ("waiting", 1)
    assert 0 < shown["retry_at"] - now["at"] < 10
    assert (await stand.step(worker, 3, want=2))["events"] == []
    errors = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/errors")
    [group] = errors["groups"]
    assert (group["fingerprint"], group["failures"], group["events"], group["hosts"]) == ("no luck", 2, 2, ["node-1"])
    assert errors["taskforces"] == []
