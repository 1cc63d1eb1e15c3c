"""Do EWMS's users and its task management service find what they know? (wms.md)"""

import re
from typing import Any

import pytest

from server.stand import EWMS_NEW, EWMS_TASK, OPERATOR, STRANGER, TMS, USER, Json, Stand

pytestmark = pytest.mark.anyio

WORKFLOW_FIELDS = {"workflow_id", "timestamp", "priority", "deactivated", "deactivated_ts"}
DIRECTIVE_FIELDS = {
    "task_id",
    "workflow_id",
    "timestamp",
    "cluster_locations",
    "task_image",
    "task_args",
    "task_env",
    "init_image",
    "init_args",
    "init_env",
    "input_queues",
    "output_queues",
}
TASKFORCE_FIELDS = [
    "taskforce_uuid",
    "task_id",
    "workflow_id",
    "timestamp",
    "priority",
    "collector",
    "schedd",
    "n_workers",
    "worker_config",
    "pilot_config",
    "cluster_id",
    "submit_dict",
    "job_event_log_fpath",
    "phase",
    "phase_change_log",
    "compound_statuses",
    "top_task_errors",
]
SUBMITTED = {
    "cluster_id": 123,
    "n_workers": 5,
    "submit_dict": {"executable": "x", "request_cpus": 1},
    "job_event_log_fpath": "/jel/2026-3-1.tms.jel",
}
UNKNOWN = "TF-6b0259da-962b1dcf-6713e685-1b7b398a"


async def submit(stand: Stand, **changes: Json) -> Json:
    return await stand.post("/v1/workflows", {**EWMS_NEW, **changes})


async def ready(stand: Stand, **changes: Json) -> Json:
    made = await submit(stand, **changes)
    await stand.advance()
    return made["taskforces"][0]


async def pending(stand: Stand, what: str, schedd: str = "SCHEDD1") -> Json:
    return await stand.get(f"/v1/tms/pending-{what}/taskforces?schedd={schedd}", by=TMS)


async def tms(stand: Stand, what: str, uuid: str, body: Json = None) -> Json:
    return await stand.post(f"/v1/tms/{what}".replace("UUID", uuid), body, by=TMS)


async def show(stand: Stand, uuid: str) -> Json:
    return await stand.get(f"/v1/taskforces/{uuid}", by=TMS)


async def error_of(
    stand: Stand, method: str, path: str, body: Json = None, *, by: str | None = USER
) -> tuple[int, str]:
    response = await stand.ask(method, path, body, by=by)
    answer = response.json()
    assert set(answer) == {"code", "error"}
    assert answer["code"] == response.status_code
    return response.status_code, answer["error"]


# -- a user --------------------------------------------------------------------------------------------------------------


async def test_a_submission_is_answered_with_exactly_upstreams_fields(stand: Stand) -> None:
    response = await stand.ask("POST", "/v1/workflows", {**EWMS_NEW, "priority": 7})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json; charset=UTF-8")
    made = response.json()
    assert set(made) == {"workflow", "task_directives", "taskforces"}

    assert set(made["workflow"]) == WORKFLOW_FIELDS
    assert (made["workflow"]["priority"], made["workflow"]["deactivated"]) == (7, None)
    assert re.fullmatch(r"WF-[0-9a-f]{8}-[0-9a-f]{8}", made["workflow"]["workflow_id"])

    [directive] = made["task_directives"]
    assert set(directive) == DIRECTIVE_FIELDS
    assert (directive["cluster_locations"], directive["task_env"], directive["init_image"]) == (["test-alpha"], {}, "")
    assert all(re.fullmatch(r"a[0-9a-f]{20}", one) for one in (*directive["input_queues"], *directive["output_queues"]))

    [taskforce] = made["taskforces"]
    assert list(taskforce) == TASKFORCE_FIELDS
    assert (taskforce["schedd"], taskforce["collector"], taskforce["priority"]) == ("SCHEDD1", None, 7)
    assert taskforce["worker_config"] == EWMS_TASK["worker_config"]
    assert taskforce["pilot_config"] == {**EWMS_TASK["pilot_config"], "tag": "0.1.0", "image_source": "cvmfs"}
    assert (taskforce["cluster_id"], taskforce["submit_dict"], taskforce["job_event_log_fpath"]) == (None, {}, "")
    [entry] = taskforce["phase_change_log"]
    assert {**entry, "timestamp": 0} == {
        "target_phase": "pre-mq-activation",
        "timestamp": 0,
        "was_successful": True,
        "source_event_time": None,
        "source_entity": "USER",
        "context": "Created during initial workflow request.",
    }
    assert await stand.get(f"/v1/workflows/{made['workflow']['workflow_id']}") == made["workflow"]
    assert await stand.get(f"/v1/task-directives/{directive['task_id']}") == directive
    assert await stand.get(f"/v1/taskforces/{taskforce['taskforce_uuid']}") == taskforce


