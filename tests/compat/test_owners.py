"""Who may do what with another user's workflow?

Source: wms.md section 3 and the issue's item 6: every user may read; to finish, to abort and to see tokens one must be the
owner, of its group, or an operator. Token variables of `/v0` are shown to `system-tms` only. Open, so that either is right:
whether a stranger is refused the public profiles or gets them without tokens, and the text of such a refusal.
"""

import json
from collections.abc import Iterator

import pytest

from compat.caller import Service
from compat.dialects import DEACTIVATIONS, stopped
from compat.exact import check
from compat.mqs_shapes import PublicProfiles
from compat.parties import Desk
from compat.samples import request, task


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        desk.empty_the_schedds()
        yield desk


def test_every_user_reads_everything(desk: Desk) -> None:
    taskforce = desk.bring_to("condor-submit")
    workflow_id, task_id = taskforce["workflow_id"], taskforce["task_id"]

    for path in (
        f"/workflows/{workflow_id}",
        f"/task-directives/{task_id}",
        f"/taskforces/{taskforce['taskforce_uuid']}",
    ):
        assert desk.stranger.get(path).body == desk.user.get(path).body
    for kind in ("workflows", "task-directives", "taskforces"):
        query = {"workflow_id": workflow_id}
        assert desk.find(kind, query, caller=desk.stranger) == desk.find(kind, query)


@pytest.mark.parametrize("action", sorted(DEACTIVATIONS))
def test_a_stranger_cannot_end_a_workflow(desk: Desk, action: str) -> None:
    before = desk.bring_to("condor-submit")
    workflow = desk.workflow(before["workflow_id"])

    desk.stranger.post(f"/workflows/{before['workflow_id']}/actions/{action}", status=403)

    assert desk.workflow(before["workflow_id"]) == workflow
    assert desk.taskforce(before["taskforce_uuid"]) == before


@pytest.mark.parametrize("action", sorted(DEACTIVATIONS))
def test_an_operator_can_end_every_workflow(desk: Desk, action: str) -> None:
    before = desk.bring_to("condor-submit")

    answer = desk.operator.post(f"/workflows/{before['workflow_id']}/actions/{action}")

    assert answer.body == {"workflow_id": before["workflow_id"], "n_taskforces": 1}
    assert desk.log(before["taskforce_uuid"])[-1] == stopped(action)


def test_each_user_owns_what_it_created(desk: Desk) -> None:
    theirs = desk.stranger.post("/workflows", request()).body["workflow"]["workflow_id"]

    desk.user.post(f"/workflows/{theirs}/actions/abort", status=403)

    assert desk.stranger.post(f"/workflows/{theirs}/actions/abort").body == {"workflow_id": theirs, "n_taskforces": 1}


def test_an_unknown_workflow_is_a_404_for_everybody(desk: Desk) -> None:
    for caller in (desk.user, desk.stranger, desk.operator):
        caller.post("/workflows/WF-6b0259da-962b1dcf/actions/abort", status=404)


def test_no_token_is_shown_to_a_stranger(desk: Desk) -> None:
    body = request(task(input_queue_aliases=["a", "b"], output_queue_aliases=["c"]), public_queue_aliases=["a", "c"])
    created = desk.create(body)
    (taskforce,) = desk.ready_all(created["taskforces"])
    (directive,) = created["task_directives"]
    profiles = [desk.profile(mqid) for mqid in directive["input_queues"] + directive["output_queues"]]
    tokens = [one["auth_token"] for one in profiles if one["auth_token"] is not None]
    workflow_id, uuid = taskforce["workflow_id"], taskforce["taskforce_uuid"]

    offer = "/tms/pending-starter/taskforces?schedd=SCHEDD1&collector=COLLECTOR1"
    answers = [desk.stranger.get(path) for path in (f"/workflows/{workflow_id}", f"/taskforces/{uuid}", offer)]
    answers += [
        desk.stranger.post(f"/query/{kind}", {"query": {"workflow_id": workflow_id}})
        for kind in ("workflows", "task-directives", "taskforces")
    ]
    public = desk.stranger.get(f"/mqs/workflows/{workflow_id}/mq-profiles/public", status={200, 403})

    if public.status == 200:
        seen = check(public.body, PublicProfiles).mqprofiles
        assert sorted(one.alias for one in seen) == ["a", "c"]
        assert {one.auth_token for one in seen} == {None}
    for answer in [*answers, public]:
        assert [token for token in tokens if token.encode() in answer.raw] == []


def test_the_owner_sees_the_tokens_of_its_public_queues_alone(desk: Desk) -> None:
    body = request(task(input_queue_aliases=["a", "b"], output_queue_aliases=["c"]), public_queue_aliases=["a", "c"])
    (taskforce,) = desk.ready_all(desk.create(body)["taskforces"])
    directive = desk.directive(taskforce["task_id"])
    profiles = [desk.profile(mqid) for mqid in directive["input_queues"] + directive["output_queues"]]

    public = desk.public_profiles(taskforce["workflow_id"])

    tokens = {one["alias"]: one["auth_token"] for one in public}
    assert set(tokens) == {"a", "c"}
    for one in profiles:
        if one["is_public"]:
            assert (tokens[one["alias"]] is None) == (one["auth_token"] is None)
        elif one["auth_token"] is not None:
            assert one["auth_token"] not in json.dumps(public)


def test_token_variables_are_shown_to_a_tms_only(desk: Desk) -> None:
    stopping = desk.bring_to("pending-stopper")
    (ready,) = desk.ready_all(desk.create()["taskforces"])
    both = [stopping["taskforce_uuid"], ready["taskforce_uuid"]]
    place = {"schedd": "SCHEDD1", "collector": "COLLECTOR1"}

    for caller in (desk.user, desk.stranger, desk.operator):
        taskforces = [caller.get(f"/taskforces/{uuid}").body for uuid in both]
        taskforces += caller.post("/query/taskforces", {"query": {"taskforce_uuid": {"$in": both}}}).body["taskforces"]
        taskforces.append(caller.get("/tms/pending-stopper/taskforces", place).body)
        offer = caller.get("/tms/pending-starter/taskforces", place).body
        taskforces.append(offer if desk.version == "v0" else offer["taskforce"])
        assert len(taskforces) == 6
        for one in taskforces:
            check(one, desk.dialect.shapes.taskforce)
            environment = one["pilot_config"]["environment"]
            assert [name for name in environment if name.endswith("_AUTH_TOKEN")] == []
