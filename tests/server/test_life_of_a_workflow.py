"""Does a workflow live on our own door as people, sites and workers expect it, from the first request to the last?"""

from typing import Any

import anyio
import pytest

from muster.server.app import make_daemons
from muster.server.daemons.rhythm import WhenRung
from muster.server.services.finish_drained import DrainPass, finish_drained
from server.stand import EWMS_NEW, NEW, NEW_TASK, OPERATOR, STRANGER, TMS, USER, Stand

pytestmark = pytest.mark.anyio


def log_of(taskforce: dict[str, Any]) -> list[tuple[str, bool, str, str]]:
    return [
        (one["target_phase"], one["was_successful"], one["source_entity"], one["context"])
        for one in taskforce["phase_change_log"]
    ]


async def test_a_new_workflow_shows_what_was_asked_for(stand: Stand) -> None:
    response = await stand.ask("POST", "/muster/v1/workflows", NEW)
    assert response.status_code == 201
    workflow = response.json()

    assert {key: workflow[key] for key in ("name", "owner", "priority", "finish_when_done", "state")} == {
        "name": "sums",
        "owner": USER,
        "priority": 50,
        "finish_when_done": False,
        "state": "active",
    }
    [task] = workflow["tasks"]
    assert (task["input_queue_aliases"], task["output_queue_aliases"]) == (["in"], ["out"])
    assert (task["attempts"], task["timeout_s"], task["slots"]) == (5, None, 1)
    assert [(one["alias"], one["is_public"], one["is_input"], one["is_output"]) for one in workflow["queues"]] == [
        ("in", True, True, False),
        ("out", True, False, True),
    ]
    [taskforce] = workflow["taskforces"]
    assert (taskforce["location"], taskforce["schedd"], taskforce["n_workers"]) == ("local", "local", 2)
    assert taskforce["worker_config"] == {
        "n_cores": 1,
        "worker_memory": "512M",
        "worker_disk": "1G",
        "max_worker_runtime": 86400,
        "priority": 0,
        "do_transfer_worker_stdouterr": True,
        "condor_requirements": "",
    }
    assert taskforce["pilot_config"] == {
        "tag": "0.1.0",
        "image_source": "cvmfs",
        "environment": {},
        "input_files": [],
    }
    assert log_of(taskforce) == [("pre-mq-activation", True, "USER", "Created during initial workflow request.")]
    assert await stand.show(workflow) == workflow
    assert await stand.get(f"/muster/v1/taskforces/{taskforce['taskforce_uuid']}") == taskforce


async def test_an_answer_shows_what_was_stored(stand: Stand) -> None:
    odd: dict[str, Any] = {"B": ["ω", "x"], "big": 2**53 + 1, "A": ""}
    tasks = [
        {**NEW_TASK, "cluster_locations": ["far", "local"], "pilot_config": {"tag": "latest", "environment": odd}},
        {**NEW_TASK, "input_queue_aliases": ["out"], "output_queue_aliases": ["end"], "timeout_s": 7, "retry_s": 3},
    ]
    workflow = await stand.submit({**NEW, "tasks": tasks, "group": "", "finish_when_done": True, "priority": 7})

    assert [one["location"] for one in workflow["taskforces"]] == ["far", "local", "local"]
    assert await stand.show(workflow) == workflow


async def test_an_answer_of_the_other_door_shows_what_was_stored(stand: Stand) -> None:
    [task] = EWMS_NEW["tasks"]
    both = {**EWMS_NEW, "tasks": [task, {**task, "cluster_locations": ["test-beta", "test-alpha"]}]}
    made = await stand.post("/v1/workflows", both)

    assert await stand.get(f"/v1/workflows/{made['workflow']['workflow_id']}") == made["workflow"]
    assert [await stand.get(f"/v1/task-directives/{one['task_id']}") for one in made["task_directives"]] == made[
        "task_directives"
    ]
    assert len(made["taskforces"]) == 3
    assert [await stand.get(f"/v1/taskforces/{one['taskforce_uuid']}") for one in made["taskforces"]] == made[
        "taskforces"
    ]