async def test_only_the_older_version_shows_the_collector_of_a_location(stand: Stand) -> None:
    new = {**EWMS_NEW, "tasks": [{**EWMS_TASK, "cluster_locations": ["beside"]}]}
    [first] = (await stand.post("/v1/workflows", new))["taskforces"]
    path = f"task-directives/{first['task_id']}/actions/add-workers"
    more = await stand.post(f"/v0/{path}", {"cluster_location": "beside", "n_workers": 1})

    assert (first["collector"], more["collector"]) == (None, "cm.example.org")
    assert (await stand.get(f"/v0/taskforces/{first['taskforce_uuid']}"))["collector"] == "cm.example.org"


async def test_an_agent_of_the_older_version_finds_what_is_at_its_collector_or_at_none(stand: Stand) -> None:
    beside = await ready(stand, tasks=[{**EWMS_TASK, "cluster_locations": ["beside"]}])
    anywhere = await ready(stand)  # its location names no collector

    async def offered(schedd: str, collector: str) -> Json:
        path = f"/v0/tms/pending-starter/taskforces?schedd={schedd}&collector={collector}"
        return (await stand.get(path, by=TMS)).get("taskforce_uuid")

    assert await offered("local", "cm.example.org") == beside["taskforce_uuid"]
    assert await offered("local", "other") is None
    assert await offered("SCHEDD1", "other") == anywhere["taskforce_uuid"]


async def test_the_older_version_has_the_pilots_variables_of_the_task_in_the_taskforce(stand: Stand) -> None:
    task = {**EWMS_TASK, "task_env": {"A": "x", "N": 5, "L": [1, {"b": None}]}, "init_image": "init:1"}
    task = {**task, "pilot_config": {"tag": "latest", "environment": {"B": 2}, "input_files": []}}
    worker_config = {**EWMS_TASK["worker_config"], "worker_memory": "1G"}
    new = {"public_queue_aliases": ["in", "out"], "tasks": [{**task, "worker_config": worker_config}]}

    [made] = (await stand.post("/v0/workflows", new))["taskforces"]

    assert made["pilot_config"] == {
        "tag": "0.1.0",
        "environment": {
            "B": 2,
            "EWMS_PILOT_TASK_IMAGE": EWMS_TASK["task_image"],
            "EWMS_PILOT_TASK_ARGS": EWMS_TASK["task_args"],
            "EWMS_PILOT_TASK_ENV_JSON": '{"A": "x", "N": "5", "L": "[1, {\\"b\\": null}]"}',
            "EWMS_PILOT_INIT_IMAGE": "init:1",
        },
        "input_files": [],
    }
    assert (await show(stand, made["taskforce_uuid"]))["pilot_config"]["environment"] == {"B": 2}


