"""Does a workflow's whole life come out the same when every POST arrives twice, in a row or at once?

The rule (docs/design, "every POST may arrive twice"): a creation with an `Idempotency-Key` is made once; what confirms, reports or ends
changes nothing the second time, key or not; events, leases and answers of workers are told apart by their key or call number.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
import httpx
import pytest

from server.queues.running_door import done, failed, released
from server.stand import EWMS_NEW, NEW, TMS, Json, Stand

pytestmark = pytest.mark.anyio

CREATIONS = ("/workflows", "/actions/add-workers", "/actions/replay", "/events")
"""Ends of the routes that make something: their requests carry a key."""
ONE_BY_ONE = ("/worker/enrol", "/consumers")
"""Who did not hear the answer opens another session and goes on with that; the first one holds nothing."""
ONCE = ("/failed",)
"""An agent of upstream's that failed twice says the same twice: nothing tells that from one report that arrives twice."""


@dataclass
class Doubling(Stand):
    """Sends every POST once, twice in a row or twice at once. What is answered must be as good the second time."""

    way: str = "once"
    creations: int = 0

    async def ask(self, method: str, path: str, body: Json = None, **options: Json) -> httpx.Response:
        if method == "POST" and path.endswith(CREATIONS):
            self.creations += 1
            options["headers"] = {"idempotency-key": f"{self.way} {self.creations}", **options.get("headers", {})}
        answers: list[httpx.Response] = []

        async def send() -> None:
            answers.append(await Stand.ask(self, method, path, body, **options))

        is_doubled = method == "POST" and self.way != "once" and not path.endswith(ONCE)
        if is_doubled and self.way == "at once" and not path.endswith(ONE_BY_ONE):
            async with anyio.create_task_group() as group:
                group.start_soon(send)
                group.start_soon(send)
        else:
            for _ in range(2 if is_doubled else 1):
                await send()
        assert len({one.is_success for one in answers}) == 1, [(one.status_code, one.text) for one in answers]
        if path.endswith(CREATIONS):
            assert len({one.content for one in answers}) == 1
        return answers[-1]


async def live_with_upstream(stand: Doubling) -> Json:
    """Submit, add workers, start, fail, report, finish, stop and complete, as EWMS's parties do."""
    made = await stand.post("/v1/workflows", EWMS_NEW)
    await stand.advance()
    task = made["task_directives"][0]["task_id"]
    more = {"cluster_location": "test-alpha", "n_workers": 1}
    await stand.post(f"/v1/task-directives/{task}/actions/add-workers", more)
    await stand.advance()
    found = await stand.get(f"/muster/v1/workflows/{made['workflow']['workflow_id']}")
    added = {
        one["taskforce_uuid"]: one["taskforce_uuid"] != made["taskforces"][0]["taskforce_uuid"]
        for one in found["taskforces"]
    }
    uuids = sorted(added, key=lambda uuid: added[uuid])
    await stand.post(f"/v1/tms/condor-submit/taskforces/{uuids[0]}/failed", {"error": "no"}, by=TMS)
    for cluster, uuid in enumerate(uuids):
        report = {"cluster_id": cluster, "n_workers": 2, "submit_dict": {"a": 1}, "job_event_log_fpath": "/log"}
        await stand.post(f"/v1/tms/condor-submit/taskforces/{uuid}", report, by=TMS)
    statuses = {"compound_statuses_by_taskforce": {uuids[0]: {"RUNNING": {"Tasking": 2}}}}
    await stand.post("/v1/tms/statuses/taskforces", statuses, by=TMS)
    await stand.post(f"/v1/workflows/{made['workflow']['workflow_id']}/actions/finished")
    await stand.post(f"/v1/tms/condor-rm/taskforces/{uuids[0]}/failed", {}, by=TMS)
    for uuid in uuids:
        await stand.post(f"/v1/tms/condor-rm/taskforces/{uuid}", by=TMS)
        await stand.post(f"/v1/tms/condor-complete/taskforces/{uuid}", {"condor_complete_ts": 5}, by=TMS)
    taskforces = [await stand.get(f"/v1/taskforces/{uuid}", by=TMS) for uuid in uuids]
    shown = await stand.get(f"/muster/v1/workflows/{made['workflow']['workflow_id']}")
    return {
        "state": shown["state"],
        "taskforces": [
            {
                "phase": one["phase"],
                "log": [
                    (entry["target_phase"], entry["was_successful"], entry["source_entity"], entry["context"])
                    for entry in one["phase_change_log"]
                ],
                "cluster_id": one["cluster_id"],
                "n_workers": one["n_workers"],
                "compound_statuses": one["compound_statuses"],
            }
            for one in taskforces
        ],
    }