async def test_the_whole_life_with_an_end_that_comes_by_itself(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "finish_when_done": True})
    order = await stand.start(workflow)
    assert (order["n_workers"], order["task_image"], order["location"]) == (2, "", "local")
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.publish(workflow, 1, 2, close=True)
    assert await finish_drained(stand.parts) == DrainPass(finished=0, draining=1)

    leased = (await stand.step(worker, 1, want=2))["events"]
    done = [
        {
            "event": one["event"],
            "fence": one["fence"],
            "outcome": "done",
            "results": [{"kind": "json", "body": int(one["body"]) * 10}],
            "error": None,
            "wall_s": 0.5,
        }
        for one in leased
    ]
    assert (await stand.step(worker, 2, finished=done))["verdicts"] == ["done", "done"]
    assert await finish_drained(stand.parts) == DrainPass(finished=1, draining=0)

    workflow = await stand.show(workflow)
    assert (workflow["state"], workflow["ended_by"]) == ("finished", "muster")
    assert workflow["taskforces"][0]["phase"] == "pending-stopper"
    assert workflow["taskforces"][0]["workers"] == 1  # it may still end what it has in hand
    assert (await stand.step(worker, 3, want=1))["stop"] == {"how": "finish", "grace_s": 20.0}

    [stop] = (await stand.claim(held=[order["taskforce_uuid"]]))["stop"]
    assert stop == {
        "taskforce_uuid": order["taskforce_uuid"],
        "schedd": "local",
        "fence": order["fence"],
        "cluster_id": 7,
        "grace_s": 20.0,
    }
    assert (await stand.report(stop, "removed"))["phase"] == "condor-rm"
    assert (await stand.report(stop, "completed", at=1.7e9))["phase"] == "condor-complete"
    workflow = await stand.show(workflow)
    assert workflow["taskforces"][0]["workers"] == 0
    assert log_of(workflow["taskforces"][0]) == [
        ("pre-mq-activation", True, "USER", "Created during initial workflow request."),
        ("pre-launch", True, "Workflow MQ Activator", ""),
        ("pending-starter", True, "Taskforce Launch Control", ""),
        ("condor-submit", True, "TMS", ""),
        (
            "pending-stopper",
            True,
            "Muster",
            "Muster deactivated (FINISHED) workflow: its inputs are closed and drained",
        ),
        ("condor-rm", True, "TMS", ""),
        ("condor-complete", True, "TMS", ""),
    ]
    account = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/account?recount=true")
    assert {key: account[key] for key in ("published", "done", "dead", "lost", "counted_twice", "adds_up")} == {
        "published": 2,
        "done": 2,
        "dead": 0,
        "lost": 0,
        "counted_twice": 0,
        "adds_up": True,
    }
    assert [(one["alias"], one["counts"]["published"], one["recount"]["agrees"]) for one in account["queues"]] == [
        ("in", 2, True),
        ("out", 2, True),
    ]


async def test_the_daemons_take_a_workflow_from_post_to_the_site_and_to_its_end(stand: Stand) -> None:
    """Nothing but wakes moves it: the net is far wider than the test is long."""
    with anyio.fail_after(10):
        async with anyio.create_task_group() as daemons:
            for daemon in make_daemons(stand.parts):
                if isinstance(daemon, WhenRung):
                    await daemons.start(daemon.run)
            orders: list[Any] = []

            async def claim() -> None:
                orders.extend((await stand.claim(wait_s=5))["start"])

            async with anyio.create_task_group() as parked:
                parked.start_soon(claim)
                workflow = await stand.submit({**NEW, "finish_when_done": True})
            assert [one["workflow_id"] for one in orders] == [workflow["workflow_id"]]

            await stand.publish(workflow, close=True)
            path = f"/muster/v1/workflows/{workflow['workflow_id']}/progress"
            progress = await stand.get(path)
            while progress["state"] == "active":
                progress = await stand.get(f"{path}?seen={progress['token']}&wait_s=5")
            assert progress["state"] == "finished"
            daemons.cancel_scope.cancel()