async def test_sizes_in_bytes_are_text_in_the_older_version(stand: Stand) -> None:
    made = await ready(stand)

    config = (await stand.get(f"/v0/taskforces/{made['taskforce_uuid']}"))["worker_config"]
    assert (config["worker_disk"], config["worker_memory"]) == ("512M", "524288K")


async def test_the_example_of_upstreams_readme_is_accepted_as_it_stands(stand: Stand) -> None:
    task = {key: value for key, value in EWMS_TASK.items() if key != "pilot_config"}
    task["worker_config"] = {key: value for key, value in task["worker_config"].items() if key != "condor_requirements"}
    made = await submit(stand, tasks=[task])
    [taskforce] = made["taskforces"]
    assert taskforce["worker_config"]["condor_requirements"] == ""
    assert taskforce["pilot_config"] == {"tag": "0.1.0", "image_source": "cvmfs", "environment": {}, "input_files": []}


async def test_a_partial_pilot_config_and_unused_public_aliases_are_accepted(stand: Stand) -> None:
    task = {**EWMS_TASK, "pilot_config": {"environment": {"EWMS_PILOT_TASK_TIMEOUT": 60, "MUSTER_TASK_ATTEMPTS": 2}}}
    made = await submit(stand, tasks=[task], public_queue_aliases=["in", "no-task-knows-me"])
    ours = await stand.get(f"/muster/v1/workflows/{made['workflow']['workflow_id']}")
    assert (ours["tasks"][0]["timeout_s"], ours["tasks"][0]["attempts"]) == (60.0, 2)
    assert [one["alias"] for one in ours["queues"]] == ["in", "out"]


async def test_integers_may_be_written_with_a_point(stand: Stand) -> None:
    made = await submit(stand, tasks=[{**EWMS_TASK, "n_workers": 5.0}], priority=60.0)
    assert (made["taskforces"][0]["n_workers"], made["workflow"]["priority"]) == (5, 60)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tasks": []}, "'tasks': must have at least 1 items"),
        ({"tasks": [EWMS_TASK, EWMS_TASK]}, "'tasks[1]': items must be unique"),
        ({"extra": 1}, "Additional properties are not allowed ('extra' was unexpected)"),
        ({"public_queue_aliases": ["in", "in"]}, "'public_queue_aliases[1]': items must be unique"),
        ({"tasks": [{**EWMS_TASK, "cluster_locations": ["mars"]}]}, "condor cluster location not found: mars"),
        ({"tasks": [{**EWMS_TASK, "n_workers": None}]}, "'tasks[0].n_workers': must be at least 1"),
        ({"tasks": [{**EWMS_TASK, "init_image": None}]}, "'tasks[0].init_image': must be type 'string' (str)"),
        (
            {"tasks": [{**EWMS_TASK, "pilot_config": {"environment": {"EWMS_PILOT_TASK_IMAGE": "x"}}}]},
            (
                "tasks[0].pilot_config.environment cannot include the attribute 'EWMS_PILOT_TASK_IMAGE'. "
                "Use the top-level equivalent attribute instead."
            ),
        ),
        (
            {"tasks": [{**EWMS_TASK, "pilot_config": {"environment": {"MUSTER_WORKER_BATCH": "many"}}}]},
            (
                "'tasks[0].pilot_config.environment.MUSTER_WORKER_BATCH': "
                "is 'many'; must be a whole number, 1 to 2147483647"
            ),
        ),
    ],
)
async def test_what_is_wrong_is_told_with_400(stand: Stand, changes: Json, text: str) -> None:
    assert await error_of(stand, "POST", "/v1/workflows", {**EWMS_NEW, **changes}) == (400, text)


@pytest.mark.parametrize("field", ["cluster_locations", "task_image", "task_args", "worker_config", "n_workers"])
async def test_what_is_missing_is_named(stand: Stand, field: str) -> None:
    task = {key: value for key, value in EWMS_TASK.items() if key != field}
    assert await error_of(stand, "POST", "/v1/workflows", {**EWMS_NEW, "tasks": [task]}) == (
        400,
        f"'tasks[0]': '{field}' is a required property",
    )


