"""Which variables does the service write into a pilot's environment? On `/v0` the task's and the queues', on `/v1` none.

Source: wms.md section 17 (0.5.2) and section 14.3; the issue: token variables are shown to `system-tms` only. With no broker
there is no token and no address to write: then the variables of both may be absent, or name no secret.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.exact import Json
from compat.parties import Desk
from compat.samples import pilot_config, request, task

NAMES = {
    "task_env": "EWMS_PILOT_TASK_ENV_JSON",
    "init_image": "EWMS_PILOT_INIT_IMAGE",
    "init_args": "EWMS_PILOT_INIT_ARGS",
    "init_env": "EWMS_PILOT_INIT_ENV_JSON",
}
FIELDS = {"AUTH_TOKEN": "auth_token", "BROKER_TYPE": "broker_type", "BROKER_ADDRESS": "broker_address"}


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def environment_of(taskforce: Json) -> Json:
    environment: Json = taskforce["pilot_config"]["environment"]
    return environment


def expect(desk: Desk, on_v0: Json) -> Json:
    return on_v0 if desk.version == "v0" else {}


def test_the_task_s_image_and_arguments_are_always_written_on_v0(desk: Desk) -> None:
    created = desk.create(request(task(task_image="example/image:9", task_args="--all")))

    assert environment_of(created["taskforces"][0]) == expect(
        desk, {"EWMS_PILOT_TASK_IMAGE": "example/image:9", "EWMS_PILOT_TASK_ARGS": "--all"}
    )


def test_even_when_they_are_empty(desk: Desk) -> None:
    created = desk.create(
        request(task(task_image="", task_args="", init_image="", init_args="", task_env={}, init_env={}))
    )

    assert environment_of(created["taskforces"][0]) == expect(
        desk, {"EWMS_PILOT_TASK_IMAGE": "", "EWMS_PILOT_TASK_ARGS": ""}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_env", {"A": "1", "B": 'süd "quoted"'}),
        ("init_image", "example/init:2"),
        ("init_args", "--prepare"),
        ("init_env", {"C": ""}),
    ],
)
def test_the_rest_is_written_if_there_is_something(desk: Desk, name: str, value: Any) -> None:
    created = desk.create(request(task(**{name: value})))

    environment = environment_of(created["taskforces"][0])
    if desk.version == "v1":
        assert environment == {}
        return
    assert set(environment) == {"EWMS_PILOT_TASK_IMAGE", "EWMS_PILOT_TASK_ARGS", NAMES[name]}
    written = environment[NAMES[name]]
    assert (json.loads(written) if name.endswith("_env") else written) == value


def test_values_that_are_no_strings_stay_what_they_are_in_the_json_on_v0(desk: Desk) -> None:
    if desk.version == "v1":
        desk.user.post("/workflows", request(task(task_env={"A": 1})), status=400)
        return
    created = desk.create(request(task(task_env={"A": 1, "B": None, "C": ["x"]})))

    assert json.loads(environment_of(created["taskforces"][0])["EWMS_PILOT_TASK_ENV_JSON"]) == {
        "A": 1,
        "B": None,
        "C": ["x"],
    }


def test_the_user_s_own_variables_stay(desk: Desk) -> None:
    own = {"MINE": "1", "EWMS_PILOT_DUMP_TASK_OUTPUT": "True", "LIST": ["a", "b"]}
    created = desk.create(request(task(pilot_config=pilot_config(desk.version, environment=own))))
    (ready,) = desk.ready_all(created["taskforces"])

    for taskforce in (created["taskforces"][0], ready):
        environment = environment_of(taskforce)
        assert {name: environment[name] for name in own} == own


def assert_queue_variables(desk: Desk, taskforce: Json, directive: Json) -> None:
    environment = environment_of(taskforce)
    if desk.version == "v1":
        assert [name for name in environment if name.startswith("EWMS_PILOT_QUEUE")] == []
        return
    for side, mqids in (("INCOMING", directive["input_queues"]), ("OUTGOING", directive["output_queues"])):
        name = f"EWMS_PILOT_QUEUE_{side}"
        written = environment.get(name, [])
        assert sorted(written) == sorted(mqids)
        profiles = [desk.profile(mqid) for mqid in written]
        for suffix, field in FIELDS.items():
            values = [one[field] for one in profiles]
            if None not in values and values:
                assert environment[f"{name}_{suffix}"] == values
            elif f"{name}_{suffix}" in environment:
                assert len(environment[f"{name}_{suffix}"]) == len(mqids)


def test_an_activated_queue_s_variables_are_lists_with_an_element_a_queue_on_v0(desk: Desk) -> None:
    created = desk.create(
        request(
            task(input_queue_aliases=["a", "b"], output_queue_aliases=["c"]),
            task(input_queue_aliases=["c"], output_queue_aliases=[]),
        )
    )

    for taskforce, directive in zip(desk.ready_all(created["taskforces"]), created["task_directives"], strict=True):
        assert_queue_variables(desk, taskforce, directive)


def test_the_starter_is_given_the_variables(desk: Desk) -> None:
    created = desk.create()
    (ready,) = desk.ready_all(created["taskforces"])
    offered = desk.to_start("SCHEDD1")

    assert offered == ready
    assert_queue_variables(desk, ready, created["task_directives"][0])


def test_workers_that_are_added_later_have_them_too(desk: Desk) -> None:
    created = desk.create()
    desk.ready_all(created["taskforces"])
    added = desk.add_workers(created["task_directives"][0]["task_id"], "test-beta", 1)

    ready = desk.wait_for_phase(added["taskforce_uuid"], "pending-starter")

    assert_queue_variables(desk, ready, created["task_directives"][0])
    if desk.version == "v0":
        first = environment_of(created["taskforces"][0])
        assert {name: environment_of(ready)[name] for name in first} == first


def test_before_activation_there_are_no_queue_variables(desk: Desk) -> None:
    environment = environment_of(desk.create()["taskforces"][0])

    assert [name for name in environment if name.startswith("EWMS_PILOT_QUEUE")] == []
