"""What is said about things that do not exist?

Source: wms.md sections 4.4 to 4.6, 4.10 to 4.18, 21; mqs.md sections 4.4 to 4.7. The text for an unknown task in add-workers
is free but has the id.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.parties import Desk
from compat.samples import submit_report


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


# The examples of wms.md section 6.
WF = "WF-6b0259da-962b1dcf"
TK = "TK-6b0259da-962b1dcf-6713e685"
TF = "TF-6b0259da-962b1dcf-6713e685-1b7b398a"
MQ = "ae00c3f1f69b3455c949b"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"/workflows/{WF}", f"no workflow found with id: {WF}"),
        ("/workflows/WF-1", "no workflow found with id: WF-1"),
        ("/workflows/_", "no workflow found with id: _"),
        (f"/task-directives/{TK}", f"no task found with id: {TK}"),
        (f"/taskforces/{TF}", f"no taskforce found with uuid: {TF}"),
        (f"/taskforces/{TK}", f"no taskforce found with uuid: {TK}"),
    ],
)
def test_an_object_that_does_not_exist_is_a_404_with_its_id(desk: Desk, path: str, text: str) -> None:
    assert desk.user.get(path, status=404).error == text


@pytest.mark.parametrize("action", ["abort", "finished"])
def test_a_workflow_that_does_not_exist_cannot_be_deactivated(desk: Desk, action: str) -> None:
    answer = desk.user.post(f"/workflows/{WF}/actions/{action}", status=404)

    assert answer.error == f"no non-deactivated workflow found with workflow_id='{WF}'"


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("condor-submit/taskforces/{}", submit_report(), "no 'pending-starter' taskforce found with uuid: {}"),
        ("condor-submit/taskforces/{}/failed", {"error": "e"}, "no 'pending-starter' taskforce found with uuid: {}"),
        ("condor-rm/taskforces/{}", {}, "no taskforce found with uuid: {}"),
        ("condor-rm/taskforces/{}/failed", {"error": "e"}, "no taskforce found with uuid: {}"),
        ("condor-rm/taskforces/{}/failed", {}, "no taskforce found with uuid: {}"),
        (
            "condor-complete/taskforces/{}",
            {"condor_complete_ts": 1},
            "no non-condor-completed taskforce found with uuid: {}",
        ),
    ],
)
def test_a_taskforce_that_does_not_exist_cannot_be_reported_on(
    desk: Desk, path: str, body: dict[str, object], text: str
) -> None:
    assert desk.tms.post(f"/tms/{path.format(TF)}", body, status=404).error == text.format(TF)


def test_workers_cannot_be_added_to_a_task_that_does_not_exist(desk: Desk) -> None:
    body = {"cluster_location": "test-alpha", "n_workers": 1}
    for caller in (desk.user, desk.tms):
        assert TK in caller.post(f"/task-directives/{TK}/actions/add-workers", body, status=404).error


def test_a_group_or_a_profile_that_does_not_exist_is_a_404(desk: Desk) -> None:
    assert desk.wms.get(f"/mqs/workflows/{WF}/mq-group", status=404).error == "MQGroup not found"
    assert desk.wms.get(f"/mqs/mq-profiles/{MQ}", status=404).error == "MQProfile not found"
    body = {"criteria": {"priority": 1}}
    answer = desk.wms.post(f"/mqs/workflows/{WF}/mq-group/activation", body, status=404)
    assert answer.error == "No MQProfiles found for workflow id"


def test_the_public_profiles_of_a_workflow_that_does_not_exist_are_an_empty_list(desk: Desk) -> None:
    assert desk.user.get(f"/mqs/workflows/{WF}/mq-profiles/public").body == {"mqprofiles": []}


def test_a_schedd_that_nobody_knows_has_nothing_to_start_or_to_stop(desk: Desk) -> None:
    for what in ("pending-starter", "pending-stopper"):
        for caller in (desk.user, desk.tms):
            assert desk.ask_for(what, "NOWHERE", caller=caller) is None
