"""Which workflow requests are refused, and does the refusal name everything that is wrong with them?

Source: wms.md sections 2.3, 4.3, 14.1, 14.2; section 17 for `/v0` (sizes as strings only, no `image_source`, `task_env`
unchecked). The texts of schema violations are free; that each offending field stands in them is the issue's rule. What
section 21 leaves open (a partial `pilot_config`, `n_workers` below 1 or absent, workflows without queues) may be taken or
refused with a 400.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.exact import Json, check
from compat.parties import Desk
from compat.samples import PRINTED_EXAMPLE, pilot_config, request, task, without, worker_config


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def assert_refused(desk: Desk, body: Any, *names: str) -> None:
    answer = desk.user.post("/workflows", body, status=400)
    missing = [name for name in names if name not in answer.error]
    assert missing == [], answer.error


@pytest.mark.parametrize("body", [[], [request()], "text", 5, 1.5, True, False])
def test_a_body_that_is_no_object_is_refused(desk: Desk, body: Any) -> None:
    assert_refused(desk, body)


@pytest.mark.parametrize("data", [b"{", b"{]", b"{'tasks': []}", b"tasks=1", b"\xff\xfe", b"{} {}", b"null"], ids=ascii)
def test_a_body_that_is_no_json_object_is_refused(desk: Desk, data: bytes) -> None:
    desk.user.call("POST", "/workflows", status=400, data=data)


def test_a_missing_body_is_refused(desk: Desk) -> None:
    desk.user.call("POST", "/workflows", status=400)
    desk.user.call("POST", "/workflows", status=400, data=b"")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"])
def test_another_content_type_is_refused(desk: Desk, content_type: str) -> None:
    desk.user.call("POST", "/workflows", status=400, data=b"{}", headers={"Content-Type": content_type})


@pytest.mark.parametrize("name", ["tasks", "public_queue_aliases"])
def test_the_fields_of_a_workflow_are_required(desk: Desk, name: str) -> None:
    assert_refused(desk, without(request(), name), name)


@pytest.mark.parametrize(
    "name",
    [
        "cluster_locations",
        "task_image",
        "task_args",
        "input_queue_aliases",
        "output_queue_aliases",
        "worker_config",
    ],
)
def test_the_fields_of_a_task_are_required(desk: Desk, name: str) -> None:
    assert_refused(desk, request(task(), without(task(), name)), name)


@pytest.mark.parametrize("name", sorted(set(worker_config()) - {"condor_requirements"}))
def test_the_fields_of_a_worker_config_are_required(desk: Desk, name: str) -> None:
    assert_refused(desk, request(task(worker_config=without(worker_config(), name))), name)


@pytest.mark.parametrize(
    "body",
    [
        request(nonsense=1),
        request(task(nonsense=1)),
        request(task(), task(nonsense=1)),
        request(task(worker_config=worker_config(nonsense=1))),
        request(task(pilot_config={"tag": "latest", "environment": {}, "input_files": [], "nonsense": 1})),
        request(task(cluster_location="nonsense")),
        request(workflow_id="nonsense"),
    ],
)
def test_extra_fields_are_refused_at_every_level(desk: Desk, body: Json) -> None:
    extra = "cluster_location" if "cluster_location" in body["tasks"][0] else "nonsense"
    assert_refused(desk, body, "workflow_id" if "workflow_id" in body else extra)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tasks", [None, {}, "text", [], [1], [None], [[]]]),
        ("public_queue_aliases", [None, {}, "in", [1], [None], [["in"]], ["in", "in"]]),
        ("priority", [None, "9", 9.5, True, [], {}]),
    ],
)
def test_the_fields_of_a_workflow_have_their_types(desk: Desk, name: str, values: list[Any]) -> None:
    for value in values:
        assert_refused(desk, request(**{name: value}), name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cluster_locations", [None, "test-alpha", [], {}, [1], [None], ["test-alpha", "test-alpha"]]),
        ("task_image", [None, 1, [], {}, True]),
        ("task_args", [None, 1, ["a"], {}]),
        ("task_env", [None, [], "A=1", 1]),
        ("init_image", [None, 1, []]),
        ("init_args", [None, 1, []]),
        ("init_env", [None, [], "A=1", 1]),
        ("input_queue_aliases", [None, "in", {}, [1], ["in", "in"]]),
        ("output_queue_aliases", [None, "out", {}, [1], ["out", "out"]]),
        ("worker_config", [None, [], "text", 1]),
        ("pilot_config", [None, [], "text", 1]),
        ("n_workers", ["3", 3.5, True, [], {}]),
    ],
)
def test_the_fields_of_a_task_have_their_types(desk: Desk, name: str, values: list[Any]) -> None:
    for value in values:
        assert_refused(desk, request(task(**{name: value})), name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("do_transfer_worker_stdouterr", [None, 1, 0, "true", []]),
        ("max_worker_runtime", [None, "600", 1.5, True]),
        ("n_cores", [None, "1", 1.5, False]),
        ("priority", [None, "99", 0.1, True]),
        ("worker_disk", [None, True, 1.5, [], {}]),
        ("worker_memory", [None, False, 1.5, [], {}]),
        ("condor_requirements", [None, 1, [], {}]),
    ],
)
def test_the_fields_of_a_worker_config_have_their_types(desk: Desk, name: str, values: list[Any]) -> None:
    for value in values:
        assert_refused(desk, request(task(worker_config=worker_config(**{name: value}))), name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tag", [None, 1, "", "not a tag", "UPPER-CASE", "1.2", "-"]),
        ("environment", [None, [], "A=1", {"A": None}, {"A": True}, {"A": 1.5}, {"A": {}}, {"A": []}, {"A": [1]}]),
        ("input_files", [None, "file", {}, [1], ["file", "file"]]),
    ],
)
def test_the_fields_of_a_pilot_config_have_their_types(desk: Desk, name: str, values: list[Any]) -> None:
    for value in values:
        assert_refused(desk, request(task(pilot_config=pilot_config(desk.version, **{name: value}))), name)


@pytest.mark.parametrize("value", [None, 1, "", "docker", "CVMFS"])
def test_an_image_source_is_one_of_two_words_and_none_on_v0(desk: Desk, value: Any) -> None:
    config = pilot_config(desk.version, image_source="cvmfs" if desk.version == "v0" else value)

    assert_refused(desk, request(task(pilot_config=config)), "image_source")


@pytest.mark.parametrize("tag", ["0.1.0/../other:1", "../latest", "latest/../x-1", "1.2.3 --flag", "a/b-1", "latest\n"])
def test_a_tag_cannot_leave_its_folder(desk: Desk, tag: str) -> None:
    desk.user.post("/workflows", request(task(pilot_config=pilot_config(desk.version, tag=tag))), status=400)


@pytest.mark.parametrize("name", ["task_env", "init_env"])
def test_values_of_an_environment_are_strings_on_v1_and_anything_on_v0(desk: Desk, name: str) -> None:
    for value in (1, None, True, ["a"], {"b": 1}):
        body = request(task(**{name: {"A": value}}))
        if desk.version == "v1":
            assert_refused(desk, body, name)
        else:
            desk.create(body)


@pytest.mark.parametrize("name", ["worker_disk", "worker_memory"])
def test_a_size_may_be_a_number_on_v1_only(desk: Desk, name: str) -> None:
    body = request(task(worker_config=worker_config(**{name: 2**29})))

    if desk.version == "v0":
        assert_refused(desk, body, name)
    else:
        assert desk.create(body)["taskforces"][0]["worker_config"][name] == 2**29


def test_tasks_are_unique(desk: Desk) -> None:
    assert_refused(desk, request(task(), task(n_workers=4), task()), "tasks")
    assert len(desk.create(request(task(), task(n_workers=4)))["taskforces"]) == 2


def test_everything_that_is_wrong_is_named_at_once(desk: Desk) -> None:
    body = {
        "tasks": [
            without(task(task_args=1, n_workers=True, nonsense_a=1), "task_image"),
            task(
                worker_config=without(worker_config(n_cores="1", worker_disk=None, nonsense_b=1), "max_worker_runtime")
            ),
            task(cluster_locations=[], input_queue_aliases=["a", "a"], output_queue_aliases="out"),
        ],
        "priority": "high",
        "nonsense_c": 1,
    }

    assert_refused(
        desk,
        body,
        "task_args",
        "n_workers",
        "nonsense_a",
        "task_image",
        "n_cores",
        "worker_disk",
        "nonsense_b",
        "max_worker_runtime",
        "cluster_locations",
        "input_queue_aliases",
        "output_queue_aliases",
        "public_queue_aliases",
        "priority",
        "nonsense_c",
    )


def test_a_whole_number_may_be_written_with_a_point(desk: Desk) -> None:
    config = worker_config(n_cores=2.0, max_worker_runtime=6e2, priority=99.0)
    created = desk.create(request(task(n_workers=5.0, worker_config=config), priority=60.0))

    (taskforce,) = created["taskforces"]
    assert taskforce["n_workers"] == 5
    assert taskforce["worker_config"] == worker_config(n_cores=2, max_worker_runtime=600, priority=99)
    assert created["workflow"]["priority"] == 60


def test_the_example_of_the_original_s_readme_is_accepted_as_it_is_printed(desk: Desk) -> None:
    created = desk.create(PRINTED_EXAMPLE)

    (taskforce,) = created["taskforces"]
    assert taskforce["n_workers"] == 1000
    assert taskforce["worker_config"] == {**PRINTED_EXAMPLE["tasks"][0]["worker_config"], "condor_requirements": ""}
    assert created["task_directives"][0]["cluster_locations"] == ["sub-2"]
    assert desk.ready_all(created["taskforces"])[0]["phase"] == "pending-starter"


def test_strings_may_be_empty_and_queues_on_one_side_absent(desk: Desk) -> None:
    body = request(
        task(
            task_image="", task_args="", init_image="", init_args="", task_env={}, init_env={}, output_queue_aliases=[]
        ),
        public_queue_aliases=[],
    )
    (directive,) = desk.create(body)["task_directives"]

    assert (directive["task_image"], directive["task_args"], directive["output_queues"]) == ("", "", [])


@pytest.mark.parametrize("name", ["tag", "environment", "input_files"])
def test_a_partial_pilot_config_is_completed_or_refused(desk: Desk, name: str) -> None:
    body = request(task(pilot_config=without(pilot_config(desk.version), name)))
    answer = desk.user.post("/workflows", body, status={200, 400})

    if answer.status == 400:
        assert name in answer.error
    else:
        check(answer.body, desk.dialect.shapes.created)


@pytest.mark.parametrize("n_workers", [None, 0, -1])
def test_a_number_of_workers_below_one_is_kept_as_it_is_or_refused(desk: Desk, n_workers: int | None) -> None:
    answer = desk.user.post("/workflows", request(task(n_workers=n_workers)), status={200, 400})

    if answer.status == 400:
        assert "n_workers" in answer.error
    else:
        check(answer.body, desk.dialect.shapes.created)
        assert answer.body["taskforces"][0]["n_workers"] == n_workers


def test_an_absent_number_of_workers_is_no_failure_of_the_service(desk: Desk) -> None:
    answer = desk.user.post("/workflows", request(without(task(), "n_workers")), status={200, 400})

    if answer.status == 400:
        assert "n_workers" in answer.error


def test_a_workflow_without_any_queue_is_no_failure_of_the_service(desk: Desk) -> None:
    body = request(task(input_queue_aliases=[], output_queue_aliases=[]), public_queue_aliases=[])
    answer = desk.user.post("/workflows", body, status={200, 400})

    if answer.status == 200:
        check(answer.body, desk.dialect.shapes.created)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_workers": 10**30},
        {"task_args": "nul \0 in the text"},
        {"task_args": "half a pair \ud800"},
        {"task_env": {"": "", "a.b": "$c", "$d": "\0"}},
        {"input_queue_aliases": ["", "a.b", "$c", "\0"]},
        {"worker_config": worker_config(max_worker_runtime=-(2**63) - 1)},
        {"worker_config": worker_config(worker_memory="abc", n_cores=-1)},
    ],
    ids=ascii,
)
def test_a_hard_value_is_taken_or_refused_but_no_failure_of_the_service(desk: Desk, changes: Json) -> None:
    answer = desk.user.post("/workflows", request(task(**changes)), status={200, 400})

    if answer.status == 200:
        check(answer.body, desk.dialect.shapes.created)
