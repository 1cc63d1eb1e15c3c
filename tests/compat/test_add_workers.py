"""What is a taskforce that is added to a running task?

Source: wms.md sections 4.11, 8, 12, 21. Open, so that either is right: `n_workers` null or below 1, the text for an unknown
location on `/v0`, from which of several taskforces the priority is counted.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from compat.caller import Service
from compat.dialects import AUTO_ADVANCED, LAUNCHED, SUBMITTED, added
from compat.exact import Json, check
from compat.parties import Desk
from compat.samples import pilot_config, request, task, worker_config


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def test_it_is_a_copy_with_its_own_location_and_number(desk: Desk) -> None:
    pilot = pilot_config(desk.version, environment={"A": "1"}, input_files=["/f"])
    first = desk.ready(pilot_config=pilot, worker_config=worker_config(n_cores=3))
    desk.confirm_submit(first["taskforce_uuid"])

    new = desk.add_workers(first["task_id"], "test-beta", 11)

    assert new["taskforce_uuid"] != first["taskforce_uuid"]
    assert new["taskforce_uuid"].startswith(first["task_id"].replace("TK-", "TF-") + "-")
    same = ("workflow_id", "task_id", "worker_config")
    assert {name: new[name] for name in same} == {name: first[name] for name in same}
    fresh: Json = {
        "schedd": "SCHEDD2",
        "collector": None if desk.version == "v1" else "COLLECTOR2",
        "n_workers": 11,
        "cluster_id": None,
        "submit_dict": {},
        "job_event_log_fpath": "",
        "phase": "pre-mq-activation",
        "compound_statuses": {},
        "top_task_errors": {},
    }
    assert {name: new[name] for name in fresh} == fresh
    assert new["timestamp"] >= first["timestamp"]
    assert new["pilot_config"]["input_files"] == ["/f"]
    assert new["pilot_config"]["tag"] == first["pilot_config"]["tag"]
    assert new["pilot_config"]["environment"]["A"] == "1"
    if desk.version == "v1":
        assert new["pilot_config"] == first["pilot_config"]


def test_its_directive_is_not_extended(desk: Desk) -> None:
    first = desk.ready()
    before = desk.directive(first["task_id"])

    desk.add_workers(first["task_id"], "test-beta", 1)

    assert desk.directive(first["task_id"]) == before


@pytest.mark.parametrize(("role", "source"), [("user", "USER"), ("system-tms", "TMS")])
def test_its_log_says_who_added_it_and_how_it_went_on(desk: Desk, role: str, source: str) -> None:
    first = desk.bring_to("condor-submit")

    new = desk.add_workers(first["task_id"], "test-alpha", 2, caller=desk.call_as(role))

    assert desk.dialect.read_log(new) == [added(source)]
    ready = desk.wait_for_phase(new["taskforce_uuid"], "pending-starter")
    assert desk.dialect.read_log(ready) == [added(source), AUTO_ADVANCED, LAUNCHED]
    assert desk.to_start("SCHEDD1") == ready
    desk.confirm_submit(new["taskforce_uuid"])
    assert desk.log(new["taskforce_uuid"])[-1] == SUBMITTED
    assert desk.taskforce(first["taskforce_uuid"]) == first


def test_it_has_a_priority_100_higher_and_starts_first(desk: Desk) -> None:
    created = desk.create(request(task(), priority=20))
    (first,) = desk.ready_all(created["taskforces"])
    rival_config = worker_config(priority=1)  # the order of release 0.5.2
    (rival,) = desk.ready_all(desk.create(request(task(worker_config=rival_config), priority=100))["taskforces"])

    second = desk.add_workers(first["task_id"], "test-alpha", 1)
    third = desk.add_workers(first["task_id"], "test-alpha", 1)

    if desk.version == "v1":
        assert second["priority"] == 120
        assert third["priority"] in {120, 220}
    desk.ready_all([second, third])
    if desk.version == "v1":
        offered = desk.to_start("SCHEDD1")
        assert offered is not None
        assert offered["taskforce_uuid"] in {second["taskforce_uuid"], third["taskforce_uuid"]}
    assert rival["phase"] == "pending-starter"


def test_it_is_found_with_the_others(desk: Desk) -> None:
    first = desk.ready()
    new = desk.add_workers(first["task_id"], "test-alpha", 1)

    found = desk.find("taskforces", {"task_id": first["task_id"]})

    assert [one["taskforce_uuid"] for one in found] == [first["taskforce_uuid"], new["taskforce_uuid"]]


@pytest.mark.parametrize("phase", ["pending-starter", "pending-stopper", "condor-rm", "condor-complete"])
def test_a_deactivated_workflow_takes_no_more(desk: Desk, phase: str) -> None:
    taskforce = desk.bring_to(phase)
    workflow_id = taskforce["workflow_id"]
    if phase in {"pending-starter", "condor-complete"}:
        desk.deactivate(workflow_id, "finished")

    for caller in (desk.user, desk.tms):
        answer = caller.post(
            f"/task-directives/{taskforce['task_id']}/actions/add-workers",
            {"cluster_location": "test-alpha", "n_workers": 1},
            status=422,
        )
        assert answer.error == f"cannot add a taskforce to a deactivated workflow ({workflow_id})"
    assert len(desk.find("taskforces", {"workflow_id": workflow_id})) == 1


def test_a_workflow_whose_workers_are_all_gone_takes_more(desk: Desk) -> None:
    ended = desk.bring_to("condor-complete")

    new = desk.add_workers(ended["task_id"], "test-alpha", 1)

    assert desk.wait_for_phase(new["taskforce_uuid"], "pending-starter")["cluster_id"] is None


def test_an_unknown_location_is_refused_by_its_name(desk: Desk) -> None:
    ready = desk.ready()
    path = f"/task-directives/{ready['task_id']}/actions/add-workers"

    answer = desk.user.post(path, {"cluster_location": "nowhere", "n_workers": 1}, status=400)

    texts = {"condor cluster location not found: nowhere", desk.dialect.unknown_location.format("nowhere")}
    assert answer.error in texts


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, ["cluster_location", "n_workers"]),
        ({"cluster_location": "test-alpha"}, ["n_workers"]),
        ({"n_workers": 1}, ["cluster_location"]),
        ({"cluster_location": None, "n_workers": "1"}, ["cluster_location", "n_workers"]),
        ({"cluster_location": ["test-alpha"], "n_workers": 1.5}, ["cluster_location", "n_workers"]),
        ({"cluster_location": "test-alpha", "n_workers": True}, ["n_workers"]),
        ({"cluster_location": "test-alpha", "n_workers": 1, "priority": 5}, ["priority"]),
        (
            {"cluster_location": "test-alpha", "n_workers": 1, "worker_config": {}, "nonsense": 1},
            ["worker_config", "nonsense"],
        ),
    ],
)
def test_a_wrong_request_is_refused_by_the_names_of_what_is_wrong(desk: Desk, body: Any, names: list[str]) -> None:
    ready = desk.create()["taskforces"][0]

    answer = desk.user.post(f"/task-directives/{ready['task_id']}/actions/add-workers", body, status=400)

    assert [name for name in names if name not in answer.error] == [], answer.error


def test_a_number_may_be_written_with_a_point(desk: Desk) -> None:
    first = desk.create()["taskforces"][0]
    body = {"cluster_location": "test-alpha", "n_workers": 5.0}

    answer = desk.user.post(f"/task-directives/{first['task_id']}/actions/add-workers", body)

    assert check(answer.body, desk.dialect.shapes.taskforce).n_workers == 5


@pytest.mark.parametrize("n_workers", [None, 0, -1])
def test_a_number_of_workers_below_one_is_kept_as_it_is_or_refused(desk: Desk, n_workers: int | None) -> None:
    first = desk.create()["taskforces"][0]
    path = f"/task-directives/{first['task_id']}/actions/add-workers"

    answer = desk.user.post(path, {"cluster_location": "test-alpha", "n_workers": n_workers}, status={200, 400})

    if answer.status == 400:
        assert "n_workers" in answer.error
    else:
        check(answer.body, desk.dialect.shapes.taskforce)
        assert answer.body["n_workers"] == n_workers