async def test_bodies_that_are_none(stand: Stand) -> None:
    assert await error_of(stand, "POST", "/v1/workflows", b"") == (400, "Missing required request body")
    status, text = await error_of(stand, "POST", "/v1/workflows", b"{")
    assert (status, text.partition(":")[0]) == (400, "Request body validation error")


@pytest.mark.parametrize(("action", "word"), [("abort", "ABORTED"), ("finished", "FINISHED")])
async def test_ending_a_workflow_twice_is_answered_twice(stand: Stand, action: str, word: str) -> None:
    made = await submit(stand)
    workflow_id = made["workflow"]["workflow_id"]
    path = f"/v1/workflows/{workflow_id}/actions/{action}"
    assert await stand.post(path) == {"workflow_id": workflow_id, "n_taskforces": 1}
    assert await stand.post(path) == {"workflow_id": workflow_id, "n_taskforces": 0}
    assert (await stand.get(f"/v1/workflows/{workflow_id}"))["deactivated"] == word


async def test_names_that_are_unknown_are_told_in_upstreams_words(stand: Stand) -> None:
    for method, path, body, text in (
        ("GET", "/v1/workflows/WF-1", None, "no workflow found with id: WF-1"),
        ("POST", "/v1/workflows/WF-1/actions/abort", {}, "no non-deactivated workflow found with workflow_id='WF-1'"),
        (
            "POST",
            "/v1/workflows/WF-1/actions/finished",
            {},
            "no non-deactivated workflow found with workflow_id='WF-1'",
        ),
        ("GET", "/v1/task-directives/TK-1", None, "no task found with id: TK-1"),
        (
            "POST",
            "/v1/task-directives/TK-1/actions/add-workers",
            {"cluster_location": "test-alpha", "n_workers": 1},
            "no task found with id: TK-1",
        ),
        ("GET", f"/v1/taskforces/{UNKNOWN}", None, f"no taskforce found with uuid: {UNKNOWN}"),
    ):
        assert await error_of(stand, method, path, body) == (404, text)
    for path, told, text in (
        ("condor-submit/taskforces/UUID", SUBMITTED, "no 'pending-starter' taskforce found with uuid: "),
        ("condor-submit/taskforces/UUID/failed", {}, "no 'pending-starter' taskforce found with uuid: "),
        ("condor-rm/taskforces/UUID", {}, "no taskforce found with uuid: "),
        ("condor-rm/taskforces/UUID/failed", {}, "no taskforce found with uuid: "),
        (
            "condor-complete/taskforces/UUID",
            {"condor_complete_ts": 1},
            "no non-condor-completed taskforce found with uuid: ",
        ),
    ):
        route = f"/v1/tms/{path}".replace("UUID", UNKNOWN)
        assert await error_of(stand, "POST", route, told, by=TMS) == (404, text + UNKNOWN)


