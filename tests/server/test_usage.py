"""Is it said what a workflow's tasks took, and what each attempt did?"""

import pytest

from server.stand import NEW, NEW_TASK, Json, Stand

pytestmark = pytest.mark.anyio

GREEDY: Json = {**NEW_TASK, "worker_config": {"worker_memory": "8G", "n_cores": 4}}


def attempt(leased: Json, outcome: str = "done", **more: Json) -> Json:
    error = {"error": {"text": "no", "fingerprint": "no"}} if outcome == "failed" else {}
    return {"event": leased["event"], "fence": leased["fence"], "outcome": outcome, **error, **more}


async def usage(stand: Stand, workflow: Json) -> Json:
    return await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/usage")


async def test_what_a_task_took_is_summed_beside_what_it_asks_for(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [GREEDY]})
    order = await stand.start(workflow)
    await stand.publish(workflow, *range(12))
    worker = await stand.enrol(order["taskforce_uuid"])
    *good, known, unknown = (await stand.step(worker, 1, want=12))["events"]
    took: Json = {"wall_s": 20.0, "usage": {"cpu_s": 19.0, "memory_bytes": 300 << 20, "bytes_in": 2}}
    results = [{"kind": "json", "body": [1, 2]}]
    finished = [attempt(one, results=results, **took) for one in good]
    finished += [attempt(known, "failed", **took), attempt(unknown, "released", wall_s=100.0)]
    await stand.step(worker, 2, finished=finished)

    found = await usage(stand, workflow)

    sums = {
        "done": 10,
        "failed": 1,
        "wall_s": 320.0,
        "lost_s": 120.0,
        "measured_s": 220.0,
        "cpu_s": 209.0,
        "memory_bytes": 300 << 20,
        "bytes_in": 22,
        "bytes_out": 10 * len("[1, 2]"),
    }
    [task] = found["tasks"]
    assert found["total"] == sums
    assert (found["workflow_id"], found["state"]) == (workflow["workflow_id"], "active")
    assert task == sums | {
        "task_id": workflow["tasks"][0]["task_id"],
        "slots": 1,
        "n_cores": 4,
        "worker_memory_bytes": 8 << 30,
        "cpu_efficiency": pytest.approx(209 / 880),
        "advice": [
            "worker_memory could be 512M: attempts used 300 MiB at most, of 8 GiB",
            "n_cores could be 1, or slots more: 0.9 of 4 cores were used on average",
            "38% of the time went into attempts that did not end their event: see the workflow's errors",
        ],
    }


async def test_where_nothing_ran_nothing_is_known(stand: Stand) -> None:
    workflow = await stand.submit()

    found = await usage(stand, workflow)

    [task] = found["tasks"]
    assert (task["wall_s"], task["memory_bytes"], task["cpu_efficiency"], task["advice"]) == (0.0, None, None, [])
    assert (await stand.ask("GET", "/muster/v1/workflows/WF-6b0259da-962b1dcf/usage")).status_code == 404


async def test_each_task_has_its_own_and_the_total_each_queue_once(stand: Stand) -> None:
    second: Json = {**NEW_TASK, "input_queue_aliases": ["middle"]}
    first: Json = {**NEW_TASK, "output_queue_aliases": ["middle"]}
    workflow = await stand.submit({**NEW, "tasks": [first, second]})
    await stand.advance()
    orders = {one["task_id"]: one for one in (await stand.claim())["start"]}
    await stand.publish(workflow, 1)
    for task, wall_s in zip(workflow["tasks"], (1.0, 4.0), strict=True):
        worker = await stand.enrol(orders[task["task_id"]]["taskforce_uuid"])
        [leased] = (await stand.step(worker, 1, want=1))["events"]
        results = [{"kind": "json", "body": 7}]
        await stand.step(worker, 2, finished=[attempt(leased, results=results, wall_s=wall_s)])

    found = await usage(stand, workflow)

    assert [one["wall_s"] for one in found["tasks"]] == [1.0, 4.0]
    assert found["total"]["wall_s"] == 5.0
    assert found["total"]["bytes_out"] == 2


async def test_every_attempt_of_an_event_says_what_it_took(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [{**NEW_TASK, "retry_s": 0}]})
    order = await stand.start(workflow)
    await stand.publish(workflow, "x")
    worker = await stand.enrol(order["taskforce_uuid"])
    took: list[Json] = [{"cpu_s": 0.5, "memory_bytes": 1 << 20, "bytes_in": 3}, None, {"cpu_s": None, "bytes_in": 3}]
    for number, (outcome, one) in enumerate(zip(("failed", "failed", "done"), took, strict=True)):
        [leased] = (await stand.step(worker, 2 * number + 1, want=1))["events"]
        await stand.step(worker, 2 * number + 2, finished=[attempt(leased, outcome, usage=one)])

    history = (await stand.get(f"/muster/v1/events/{leased['event']}"))["history"]

    assert [one["usage"] for one in history] == [
        {"cpu_s": 0.5, "memory_bytes": 1 << 20, "bytes_in": 3, "bytes_out": 0},
        {"cpu_s": None, "memory_bytes": None, "bytes_in": None, "bytes_out": 0},
        {"cpu_s": None, "memory_bytes": None, "bytes_in": 3, "bytes_out": 0},
    ]


async def test_an_attempt_whose_worker_died_took_nobody_knows_what(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    await stand.parts.store.write(lambda tx: tx.holders.end([int(worker["session"])], reason="died", are_deaths=True))

    [gone] = (await stand.get(f"/muster/v1/events/{leased['event']}"))["history"]

    assert gone["usage"] == {"cpu_s": None, "memory_bytes": None, "bytes_in": None, "bytes_out": None}
    assert (await usage(stand, workflow))["total"]["wall_s"] == 0
    recount = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/account?recount=true")
    assert all(one["recount"]["usage"]["agrees"] for one in recount["queues"])