async def test_several_tasks_at_several_places_make_a_taskforce_each(stand: Stand) -> None:
    second = {
        **NEW_TASK,
        "input_queue_aliases": ["out"],
        "output_queue_aliases": [],
        "cluster_locations": ["far", "here"],
    }
    workflow = await stand.submit({**NEW, "tasks": [NEW_TASK, second]})
    tasks = [one["task_id"] for one in workflow["tasks"]]
    assert sorted((tasks.index(one["task_id"]), one["location"]) for one in workflow["taskforces"]) == [
        (0, "local"),
        (1, "far"),
        (1, "local"),
    ]
    await stand.advance()
    assert {one["phase"] for one in (await stand.show(workflow))["taskforces"]} == {"pending-starter"}
    assert len((await stand.claim(locations=["far"]))["start"]) == 1
    assert len((await stand.claim("site-b"))["start"]) == 2


async def test_higher_priority_goes_first(stand: Stand) -> None:
    low = await stand.submit({**NEW, "priority": 1})
    high = await stand.submit({**NEW, "priority": 99})
    await stand.advance()
    orders = (await stand.claim())["start"]
    assert [one["workflow_id"] for one in orders] == [high["workflow_id"], low["workflow_id"]]
    assert [one["taskforce_uuid"] for one in (await stand.claim("site-b", limit=1, locations=["far"]))["start"]] == []


# -- ending --------------------------------------------------------------------------------------------------------------


async def test_an_abort_before_any_cluster_leaves_nothing_to_do(stand: Stand) -> None:
    workflow = await stand.submit()
    assert await stand.end(workflow, "abort") == {
        "workflow_id": workflow["workflow_id"],
        "n_taskforces": 1,
        "state": "aborted",
    }
    await stand.advance()
    claims = await stand.claim()
    assert (claims["start"], claims["stop"]) == ([], [])
    [taskforce] = (await stand.show(workflow))["taskforces"]
    assert taskforce["phase"] == "pending-stopper"
    assert log_of(taskforce)[-1] == ("pending-stopper", True, "User", "User deactivated (ABORTED) workflow")