@pytest.mark.parametrize(
    "path", ["/v1/workflows/a.b", "/v1/workflows/..%2fx", "/v1", "/v1/nothing", "/v1/workflows/", "/v1//"]
)
async def test_unknown_routes_are_404(stand: Stand, path: str) -> None:
    assert await error_of(stand, "GET", path) == (404, "Not Found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_405_and_need_no_token(stand: Stand, method: str) -> None:
    for path in ("/v1/", "/v1/workflows", "/v1/workflows/WF-1", f"/v1/taskforces/{UNKNOWN}"):
        assert await error_of(stand, method, path, by=None) == (405, "Method Not Allowed")
    assert (await stand.ask("HEAD", "/v1/", by=None)).status_code == 405


# -- who may -------------------------------------------------------------------------------------------------------------


async def test_whoever_is_not_known_is_answered_403_before_anything_is_read(stand: Stand) -> None:
    for by in (None, "nobody"):
        assert await error_of(stand, "POST", "/v1/workflows", b"{", by=by) == (403, "authentication failed")
        assert await error_of(stand, "GET", "/v1/", by=by) == (403, "authentication failed")


async def test_each_route_is_for_its_roles(stand: Stand) -> None:
    no = (403, "authorization failed")
    assert await error_of(stand, "POST", "/v1/workflows", EWMS_NEW, by=TMS) == no
    assert await error_of(stand, "GET", "/v1/", by=TMS) == no
    assert await error_of(stand, "GET", "/v1/task-directives/TK-1", by=TMS) == no
    for what in ("condor-submit", "condor-rm", "condor-complete"):
        assert await error_of(stand, "POST", f"/v1/tms/{what}/taskforces/{UNKNOWN}", {}, by=USER) == no
    assert await error_of(stand, "POST", "/v1/tms/statuses/taskforces", {}, by=USER) == no
    for by in (USER, TMS):
        assert await stand.get("/v1/tms/pending-starter/taskforces?schedd=SCHEDD1", by=by) == {}
        assert await stand.get("/v1/tms/pending-stopper/taskforces?schedd=SCHEDD1", by=by) == {}


async def test_a_workflow_is_its_owners(stand: Stand) -> None:
    made = await submit(stand)
    workflow_id = made["workflow"]["workflow_id"]
    path = f"/v1/workflows/{workflow_id}/actions/abort"
    why = f"workflow {workflow_id} belongs to ada; only the owner and operators may do this"
    for version in ("v0", "v1"):
        for action in ("abort", "finished"):
            tried = f"/{version}/workflows/{workflow_id}/actions/{action}"
            assert await error_of(stand, "POST", tried, {}, by=STRANGER) == (403, why)
    assert (await stand.post(path, by=OPERATOR))["n_taskforces"] == 1


# -- starter, stopper, watcher -------------------------------------------------------------------------------------------


async def test_the_whole_life_as_upstreams_parties_live_it(stand: Stand) -> None:
    made = await submit(stand)
    assert await pending(stand, "starter") == {}
    await stand.advance()
    uuid = made["taskforces"][0]["taskforce_uuid"]

    offer = await pending(stand, "starter")
    assert set(offer) == {"taskforce", "task_directive", "mqprofiles"}
    assert offer["taskforce"]["taskforce_uuid"] == uuid
    assert offer["task_directive"] == made["task_directives"][0]
    assert [one["mqid"] for one in offer["mqprofiles"]] == [
        *offer["task_directive"]["input_queues"],
        *offer["task_directive"]["output_queues"],
    ]
    assert await pending(stand, "starter") == offer  # nothing is leased
    assert await pending(stand, "starter", "SCHEDD2") == {}
    assert (await show(stand, uuid))["phase"] == "pending-starter"

    assert await tms(stand, "condor-submit/taskforces/UUID", uuid, SUBMITTED) == {"taskforce_uuid": uuid}
    started = await show(stand, uuid)
    assert {key: started[key] for key in (*SUBMITTED, "phase")} == {**SUBMITTED, "phase": "condor-submit"}
    assert await pending(stand, "starter") == {}

    report = {
        "compound_statuses_by_taskforce": {uuid: {"RUNNING": {"Tasking": 4}, "HELD: a.b $x": {"null": 1}}},
        "top_task_errors_by_taskforce": {uuid: {"ValueError: 1.5": 2}},
    }
    assert await tms(stand, "statuses/taskforces", uuid, report) == {"results": [{"uuid": uuid, "status": "updated"}]}

    assert await pending(stand, "stopper") == {}
    await stand.post(f"/v1/workflows/{made['workflow']['workflow_id']}/actions/finished")
    bare = await pending(stand, "stopper")
    assert list(bare) == TASKFORCE_FIELDS
    assert (bare["taskforce_uuid"], bare["cluster_id"], bare["phase"]) == (uuid, 123, "pending-stopper")
    assert await tms(stand, "condor-rm/taskforces/UUID", uuid) == {"taskforce_uuid": uuid}
    assert await pending(stand, "stopper") == {}
    assert await tms(stand, "statuses/taskforces", uuid, {"compound_statuses_by_taskforce": {uuid: {}}}) == {
        "results": [{"uuid": uuid, "status": "updated"}]
    }
    assert await tms(stand, "condor-complete/taskforces/UUID", uuid, {"condor_complete_ts": 1700000000}) == {
        "taskforce_uuid": uuid
    }
    ended = await show(stand, uuid)
    assert (ended["phase"], ended["compound_statuses"]) == ("condor-complete", {})
    assert ended["top_task_errors"] == {"ValueError: 1.5": 2}
    assert [
        (one["target_phase"], one["source_entity"], one["source_event_time"]) for one in ended["phase_change_log"]
    ] == [
        ("pre-mq-activation", "USER", None),
        ("pre-launch", "Workflow MQ Activator", None),
        ("pending-starter", "Taskforce Launch Control", None),
        ("condor-submit", "TMS", None),
        ("pending-stopper", "User", None),
        ("condor-rm", "TMS", None),
        ("condor-complete", "TMS", 1700000000.0),
    ]
    assert all(one["was_successful"] and isinstance(one["context"], str) for one in ended["phase_change_log"])


async def test_a_taskforce_stopped_before_it_had_a_cluster_is_never_offered(stand: Stand) -> None:
    taskforce = await ready(stand)
    await stand.post(f"/v1/workflows/{taskforce['workflow_id']}/actions/abort")
    assert (await pending(stand, "starter"), await pending(stand, "stopper")) == ({}, {})
    assert (await show(stand, taskforce["taskforce_uuid"]))["phase"] == "pending-stopper"


async def test_a_cluster_confirmed_after_the_abort_is_offered_for_stopping(stand: Stand) -> None:
    taskforce = await ready(stand)
    await stand.post(f"/v1/workflows/{taskforce['workflow_id']}/actions/abort")
    await tms(stand, "condor-submit/taskforces/UUID", taskforce["taskforce_uuid"], SUBMITTED)
    assert (await pending(stand, "stopper"))["cluster_id"] == 123


async def test_failures_are_offered_again_twice_and_the_fewest_failures_first(stand: Stand) -> None:
    first, second = await ready(stand), await ready(stand)
    uuid = first["taskforce_uuid"]
    assert (await pending(stand, "starter"))["taskforce"]["taskforce_uuid"] == uuid
    await tms(stand, "condor-submit/taskforces/UUID/failed", uuid, {"error": "no disk"})
    assert (await pending(stand, "starter"))["taskforce"]["taskforce_uuid"] == second["taskforce_uuid"]
    for body in ({"error": "no disk"}, {}):
        await tms(stand, "condor-submit/taskforces/UUID/failed", uuid, body)
    await tms(stand, "condor-submit/taskforces/UUID", second["taskforce_uuid"], SUBMITTED)
    assert await pending(stand, "starter") == {}
    shown = await show(stand, uuid)
    assert shown["phase"] == "pending-starter"
    assert [(one["target_phase"], one["was_successful"], one["context"]) for one in shown["phase_change_log"][-3:]] == [
        ("condor-submit", False, "ERROR: no disk"),
        ("condor-submit", False, "ERROR: no disk"),
        ("condor-submit", False, "ERROR: "),
    ]


async def test_a_removal_that_fails_is_taken_without_an_error_text(stand: Stand) -> None:
    taskforce = await ready(stand)
    uuid = taskforce["taskforce_uuid"]
    await tms(stand, "condor-submit/taskforces/UUID", uuid, SUBMITTED)
    await stand.post(f"/v1/workflows/{taskforce['workflow_id']}/actions/abort")
    for _ in range(3):
        assert (await pending(stand, "stopper"))["taskforce_uuid"] == uuid
        await tms(stand, "condor-rm/taskforces/UUID/failed", uuid, {})
    assert await pending(stand, "stopper") == {}


async def test_reports_may_come_twice_late_and_too_early(stand: Stand) -> None:
    taskforce = await ready(stand)
    uuid = taskforce["taskforce_uuid"]
    await tms(stand, "condor-rm/taskforces/UUID", uuid)  # too early: written down, nothing moves
    assert (await show(stand, uuid))["phase"] == "pending-starter"
    for _ in range(2):
        await tms(stand, "condor-submit/taskforces/UUID", uuid, SUBMITTED)
    for ts in (5, 6):
        await tms(stand, "condor-complete/taskforces/UUID", uuid, {"condor_complete_ts": ts})
    await tms(stand, "condor-rm/taskforces/UUID", uuid)  # backwards: written down, nothing moves
    shown = await show(stand, uuid)
    assert shown["phase"] == "condor-complete"
    assert [(one["target_phase"], one["was_successful"]) for one in shown["phase_change_log"][3:]] == [
        ("condor-rm", False),
        ("condor-submit", True),
        ("condor-complete", True),
        ("condor-rm", False),
    ]
    assert (await stand.get(f"/v1/workflows/{taskforce['workflow_id']}"))["deactivated"] is None


async def test_statuses_of_unknown_taskforces_come_first_with_207(stand: Stand) -> None:
    uuid = (await ready(stand))["taskforce_uuid"]
    body = {"compound_statuses_by_taskforce": {uuid: {"IDLE": {"null": 2}}, "TF-a": {}}}
    response = await stand.ask("POST", "/v1/tms/statuses/taskforces", body, by=TMS)
    assert response.status_code == 207
    assert response.json() == {
        "results": [
            {"uuid": "TF-a", "status": "failed", "error": "no taskforce found with uuid"},
            {"uuid": uuid, "status": "updated"},
        ]
    }
    assert await tms(stand, "statuses/taskforces", uuid, {}) == {"results": []}
    status, text = await error_of(
        stand, "POST", "/v1/tms/statuses/taskforces", {"compound_statuses_by_taskforce": {}}, by=TMS
    )
    assert (status, text) == (400, "'compound_statuses_by_taskforce': must have at least 1 entries")


@pytest.mark.parametrize("query", ["", "?schedd=", "?collector=x"])
async def test_asking_without_a_schedd_is_told(stand: Stand, query: str) -> None:
    for what in ("starter", "stopper"):
        path = f"/v1/tms/pending-{what}/taskforces{query}"
        assert await error_of(stand, "GET", path, by=TMS) == (400, "Missing required query parameter: schedd")


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster_id": None},
        {"cluster_id": 2**70},
        {"n_workers": -1},
        {"submit_dict": {"a": None}},
        {"x": 1},
        {"job_event_log_fpath": "a\x00b"},
    ],
)
async def test_a_confirmation_that_cannot_be_kept_is_refused(stand: Stand, changes: Json) -> None:
    uuid = (await ready(stand))["taskforce_uuid"]
    status, _ = await error_of(
        stand, "POST", f"/v1/tms/condor-submit/taskforces/{uuid}", {**SUBMITTED, **changes}, by=TMS
    )
    assert status == 400
    assert (await show(stand, uuid))["phase"] == "pending-starter"


