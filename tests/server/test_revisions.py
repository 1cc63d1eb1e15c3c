"""Is a task mended while its workflow goes on: judged whole, run by new workers, on record with each attempt?"""

import pytest

from server.stand import NEW, NEW_TASK, STRANGER, USER, Json, Stand
from server.test_brake import UNHURRIED, done, failed, path, pause

pytestmark = pytest.mark.anyio

HERE: Json = {**NEW, "tasks": [{**NEW_TASK, "retry_s": 0, "worker_config": {"n_cores": 2}}]}


async def revise(stand: Stand, task_id: str, by: str = USER, **changes: Json) -> Json:
    return await stand.post(f"/muster/v1/tasks/{task_id}/revisions", changes, by=by)


async def start(stand: Stand, new: Json = HERE) -> tuple[Json, str, Json]:
    """A workflow with one worker up: it, its task's id, its worker."""
    workflow = await stand.submit(new)
    order = await stand.start(workflow)
    return workflow, workflow["tasks"][0]["task_id"], await stand.enrol(order["taskforce_uuid"])


async def findings(stand: Stand, task_id: str, changes: Json) -> list[tuple[str, str]]:
    refused = await stand.ask("POST", f"/muster/v1/tasks/{task_id}/revisions", changes)
    assert refused.status_code == 422, refused.text
    return [(one["field"], one["reason"]) for one in refused.json()["findings"]]


async def test_new_workers_run_the_revision_and_the_old_ones_go_when_they_have_nothing_in_hand(stand: Stand) -> None:
    workflow, task_id, old = await start(stand)
    await stand.publish(workflow, 1, 2)
    [first] = (await stand.step(old, 1, want=1))["events"]

    task = await revise(
        stand, task_id, task_args="cat -n {{INFILE}}", worker_config={"worker_memory": "2G"}, reason="numbers"
    )

    [revision] = task["revisions"]
    assert revision | {"at": 0} == {
        "number": 2,
        "at": 0,
        "by": "ada",
        "reason": "numbers",
        "changes": {
            "task_args": "cat -n {{INFILE}}",
            "worker_config": workflow["taskforces"][0]["worker_config"] | {"worker_memory": "2G"},
        },
    }
    assert task["task_args"] == "cat {{INFILE}}", "what was submitted stays on record"
    before, after = (await stand.show(workflow))["taskforces"]
    assert (before["revision"], before["let_go_at"] is not None) == (1, True)
    assert (after["revision"], after["origin"], after["n_workers"]) == (2, "revised", 2)
    assert (after["worker_config"]["worker_memory"], after["worker_config"]["n_cores"]) == ("2G", 2)
    # What the old one has in hand counts; then it goes.
    answer = await stand.step(old, 2, finished=[failed(first)], want=1)
    assert (answer["verdicts"], answer["events"], answer["stop"]) == (["requeued"], [], UNHURRIED)
    order = await stand.start(workflow, cluster_id=8)
    new = await stand.enrol(order["taskforce_uuid"])
    assert (new["task"]["args"], new["task"]["memory_bytes"]) == ("cat -n {{INFILE}}", 2 << 30)
    events = (await stand.step(new, 1, want=2))["events"]
    await stand.step(new, 2, finished=[done(one) for one in events])
    history = (await stand.get(f"/muster/v1/events/{first['event']}"))["history"]
    assert [(one["outcome"], one["revision"]) for one in history] == [("failed", 1), ("done", 2)]


async def test_clients_of_ewms_go_on_seeing_what_was_submitted(stand: Stand) -> None:
    _workflow, task_id, _ = await start(stand)

    await revise(stand, task_id, task_args="cat -n {{INFILE}}")

    seen = await stand.get(f"/v1/task-directives/{task_id}")
    assert seen["task_args"] == "cat {{INFILE}}"
    assert "revisions" not in seen
    [found] = (await stand.post("/muster/v1/query/tasks", {"query": {"task_id": task_id}}))["objects"]
    assert found == (await stand.get(f"/muster/v1/tasks/{task_id}"))


