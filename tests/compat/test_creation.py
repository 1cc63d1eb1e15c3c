"""What does a new workflow consist of?

Source: wms.md sections 4.3, 5, 6, 8, 14, 17 (`/v0`), 21. Open, so that either is right: the order of queues inside a
directive (random upstream), a priority beyond 1 to 100 (clamped or refused), a pilot tag that names a version (known or
not).
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.dialects import COLLECTORS, SCHEDDS
from compat.exact import Json, check
from compat.parties import Desk
from compat.samples import pilot_config, request, task, unknown_ids, worker_config


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def users_environment(taskforce: Json) -> Json:
    """Without the variables that `/v0` adds."""
    environment = taskforce["pilot_config"]["environment"]
    return {name: value for name, value in environment.items() if not name.startswith("EWMS_PILOT_")}


def test_a_workflow_of_one_task_is_one_directive_and_one_taskforce(desk: Desk) -> None:
    created = desk.create(request(task(cluster_locations=["test-beta"], n_workers=7)))

    workflow, (directive,), (taskforce,) = created["workflow"], created["task_directives"], created["taskforces"]
    both = {"workflow_id": workflow["workflow_id"], "task_id": directive["task_id"]}
    assert both.items() <= taskforce.items()
    assert directive["workflow_id"] == workflow["workflow_id"]
    first = {
        "schedd": "SCHEDD2",
        "collector": None if desk.version == "v1" else "COLLECTOR2",
        "n_workers": 7,
        "worker_config": worker_config(),
        "cluster_id": None,
        "submit_dict": {},
        "job_event_log_fpath": "",
        "phase": "pre-mq-activation",
        "compound_statuses": {},
        "top_task_errors": {},
    }
    assert {name: taskforce[name] for name in first} == first
    assert desk.dialect.read_log(taskforce) == [desk.dialect.created]
    assert (workflow["deactivated"], workflow["deactivated_ts"]) == (None, None)
    if desk.version == "v0":
        assert (workflow["mq_activated_ts"], workflow["_mq_activation_retry_at_ts"]) == (None, None)


def test_what_was_created_is_what_is_read(desk: Desk) -> None:
    created = desk.create()
    (taskforce,) = created["taskforces"]
    changing = {"phase", "phase_change_log", "pilot_config"}

    assert desk.directive(taskforce["task_id"]) == created["task_directives"][0]
    read = desk.taskforce(taskforce["taskforce_uuid"])
    assert {name: read[name] for name in set(read) - changing} == {
        name: taskforce[name] for name in set(taskforce) - changing
    }
    workflow = desk.workflow(taskforce["workflow_id"])
    assert {**workflow, "mq_activated_ts": None} == {**created["workflow"], "mq_activated_ts": None}


def test_every_task_has_a_taskforce_at_every_location_in_the_order_of_the_request(desk: Desk) -> None:
    created = desk.create(
        request(
            task(task_args="first", cluster_locations=["test-beta", "test-alpha"]),
            task(task_args="second", cluster_locations=["test-alpha"]),
            task(task_args="third", cluster_locations=["test-alpha", "test-beta"]),
        )
    )

    directives = created["task_directives"]
    assert [one["task_args"] for one in directives] == ["first", "second", "third"]
    expected = [(one["task_id"], SCHEDDS[name]) for one in directives for name in one["cluster_locations"]]
    assert [(one["task_id"], one["schedd"]) for one in created["taskforces"]] == expected
    assert directives[0]["cluster_locations"] == ["test-beta", "test-alpha"]
    if desk.version == "v0":
        assert all(one["collector"] == COLLECTORS[one["schedd"]] for one in created["taskforces"])


def test_a_child_s_id_contains_its_parent_s(desk: Desk) -> None:
    created = desk.create(request(task(), task(n_workers=1, cluster_locations=["test-alpha", "test-beta"])))

    stem = created["workflow"]["workflow_id"].removeprefix("WF-")
    for directive in created["task_directives"]:
        assert re.fullmatch(f"TK-{stem}-[0-9a-f]{{8}}", directive["task_id"])
    for taskforce in created["taskforces"]:
        stem = taskforce["task_id"].removeprefix("TK-")
        assert re.fullmatch(f"TF-{stem}-[0-9a-f]{{8}}", taskforce["taskforce_uuid"])
    assert len({one["taskforce_uuid"] for one in created["taskforces"]}) == 3


def test_what_a_task_does_not_say_has_its_default(desk: Desk) -> None:
    created = desk.create()
    (directive,), (taskforce,) = created["task_directives"], created["taskforces"]

    if desk.version == "v1":
        unsaid = {name: directive[name] for name in ("task_env", "init_image", "init_args", "init_env")}
        assert unsaid == {"task_env": {}, "init_image": "", "init_args": "", "init_env": {}}
        assert taskforce["pilot_config"]["environment"] == {}
    assert users_environment(taskforce) == {}
    assert taskforce["pilot_config"]["input_files"] == []
    assert taskforce["pilot_config"]["tag"] != "latest", "the tag is resolved"


def test_what_a_task_says_is_kept(desk: Desk) -> None:
    environment = {"TEXT": "a b", "NUMBER": 5, "LIST": ["a", "b"], "EMPTY": ""}
    pilot = pilot_config(desk.version, environment=environment, input_files=["/a", "b c"])
    said = {
        "task_env": {"A": "1", "B": ""},
        "init_image": "example/init:2",
        "init_args": "--prepare",
        "init_env": {"C": "x y"},
    }
    created = desk.create(request(task(pilot_config=pilot, worker_config=worker_config(n_cores=4), **said)))

    (directive,), (taskforce,) = created["task_directives"], created["taskforces"]
    if desk.version == "v1":
        assert {name: directive[name] for name in said} == said
        assert taskforce["pilot_config"]["environment"] == environment
    assert (directive["task_image"], directive["task_args"]) == ("example/image:1", "cp {{INFILE}} {{OUTFILE}}")
    assert users_environment(taskforce) == environment
    assert taskforce["pilot_config"]["input_files"] == ["/a", "b c"]
    assert taskforce["worker_config"] == worker_config(n_cores=4)


def test_an_automatic_image_source_is_stored_as_cvmfs(desk: Desk) -> None:
    with Desk(desk.service, "v1") as v1:
        for source in ("auto", "cvmfs"):
            created = v1.create(request(task(pilot_config=pilot_config("v1", image_source=source))))
            assert created["taskforces"][0]["pilot_config"]["image_source"] == "cvmfs"


@pytest.mark.parametrize("tag", ["1.2.3", "999.999.999", "v1.2.3", "branch-name-0123abc"])
def test_a_tag_is_known_or_refused_by_the_text_that_says_so(desk: Desk, tag: str) -> None:
    body = request(task(pilot_config=pilot_config(desk.version, tag=tag)))
    answer = desk.user.post("/workflows", body, status={200, 400})

    if answer.status == 400:
        assert answer.error == (
            "Pilot image tag not found. It is possible that the image has not finished uploading to its registry."
            " If this error persists, contact an EWMS admin."
        )
    else:
        check(answer.body, desk.dialect.shapes.created)
        assert answer.body["taskforces"][0]["pilot_config"]["tag"] == tag.removeprefix("v")


@pytest.mark.parametrize(
    "name",
    [
        "EWMS_PILOT_TASK_IMAGE",
        "EWMS_PILOT_TASK_ARGS",
        "EWMS_PILOT_TASK_ENV_JSON",
        "EWMS_PILOT_INIT_IMAGE",
        "EWMS_PILOT_INIT_ARGS",
        "EWMS_PILOT_INIT_ENV_JSON",
    ],
)
def test_what_has_a_field_of_its_own_cannot_be_said_in_the_pilot_s_environment(desk: Desk, name: str) -> None:
    pilot = pilot_config(desk.version, environment={"FINE": "1", name: "x"})
    answer = desk.user.post("/workflows", request(task(), task(pilot_config=pilot)), status=400)

    assert answer.error == (
        f"tasks[1].pilot_config.environment cannot include the attribute '{name}'."
        " Use the top-level equivalent attribute instead."
    )


def test_an_unknown_location_is_refused_by_its_name(desk: Desk) -> None:
    body = request(task(), task(n_workers=1, cluster_locations=["test-alpha", "nowhere"]))

    assert desk.user.post("/workflows", body, status=400).error == desk.dialect.unknown_location.format("nowhere")


def test_a_refused_workflow_leaves_nothing_behind(desk: Desk) -> None:
    mark = unknown_ids()["task_id"]
    body = request(task(task_args=mark), task(task_args=mark, cluster_locations=["nowhere"]))
    desk.user.post("/workflows", body, status=400)

    assert desk.find("task-directives", {"task_args": mark}) == []


@pytest.mark.parametrize("priority", [1, 10, 50, 99, 100])
def test_a_priority_from_1_to_100_is_honoured(desk: Desk, priority: int) -> None:
    created = desk.create(request(priority=priority))

    assert created["workflow"]["priority"] == priority
    if desk.version == "v1":
        assert created["taskforces"][0]["priority"] == priority


def test_without_a_priority_it_is_the_version_s_default(desk: Desk) -> None:
    assert desk.create()["workflow"]["priority"] == desk.dialect.default_priority


@pytest.mark.parametrize(("priority", "nearest"), [(0, 1), (-5, 1), (101, 100), (10_000, 100)])
def test_a_priority_beyond_1_to_100_is_clamped_or_refused(desk: Desk, priority: int, nearest: int) -> None:
    answer = desk.user.post("/workflows", request(priority=priority), status={200, 400})

    if answer.status == 400:
        assert "priority" in answer.error
    else:
        assert answer.body["workflow"]["priority"] == nearest


def queues_of(desk: Desk, directive: Json) -> tuple[list[Any], list[Any]]:
    """The aliases of a directive's queues, as the queue service knows them."""
    inputs = sorted(desk.profile(mqid)["alias"] for mqid in directive["input_queues"])
    outputs = sorted(desk.profile(mqid)["alias"] for mqid in directive["output_queues"])
    return inputs, outputs


