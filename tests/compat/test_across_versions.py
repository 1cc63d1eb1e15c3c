"""Does each version show, in its own form, what was made through the other?

Source: wms.md section 17 and the issue's item 1: both versions stand on one address, over the same objects.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import OTHER_VERSION
from compat.parties import Desk
from compat.samples import PRINTED_EXAMPLE, request, task, worker_config


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    """The version that creates."""
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


@pytest.fixture
def other(service: Service) -> Iterator[Desk]:
    """The version that looks and goes on."""
    with Desk(service, OTHER_VERSION[service.version]) as desk:
        yield desk


def test_a_workflow_lives_on_through_the_other_version(desk: Desk, other: Desk) -> None:
    created = desk.create()
    workflow_id = created["workflow"]["workflow_id"]
    uuid = created["taskforces"][0]["taskforce_uuid"]

    ready = other.wait_for_phase(uuid, "pending-starter")
    assert other.to_start("SCHEDD1") == ready
    other.confirm_submit(uuid, cluster_id=5)
    assert desk.deactivate(workflow_id, "abort") == 1
    assert other.to_stop("SCHEDD1") == other.taskforce(uuid)
    other.confirm_removal(uuid)
    desk.confirm_complete(uuid)

    shared = ("taskforce_uuid", "phase", "cluster_id", "submit_dict", "timestamp", "schedd", "n_workers")
    here, there = desk.taskforce(uuid), other.taskforce(uuid)
    assert {name: here[name] for name in shared} == {name: there[name] for name in shared}
    assert [entry[:2] for entry in desk.dialect.read_log(here)] == [
        entry[:2] for entry in other.dialect.read_log(there)
    ]
    assert other.workflow(workflow_id)["deactivated"] == "ABORTED"


def test_every_object_has_the_form_of_the_version_that_is_asked(desk: Desk, other: Desk) -> None:
    # A size may be a number of bytes on /v1; on /v0 sizes are strings.
    size: str | int = 2**29 + 1 if desk.version == "v1" else "512M"
    created = desk.create(request(task(worker_config=worker_config(worker_disk=size))))
    workflow_id = created["workflow"]["workflow_id"]
    desk.ready_all(created["taskforces"])

    assert other.workflow(workflow_id)["priority"] == desk.dialect.default_priority
    assert other.directive(created["task_directives"][0]["task_id"])["workflow_id"] == workflow_id
    (taskforce,) = other.find("taskforces", {"workflow_id": workflow_id})
    assert taskforce["worker_config"]["worker_disk"] == (str(size) if other.version == "v0" else size)
    assert other.find("workflows", {"workflow_id": workflow_id}) == [other.workflow(workflow_id)]
    added = other.add_workers(taskforce["task_id"], "test-beta", 1)
    assert desk.taskforce(added["taskforce_uuid"])["schedd"] == "SCHEDD2"


def test_the_queue_service_is_one(desk: Desk, other: Desk) -> None:
    created = desk.create()
    desk.ready_all(created["taskforces"])
    workflow_id = created["workflow"]["workflow_id"]

    assert other.public_profiles(workflow_id) == desk.public_profiles(workflow_id)
    assert other.group(workflow_id) == desk.group(workflow_id)


def test_the_printed_example_is_accepted_on_both(desk: Desk, other: Desk) -> None:
    for one in (desk, other):
        assert one.create(PRINTED_EXAMPLE)["taskforces"][0]["n_workers"] == 1000


def test_a_version_is_asked_for_its_own_fields(desk: Desk, other: Desk) -> None:
    desk.ready_all(desk.create()["taskforces"])
    v0, v1 = (desk, other) if desk.version == "v0" else (other, desk)

    assert v1.find("taskforces", {"collector": {"$ne": None}}) == []
    collectors = {one["collector"] for one in v0.find("taskforces", {"collector": "COLLECTOR1"})}
    assert collectors == {"COLLECTOR1"}
    assert v0.find("taskforces", {"collector": None}) == []
    assert v0.find("taskforces", {"phase_change_log.description": "Created during initial workflow request."}) == []
    assert v1.find("taskforces", {"phase_change_log.context": "During initial workflow creation."}) == []