async def test_a_workflow_that_stopped_itself_is_mended_and_goes_on(stand: Stand) -> None:
    new = {**HERE, "tasks": [{**HERE["tasks"][0], "brake_attempts": 10}]}
    workflow, task_id, old = await start(stand, new)
    await stand.publish(workflow, *range(12))
    events = (await stand.step(old, 1, want=12))["events"]
    await stand.step(old, 2, finished=[failed(one) for one in events])
    assert (await stand.show(workflow))["brake"]["by"] == "muster"

    await revise(stand, task_id, task_args="cat {{INFILE}} -")
    await stand.post(path(workflow, "actions/resume"))
    order = await stand.start(workflow, cluster_id=8)

    new_worker = await stand.enrol(order["taskforce_uuid"])
    events = (await stand.step(new_worker, 1, want=12))["events"]
    assert len(events) == 12
    # The failures of before do not count against the new revision.
    await stand.step(new_worker, 2, finished=[failed(one) for one in events[:9]])
    assert (await stand.show(workflow))["brake"] is None


async def test_a_task_of_a_drained_workflow_gets_its_new_workers_when_it_goes_on(stand: Stand) -> None:
    workflow, task_id, _ = await start(stand)
    await pause(stand, workflow, "drain")

    await revise(stand, task_id, task_args="cat -n {{INFILE}}")
    assert len((await stand.show(workflow))["taskforces"]) == 1
    await stand.post(path(workflow, "actions/resume"))

    order = await stand.start(workflow, cluster_id=8)
    assert (await stand.enrol(order["taskforce_uuid"]))["task"]["args"] == "cat -n {{INFILE}}"


async def test_workers_that_are_added_run_the_newest_revision(stand: Stand) -> None:
    _workflow, task_id, _ = await start(stand)
    await revise(stand, task_id, task_args="cat -n {{INFILE}}", worker_config={"n_cores": 4})

    more = {"location": "local", "n_workers": 3}
    added = await stand.post(f"/muster/v1/tasks/{task_id}/actions/add-workers", more)

    assert (added["revision"], added["worker_config"]["n_cores"]) == (2, 4)


async def test_a_second_revision_goes_on_from_the_first(stand: Stand) -> None:
    workflow, task_id, _ = await start(stand)
    await revise(stand, task_id, task_args="cat -n {{INFILE}}", timeout_s=60)

    task = await revise(stand, task_id, timeout_s=None)

    assert [(one["number"], one["changes"]) for one in task["revisions"]] == [
        (2, {"task_args": "cat -n {{INFILE}}", "timeout_s": 60.0}),
        (3, {"timeout_s": None}),
    ]
    newest = (await stand.show(workflow))["taskforces"][-1]
    assert newest["revision"] == 3


async def test_the_rules_of_submission_are_those_of_a_revision(stand: Stand) -> None:
    _, task_id, _ = await start(stand)

    assert await findings(stand, task_id, {"task_args": "cat {{INFIL}}"}) == [
        ("task_args", "{{INFIL}} is no placeholder: did you mean {{INFILE}}?")
    ]
    assert await findings(stand, task_id, {"worker_config": {"worker_memory": "lots"}, "timeout_s": -1}) == [
        ("timeout_s", "must be more than 0 and at most 31622400 seconds"),
        ("worker_config.worker_memory", (await _reason_of_size(stand))),
    ]
    assert await findings(stand, task_id, {"task_args": "cat {{INFILE}}"}) == [
        ("", "changes nothing: the task is like this already")
    ]
    assert await findings(stand, task_id, {}) == [("", "changes nothing: the task is like this already")]
    [(_, unknown)] = await findings(stand, task_id, {"attempts": 7})
    assert "'attempts'" in unknown


async def _reason_of_size(stand: Stand) -> str:
    new = {**NEW, "tasks": [{**NEW_TASK, "worker_config": {"worker_memory": "lots"}}]}
    refused = await stand.ask("POST", "/muster/v1/workflows", new)
    return str(refused.json()["findings"][0]["reason"])