def test_every_alias_is_one_queue_of_the_workflow(desk: Desk) -> None:
    created = desk.create(
        request(
            task(input_queue_aliases=["a", "b"], output_queue_aliases=["c"]),
            task(input_queue_aliases=["c"], output_queue_aliases=["d", "c"]),
            public_queue_aliases=["a", "d"],
        )
    )

    first, second = created["task_directives"]
    assert queues_of(desk, first) == (["a", "b"], ["c"])
    assert queues_of(desk, second) == (["c"], ["c", "d"])
    assert first["output_queues"] == second["input_queues"]
    assert set(second["input_queues"]) < set(second["output_queues"])
    profiles = [desk.profile(mqid) for mqid in {*first["input_queues"], *second["output_queues"]}]
    assert {one["alias"]: one["is_public"] for one in profiles} == {"a": True, "b": False, "c": False, "d": True}
    assert {one["workflow_id"] for one in profiles} == {created["workflow"]["workflow_id"]}
    assert desk.group(created["workflow"]["workflow_id"])["workflow_id"] == created["workflow"]["workflow_id"]


def test_the_same_alias_in_two_workflows_is_two_queues(desk: Desk) -> None:
    (first,), (second,) = desk.create()["task_directives"], desk.create()["task_directives"]

    assert set(first["input_queues"]).isdisjoint(second["input_queues"])


def test_public_aliases_that_no_task_uses_are_ignored(desk: Desk) -> None:
    created = desk.create(request(public_queue_aliases=["in", "unused"]))

    profiles = desk.public_profiles(created["workflow"]["workflow_id"])
    assert [one["alias"] for one in profiles] == ["in"]