async def test_other_fields_of_a_taskforce_may_come_along(stand: Stand) -> None:
    taskforce = await ready(stand)
    body = {**taskforce, **SUBMITTED}
    await tms(stand, "condor-submit/taskforces/UUID", taskforce["taskforce_uuid"], body)
    assert (await show(stand, taskforce["taskforce_uuid"]))["cluster_id"] == 123


async def test_upstreams_agent_sees_and_touches_nothing_of_ours(stand: Stand) -> None:
    made = await submit(stand, tasks=[{**EWMS_TASK, "cluster_locations": ["local"]}])
    await stand.advance()
    uuid = made["taskforces"][0]["taskforce_uuid"]
    assert await pending(stand, "starter", "local") == {}
    status, _ = await error_of(stand, "POST", f"/v1/tms/condor-submit/taskforces/{uuid}", SUBMITTED, by=TMS)
    assert status == 404
    [order] = (await stand.claim())["start"]
    assert order["taskforce_uuid"] == uuid
    assert (await show(stand, uuid))["phase"] == "pending-starter"


# -- more workers --------------------------------------------------------------------------------------------------------


async def add(stand: Stand, task_id: str, by: str = USER, **changes: Any) -> Json:
    body = {"cluster_location": "test-beta", "n_workers": 9, **changes}
    return await stand.post(f"/v1/task-directives/{task_id}/actions/add-workers", body, by=by)