async def test_what_a_variable_says_can_be_said_otherwise_by_its_field_or_by_itself(stand: Stand) -> None:
    environment = {"MUSTER_TASK_TIMEOUT_S": "5", "MUSTER_TASK_ATTEMPTS": "3", "OTHER": "1"}
    _, task_id, _ = await start(stand, {**NEW, "tasks": [{**NEW_TASK, "pilot_config": {"environment": environment}}]})

    by_field = await revise(stand, task_id, timeout_s=10)
    assert by_field["revisions"][0]["changes"]["timeout_s"] == 10.0
    left = by_field["revisions"][0]["changes"]["pilot_config"]["environment"]
    assert left == {"MUSTER_TASK_ATTEMPTS": "3", "OTHER": "1"}

    by_itself = await revise(stand, task_id, environment={**left, "MUSTER_TASK_TIMEOUT_S": "20"})
    assert by_itself["revisions"][1]["changes"]["timeout_s"] == 20.0

    assert await findings(stand, task_id, {"environment": {"MUSTER_TASK_ATTEMPTS": "4"}}) == [
        ("environment", "says attempts 4: its queues have 3, for good")
    ]


async def test_the_same_request_twice_is_one_revision(stand: Stand) -> None:
    _, task_id, _ = await start(stand)
    key = {"idempotency-key": "mend-1"}
    changes = {"task_args": "cat -n {{INFILE}}"}

    first = await stand.post(f"/muster/v1/tasks/{task_id}/revisions", changes, headers=key)
    again = await stand.post(f"/muster/v1/tasks/{task_id}/revisions", changes, headers=key)

    assert first == again
    assert len((await stand.get(f"/muster/v1/tasks/{task_id}"))["revisions"]) == 1


async def test_only_the_owner_mends_and_nothing_that_was_aborted(stand: Stand) -> None:
    workflow, task_id, _ = await start(stand)
    changes = {"task_args": "cat -n {{INFILE}}"}

    assert (await stand.ask("POST", f"/muster/v1/tasks/{task_id}/revisions", changes, by=STRANGER)).status_code == 403
    await stand.end(workflow, "abort")
    refused = await stand.ask("POST", f"/muster/v1/tasks/{task_id}/revisions", changes)
    assert (refused.status_code, "was aborted, and stays so" in refused.text) == (409, True)


async def test_a_task_of_a_finished_workflow_is_mended_before_its_dead_letters_are_replayed(stand: Stand) -> None:
    workflow, task_id, worker = await start(stand, {**NEW, "tasks": [{**NEW_TASK, "attempts": 1}]})
    await stand.publish(workflow, 1)
    [event] = (await stand.step(worker, 1, want=1))["events"]
    await stand.step(worker, 2, finished=[failed(event)])
    await stand.end(workflow, "finish")

    await revise(stand, task_id, task_args="cat -n {{INFILE}}")
    assert [one["revision"] for one in (await stand.show(workflow))["taskforces"]] == [1]
    await stand.post(path(workflow, "dead-letters/actions/replay"), {})

    order = await stand.start(workflow, cluster_id=8)
    assert (await stand.enrol(order["taskforce_uuid"]))["task"]["args"] == "cat -n {{INFILE}}"


async def test_what_upstreams_agent_runs_is_neither_mended_nor_stopped_for_a_while(stand: Stand) -> None:
    new = {**NEW, "tasks": [{**NEW_TASK, "cluster_locations": ["beside"], "task_image": "x/y:1"}]}
    workflow = await stand.submit(new)
    task_id = workflow["tasks"][0]["task_id"]

    for where in (
        f"/muster/v1/tasks/{task_id}/revisions",
        path(workflow, "actions/pause"),
        path(workflow, "actions/drain"),
    ):
        body = {"task_args": "b"} if "tasks" in where else {}
        refused = await stand.ask("POST", where, body)
        assert (refused.status_code, "started by upstream's agent" in refused.text) == (409, True)


async def test_who_follows_is_told(stand: Stand) -> None:
    workflow, task_id, _ = await start(stand)
    await revise(stand, task_id, task_args="cat -n {{INFILE}}", reason="numbers")

    def look(tx: Json) -> list[Json]:
        newest = tx.outbox.list_newest(workflow["workflow_id"], limit=32)
        return [dict(one.data) for _, one in newest.notices if one.kind == "task.revised"]

    assert await stand.parts.store.read(look) == [{"task_id": task_id, "revision": 2, "by": "ada", "reason": "numbers"}]


async def test_a_task_whose_location_is_no_more_is_judged_as_any_other(stand: Stand) -> None:
    _, task_id, _ = await start(stand)
    stand.parts.locations.pop("local")  # type: ignore[attr-defined]

    [(field, reason)] = await findings(stand, task_id, {"task_args": ""})

    assert (field, "must be a command" in reason) == ("task_args", True)