async def live_with_us(stand: Doubling) -> Json:
    """Submit, publish, start, work, fail to the end, replay, consume, add workers, finish, remove, complete."""
    task = {**NEW["tasks"][0], "attempts": 1, "retry_s": 0}
    workflow = await stand.submit({**NEW, "tasks": [task]})
    path = f"/muster/v1/workflows/{workflow['workflow_id']}"
    await stand.publish(workflow, *range(4))
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    leased = (await stand.step(worker, 1, want=3))["events"]
    finished = [done(leased[0], 10), failed(leased[1]), released(leased[2])]
    await stand.step(worker, 2, finished=finished)
    await stand.post("/muster/v1/worker/renew", {"held": []}, by=worker["token"])
    await stand.post(f"{path}/dead-letters/actions/replay", {})
    rest = (await stand.step(worker, 3, want=9))["events"]
    await stand.step(worker, 4, finished=[done(one, 20) for one in rest])
    await stand.post("/muster/v1/worker/leave", {"reason": "over"}, by=worker["token"])
    consumer = await stand.post(f"{path}/queues/out/consumers", {"lease_s": 60})
    step = f"/muster/v1/consumers/{consumer['consumer']}/step"
    results = (await stand.post(step, {"call": 1, "want": 9, "wait_s": 0}))["events"]
    acks = [[one["event"], one["fence"]] for one in results]
    await stand.post(step, {"call": 2, "ack": acks, "want": 0, "wait_s": 0})
    await stand.post(f"/muster/v1/consumers/{consumer['consumer']}/actions/close")
    await stand.post(f"/muster/v1/tasks/{order['task_id']}/actions/add-workers", {"location": "local", "n_workers": 1})
    await stand.post(f"{path}/queues/in/actions/close")
    await stand.end(workflow, "finish")
    await stand.report(order, "removed")
    await stand.report(order, "completed", at=5.0)
    shown = await stand.show(workflow)
    account = await stand.get(f"{path}/account?recount=true")
    return {
        "state": shown["state"],
        "queues": [(one["alias"], one["closed_at"] is not None, one["counts"]) for one in shown["queues"]],
        "taskforces": sorted(
            (
                one["phase"],
                one["n_workers"],
                [(entry["target_phase"], entry["was_successful"]) for entry in one["phase_change_log"]],
            )
            for one in shown["taskforces"]
        ),
        "account": {name: account[name] for name in ("published", "waiting", "in_work", "done", "dead", "adds_up")},
        "results": sorted(str(one["body"]) for one in results),
    }


@pytest.mark.parametrize("way", ["in a row", "at once"])
@pytest.mark.parametrize("live", [live_with_upstream, live_with_us])
async def test_a_life_in_which_everything_arrives_twice_is_the_life_in_which_it_arrives_once(
    stand: Stand, live: Callable[[Doubling], Awaitable[Json]], way: str
) -> None:
    once = await live(Doubling(stand.http, stand.parts, "once"))
    twice = await live(Doubling(stand.http, stand.parts, way))

    assert twice == once
    assert len((await stand.get("/muster/v1/workflows"))["workflows"]) == 2