async def test_more_workers_are_a_taskforce_that_goes_first(stand: Stand) -> None:
    first = await ready(stand)
    added = await add(stand, first["task_id"])
    assert list(added) == TASKFORCE_FIELDS
    assert (added["schedd"], added["n_workers"], added["priority"]) == ("SCHEDD2", 9, first["priority"] + 100)
    assert (added["worker_config"], added["pilot_config"]) == (first["worker_config"], first["pilot_config"])
    [entry] = added["phase_change_log"]
    assert (entry["source_entity"], entry["context"]) == (
        "USER",
        "Created when adding more workers for this task directive.",
    )
    await stand.advance()
    log = (await show(stand, added["taskforce_uuid"]))["phase_change_log"]
    assert log[1]["context"] == "Auto-advanced because workflow has already been mq-activated."
    assert (await pending(stand, "starter", "SCHEDD2"))["taskforce"]["taskforce_uuid"] == added["taskforce_uuid"]
    directive = await stand.get(f"/v1/task-directives/{first['task_id']}")
    assert directive["cluster_locations"] == ["test-alpha"]  # not extended


async def test_the_agent_may_add_workers_and_a_stranger_may_not(stand: Stand) -> None:
    first = await ready(stand)
    assert (await add(stand, first["task_id"], by=TMS))["phase_change_log"][0]["source_entity"] == "TMS"
    path = f"/v1/task-directives/{first['task_id']}/actions/add-workers"
    body = {"cluster_location": "test-beta", "n_workers": 1}
    why = f"workflow {first['workflow_id']} belongs to ada; only the owner and operators may do this"
    assert await error_of(stand, "POST", path, body, by=STRANGER) == (403, why)


async def test_workers_are_not_added_where_they_cannot_work(stand: Stand) -> None:
    first = await ready(stand)
    path = f"/v1/task-directives/{first['task_id']}/actions/add-workers"
    for body, expected in (
        ({"cluster_location": "mars", "n_workers": 1}, (400, "condor cluster location not found: mars")),
        ({"cluster_location": "test-beta", "n_workers": 0}, (400, "'n_workers': must be 1 to 1000000")),
        ({"cluster_location": "test-beta", "n_workers": None}, (400, "'n_workers': must be at least 1")),
        ({"cluster_location": "test-beta"}, (400, "'n_workers' is a required property")),
    ):
        assert await error_of(stand, "POST", path, body) == expected
    status, text = await error_of(stand, "POST", path, {"cluster_location": "local", "n_workers": 1})
    assert (status, text.partition(" is served")[0]) == (422, "location local")
    await stand.post(f"/v1/workflows/{first['workflow_id']}/actions/abort")
    assert await error_of(stand, "POST", path, {"cluster_location": "test-beta", "n_workers": 1}) == (
        422,
        f"cannot add a taskforce to a deactivated workflow ({first['workflow_id']})",
    )