async def test_the_first_end_counts(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.end(workflow, "finish")
    assert await stand.end(workflow, "abort") == {
        "workflow_id": workflow["workflow_id"],
        "n_taskforces": 0,
        "state": "finished",
    }
    assert len((await stand.show(workflow))["taskforces"][0]["phase_change_log"]) == 2


async def test_an_abort_takes_back_what_workers_hold(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.publish(workflow, 1, 2)
    assert len((await stand.step(worker, 1, want=2))["events"]) == 2

    await stand.end(workflow, "abort")

    progress = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress")
    nothing = {"in_work": 0, "done": 0, "dead": 0, "failed": 0, "duplicates": 0}
    assert progress["input"] == {"published": 2, "waiting": 2, **nothing}
    assert (progress["workers"], progress["state"], progress["phases"]) == (0, "aborted", {"pending-stopper": 1})
    response = await stand.ask(
        "POST", "/muster/v1/worker/step", {"call": 2, "finished": [], "want": 1, "wait_s": 0}, by=worker["token"]
    )
    assert (response.status_code, response.json()["code"]) == (410, "session-ended")
    [stop] = (await stand.claim())["stop"]
    assert stop["grace_s"] == 0.0


async def test_a_workflow_whose_cluster_is_complete_is_ended_without_moving_anything(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    await stand.report(order, "completed", at=5.0)
    assert (await stand.show(workflow))["state"] == "active"
    assert (await stand.end(workflow, "finish"))["n_taskforces"] == 0
    [taskforce] = (await stand.show(workflow))["taskforces"]
    assert taskforce["phase"] == "condor-complete"
    assert log_of(taskforce)[-1] == (
        "pending-stopper",
        False,
        "User",
        (
            "User deactivated (FINISHED) workflow but taskforce is already ending/finished "
            "(pending-stopper, condor-rm, condor-complete)"
        ),
    )


async def test_only_the_owner_and_operators_end_a_workflow(stand: Stand) -> None:
    workflow = await stand.submit()
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/actions/abort"
    refused = await stand.ask("POST", path, {}, by=STRANGER)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await stand.ask("POST", path, {}, by=TMS)).status_code == 403
    assert (await stand.show(workflow))["state"] == "active"
    assert (await stand.post(path, by=OPERATOR))["state"] == "aborted"
    assert (await stand.show(workflow))["ended_by"] == OPERATOR


async def test_a_workflow_that_finishes_itself_waits_for_what_is_left(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "finish_when_done": True})
    assert await finish_drained(stand.parts) == DrainPass(0, 0)  # open: nobody knows what will come
    await stand.publish(workflow, 1)
    await stand.publish(workflow, 2, close=True)
    assert await finish_drained(stand.parts) == DrainPass(0, 1)
    assert (await stand.show(workflow))["state"] == "active"


# -- lists ---------------------------------------------------------------------------------------------------------------


async def test_workflows_are_listed_newest_first_a_page_at_a_time(stand: Stand) -> None:
    made = [(await stand.submit({**NEW, "name": str(number)}))["workflow_id"] for number in range(5)]
    others = (await stand.submit(by=STRANGER))["workflow_id"]

    page = await stand.get("/muster/v1/workflows?limit=2&mine=true")
    assert [one["name"] for one in page["workflows"]] == ["4", "3"]
    page = await stand.get(f"/muster/v1/workflows?limit=2&mine=true&after={page['next_after']}")
    assert [one["name"] for one in page["workflows"]] == ["2", "1"]
    page = await stand.get(f"/muster/v1/workflows?limit=2&mine=true&after={page['next_after']}")
    assert ([one["name"] for one in page["workflows"]], page["next_after"]) == (["0"], None)
    assert [one["workflow_id"] for one in (await stand.get("/muster/v1/workflows"))["workflows"]] == [
        others,
        *reversed(made),
    ]


async def test_workflows_are_listed_by_state(stand: Stand) -> None:
    ends = ["finish", "abort", None, "abort"]
    made = []
    for end in ends:
        workflow = await stand.submit()
        made.append(workflow["workflow_id"])
        if end:
            await stand.end(workflow, end)

    async def listed(query: str) -> list[int]:
        page = await stand.get(f"/muster/v1/workflows?{query}")
        return [made.index(one["workflow_id"]) for one in page["workflows"]]

    assert await listed("state=active") == [2]
    assert await listed("state=finished") == [0]
    assert await listed("state=aborted") == [3, 1]
    assert await listed("state=aborted&limit=1") == [3]
    assert await listed(f"state=aborted&limit=1&after={made[3]}") == [1]
    assert (await stand.get(f"/muster/v1/workflows?state=aborted&limit=1&after={made[3]}"))["next_after"] in (
        made[1],
        None,
    )


@pytest.mark.parametrize("is_told_to_stop", [False, True])
async def test_a_worker_that_is_still_there_when_its_taskforce_completes_has_died(
    stand: Stand, *, is_told_to_stop: bool
) -> None:
    """A pool that starts no worker again is the only one to notice. One that was told to stop may be killed for being slow."""
    workflow = await stand.submit({**NEW, "tasks": [{**NEW_TASK, "attempts": 1}]})
    await stand.publish(workflow, 1, 2)
    await stand.advance()
    [order] = (await stand.claim())["start"]
    await stand.report(order, "submitted", cluster_id=7, n_workers=1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [killer, ahead] = (await stand.step(worker, 1, want=9))["events"]
    if is_told_to_stop:
        await stand.end(workflow, "finish")

    await stand.report(order, "completed", at=5.0)

    histories = [await stand.get(f"/muster/v1/events/{one['event']}") for one in (killer, ahead)]
    outcomes = [(one["state"], [attempt["outcome"] for attempt in one["history"]]) for one in histories]
    if is_told_to_stop:
        assert outcomes == [("waiting", ["released"]), ("waiting", ["released"])]
    else:
        assert outcomes == [("dead", ["expired"]), ("waiting", ["abandoned"])]
