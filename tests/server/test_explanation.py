"""Does the service say, in one call, why a workflow is not running: at each step of its life, for every party?"""

from dataclasses import replace
from typing import Any

import pytest

from muster.domain import stall
from muster.domain.explanation import Verdict
from muster.domain.location import Agent, Location, index_locations
from muster.domain.reason import Cause, Party
from muster.server.services import activate_workflows as activate_workflows_module
from muster.server.services import explain_room, find_room
from muster.server.services.activate_workflows import activate_workflows
from muster.server.services.explain_workflow import explain_workflow
from muster.server.services.finish_drained import finish_drained
from muster.server.services.follow_progress import follow_progress
from muster.server.services.note_asking import Noted
from server.stand import EWMS_TASK, NEW, OPERATOR, STRANGER, TMS, USER, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

ERROR: Json = {"text": "no luck", "fingerprint": "no luck", "stdout_tail": "", "stderr_tail": "", "exit_code": 1}


async def explain(stand: Stand, workflow: Json, *, by: str = USER) -> Json:
    return await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/explanation", by=by)


def causes(found: Json) -> tuple[str, list[str], list[str]]:
    """Verdict, causes of the workflow, causes of its taskforces."""
    return found["verdict"], [one["cause"] for one in found["reasons"]], [one["cause"] for one in found["taskforces"]]


def fail(event: Json) -> Json:
    return {
        "event": event["event"],
        "fence": event["fence"],
        "outcome": "failed",
        "results": [],
        "error": ERROR,
        "wall_s": 0.1,
    }


async def test_every_step_of_a_life_is_explained(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "finish_when_done": True})
    assert causes(await explain(stand, workflow)) == ("idle", ["no-events"], ["not-activated"])

    await stand.publish(workflow, 1, 2)
    assert causes(await explain(stand, workflow)) == ("starting", [], ["not-activated"])
    await stand.advance()
    found = await explain(stand, workflow, by=STRANGER)  # everybody may read
    assert causes(found) == ("stalled", ["not-taken"], ["not-taken"])
    [reason] = found["reasons"]
    assert reason["remedies"] == [
        "MUSTER_SITE_LOCATIONS=local muster site    # beside the pool local, with its own name and directory: docs/how-to/locations.md"
    ]
    assert (reason["waits_for"], reason["needs_help"], reason["last_error"]) == ("site-agent", True, None)
    assert workflow["created_at"] <= reason["since"] <= found["at"]

    [order] = (await stand.claim())["start"]
    found = await explain(stand, workflow)
    assert causes(found) == ("starting", [], ["taken"])
    assert found["taskforces"][0]["text"] == "site agent site-a has taken it and is starting it at local"
    await stand.report(order, "submit-failed", error="no room on disk")
    found = await explain(stand, workflow)
    assert found["taskforces"][0]["last_error"] == "no room on disk"
    assert (
        "(1 start failed, the last one: no room on disk): site agent site-a is there" in found["taskforces"][0]["text"]
    )

    [order] = (await stand.claim())["start"]
    await stand.report(order, "submitted", cluster_id=7, n_workers=2)
    assert causes(await explain(stand, workflow)) == ("starting", ["not-called"], ["not-called"])
    worker = await stand.enrol(order["taskforce_uuid"])
    assert causes(await explain(stand, workflow)) == ("running", [], [])
    events = (await stand.step(worker, 1, want=2))["events"]
    assert causes(await explain(stand, workflow)) == ("running", [], [])
    await stand.step(worker, 2, finished=[fail(one) for one in events])
    found = await explain(stand, workflow)
    assert causes(found) == ("waiting", ["paused", "failed-attempts"], [])
    assert found["reasons"][0]["last_error"] == "no luck"
    failures = found["reasons"][1]
    assert failures["text"] == "2 attempts failed so far, and no event is done"
    assert failures["remedies"] == [f"muster workflow errors {workflow['workflow_id']}"]
    assert found["summary"].endswith(", 0 dead, 2 failed attempts; 1 worker is up")

    await stand.end(workflow, "abort")
    found = await explain(stand, workflow)
    assert causes(found) == ("ended", ["ended", "failed-attempts", "left"], ["not-stopped"])
    assert found["summary"].startswith("it was aborted by ada at ")
    assert found["summary"].endswith("; 1 of 1 taskforce not yet stopped")
    await stand.report(order, "removed")
    assert causes(await explain(stand, workflow))[2] == ["not-cleared"]
    await stand.report(order, "completed", at=found["at"])
    found = await explain(stand, workflow)
    assert causes(found) == ("ended", ["ended", "failed-attempts", "left"], [])
    assert (found["working"], found["over"], found["left_out"]) == (0, 1, 0)


async def test_why_workers_wait_at_their_site_is_told_first_and_also_of_some_beside_others_at_work(
    stand: Stand,
) -> None:
    workflow = await stand.submit()
    await stand.publish(workflow, 1)
    order = await stand.start(workflow)
    uuid = order["taskforce_uuid"]

    async def tell(*reasons: str) -> Json:
        told = {"agent": "site-a", "compound_statuses": {uuid: {"IDLE": {"null": 2}}}, "reasons": {uuid: [*reasons]}}
        await stand.post("/muster/v1/site/reports", told, by=TMS)
        return await explain(stand, workflow)

    found = await tell("no machine has 4 TB: ask for less")
    assert causes(found) == ("starting", ["not-called"], ["not-called"])
    text = "its workers wait: no machine has 4 TB: ask for less; it was submitted (2 workers as cluster 7 at local), and none of its"
    assert found["taskforces"][0]["text"].startswith(text)
    why = "workers wait at their site: no machine has 4 TB: ask for less; the workers were submitted, and none has called yet"
    assert found["reasons"][0]["text"] == why
    assert (await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress"))["why"] == why

    await stand.enrol(uuid)
    found = await tell("one of 2 workers is held: no such file")
    assert causes(found) == ("running", ["some-wait"], [])
    assert found["reasons"][0]["text"] == (
        f"not all workers are at work: of taskforce {uuid} at local 1 of 2 workers are up, and others wait: "
        "one of 2 workers is held: no such file"
    )
    assert found["reasons"][0]["remedies"] == [f"muster taskforce show {uuid}"]
    assert causes(await tell()) == ("running", [], [])


async def test_a_taskforce_that_is_held_is_told_with_its_reason_and_what_releases_it(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.publish(workflow, 1)
    await stand.advance()
    [order] = (await stand.claim())["start"]
    for _ in range(2):
        await stand.report(order, "submit-failed", error="no such image")
        [order] = (await stand.claim())["start"]
    await stand.report(order, "submit-failed", error="no such image")

    found = await explain(stand, workflow)

    assert causes(found) == ("stalled", ["held"], ["held"])
    [reason] = found["reasons"]
    assert (reason["last_error"], reason["waits_for"]) == ("no such image", "person")
    workflow_id, task = workflow["workflow_id"], workflow["tasks"][0]["task_id"]
    assert reason["remedies"] == [
        f"muster taskforce release {order['taskforce_uuid']}",
        f"muster workflow add-workers {workflow_id} --workers 2 --task {task} --location …",
        f"muster workflow finish {workflow_id}",
    ]


async def test_what_its_site_can_never_start_is_told_with_how_to_mend_the_workflow(stand: Stand) -> None:
    workflow = await stand.submit()
    task = workflow["tasks"][0]["task_id"]
    await stand.publish(workflow, 1)
    await stand.advance()
    [order] = (await stand.claim())["start"]
    await stand.report(order, "submit-failed", error="no containers here", final=True)

    found = await explain(stand, workflow)

    assert causes(found) == ("stalled", ["held"], ["held"])
    for reason in (*found["reasons"], *found["taskforces"]):
        assert reason["last_error"] == "no containers here"
        assert [one.partition("    #")[0] for one in reason["remedies"]] == [
            f"muster task revise {task} --image …",
            f"muster workflow abort {workflow['workflow_id']}",
            "muster workflow submit mended.yaml",
        ]

    await stand.post(f"/muster/v1/tasks/{task}/actions/add-workers", {"location": "far", "n_workers": 1})
    [told] = [one for one in (await explain(stand, workflow))["taskforces"] if one["cause"] == "held"]
    assert (told["text"].rpartition("; ")[2], told["remedies"]) == ("others work for its task", [])


async def test_a_workflow_for_which_there_is_no_room_says_which_limit_it_is(stand: Stand) -> None:
    narrow = replace(stand.parts, settings=stand.parts.settings.model_copy(update={"workers_max": 3}))
    first, second = await stand.submit(), await stand.submit()
    await activate_workflows(narrow)

    explained = await explain_workflow(narrow, second["workflow_id"])

    assert (explained.verdict, [one.cause for one in explained.reasons]) == ("idle", ["no-events", "no-room"])

    await stand.publish(second, 1)

    explained = await explain_workflow(narrow, second["workflow_id"])

    assert (explained.verdict, explained.working) == ("waiting", 0)
    [one] = explained.taskforces
    assert list(explained.reasons) == [one.reason]
    assert one.reason.text == (
        "there is no room for its workflow: 2 workers in all are in use and 2 more are wanted, of 3 that may be (MUSTER_WORKERS_MAX); "
        f"they are in use by {first['workflow_id']} (2); the activator lets it in by itself when others have ended"
    )
    assert causes(await explain(stand, first))[2] == ["not-launched"]


async def test_who_has_the_room_is_told_and_of_other_owners_only_how_much_but_to_operators(database_url: str) -> None:
    async with open_stand(database_url, queues_max=9, workers_max_per_owner=4) as stand:
        mine = [await stand.submit() for _ in range(2)]
        await stand.submit(by=STRANGER)
        await stand.advance()
        waits = {**NEW, "public_queue_aliases": [f"q{n}" for n in range(4)]}
        waits["tasks"] = [
            {**NEW["tasks"][0], "input_queue_aliases": ["q0"], "output_queue_aliases": ["q1", "q2", "q3"]}
        ]
        too_many_queues, too_many_workers = await stand.submit(waits, by=STRANGER), await stand.submit()

        async def tell(workflow: Json, by: str) -> str:
            text: str = (await explain(stand, workflow, by=by))["taskforces"][0]["text"]
            return text.removeprefix("there is no room for its workflow: ").rpartition(";")[0]

        workers = (
            "4 workers of one owner are in use and 2 more are wanted, of 4 that may be (MUSTER_WORKERS_MAX_PER_OWNER)"
        )
        ids = sorted(one["workflow_id"] for one in mine)
        assert await tell(too_many_workers, USER) == f"{workers}; they are in use by {ids[0]} (2) and {ids[1]} (2)"
        queues = "6 queues in all are in use and 4 more are wanted, of 9 that may be (MUSTER_QUEUES_MAX)"
        told, to_operator = await tell(too_many_queues, STRANGER), await tell(too_many_queues, OPERATOR)
        assert told.startswith(f"{queues}; they are in use by WF-")
        assert told.endswith(" (2) and those of other owners (4)")
        assert to_operator.endswith(" (2) and those of ada (4)")


async def test_room_that_is_kept_by_one_that_stands_still_does_not_come_by_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "LET_IN_S", -1.0)
    async with open_stand(database_url, queues_max=3) as stand:
        first = await stand.submit()
        await stand.advance()
        [order] = (await stand.claim())["start"]
        await stand.report(order, "submit-failed", error="no containers here", final=True)
        waits, theirs = await stand.submit(), await stand.submit(by=STRANGER)
        await stand.publish(waits, 1)
        await stand.advance()
        here, keeps = waits["workflow_id"], first["workflow_id"]

        found = await explain(stand, waits)

        assert causes(found) == ("stalled", ["no-room"], ["no-room"])
        [reason] = found["reasons"]
        in_use = "2 queues in all are in use and 2 more are wanted, of 3 that may be (MUSTER_QUEUES_MAX)"
        kept = "2 of these are kept by what stands still, until its owner mends, finishes or aborts it"
        assert reason["text"] == (
            f"there is no room for its workflow: {in_use}; they are in use by {keeps} (2); {kept}: {keeps} (2); "
            "only then there is room for it"
        )
        assert (reason["waits_for"], reason["needs_help"]) == ("person", True)
        assert [one.partition("    #")[0] for one in reason["remedies"]] == [
            f"muster workflow explain {keeps}",
            f"muster workflow abort {keeps}",
        ]
        progress = await stand.get(f"/muster/v1/workflows/{here}/progress")
        look = f"muster workflow explain {here}"
        assert progress["why"] == f"its workers wait to be let in, as {in_use}; {kept}: {keeps} (2): {look}"

        [of_other] = (await explain(stand, theirs, by=STRANGER))["taskforces"]
        assert f"{kept}: those of other owners (2); only then" in of_other["text"]
        assert (of_other["remedies"], of_other["needs_help"]) == ([], True)
        of_theirs = await stand.get(f"/muster/v1/workflows/{theirs['workflow_id']}/progress", by=STRANGER)
        assert f"{kept}: those of other owners (2): muster workflow" in of_theirs["why"]
        [to_operator] = (await explain(stand, theirs, by=OPERATOR))["taskforces"]
        assert f"{kept}: {keeps} of ada (2); only then" in to_operator["text"]
        assert len(to_operator["remedies"]) == 2

        of_itself = await explain(stand, first)
        assert causes(of_itself)[:2] == ("stalled", ["held", "keeps-room"])
        assert of_itself["reasons"][1]["text"].startswith(
            "2 other workflows wait for room that it keeps while it stands"
        )

        await stand.end(first, "abort")
        await stand.advance()
        assert causes(await explain(stand, waits))[1] == ["not-taken"]


async def test_who_follows_one_without_room_is_told_what_the_activator_found_and_looks_at_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "LET_IN_S", -1.0)
    async with open_stand(database_url, queues_max=5) as stand:
        kept, refused = [await stand.submit(), await stand.submit()], stand.parts.refused
        await stand.advance()
        first, second = (await stand.claim())["start"]
        assert (refused.obstacles, refused.standing) == ({}, {})  # nobody waits, so nobody is looked for
        await stand.report(first, "submit-failed", error="no containers here", final=True)
        waits = await stand.submit()
        path = f"/muster/v1/workflows/{waits['workflow_id']}/progress"

        await stand.advance()
        assert list(refused.standing) == ["queues"]
        told = f"2 of these are kept by what stands still, until its owner mends, finishes or aborts it: {first['workflow_id']} (2)"
        assert told in (await stand.get(path))["why"]

        await stand.report(second, "submit-failed", error="no containers here", final=True)
        await stand.advance()  # a moment later
        assert told in (await stand.get(path))["why"]
        monkeypatch.setattr(activate_workflows_module, "STANDING_S", 0.0)
        await stand.advance()
        assert "4 of these are kept by what stands still" in (await stand.get(path))["why"]

        await stand.end(kept[0], "abort")
        await stand.advance()
        assert (refused.obstacles, refused.standing) == ({}, {})


async def test_one_that_waits_for_room_and_keeps_some_is_explained_with_one_judgement_of_those_who_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgements: list[str] = []

    def judge(*known: Any) -> find_room.Judged:
        judgements.append("line")
        return find_room.judge_line(*known)

    monkeypatch.setattr(explain_room, "judge_line", judge)
    async with open_stand(database_url, workers_max=3) as stand:
        first = await stand.submit()
        await stand.advance()
        [order] = (await stand.claim())["start"]
        await stand.report(order, "submit-failed", error="no such file", final=True)
        path = f"/muster/v1/tasks/{first['tasks'][0]['task_id']}/actions/add-workers"
        await stand.post(path, {"location": "local", "n_workers": 1})
        await stand.submit(by=STRANGER)
        await stand.advance()
        await stand.post(path, {"location": "local", "n_workers": 1})

        found = await explain(stand, first)

        assert "no-room" in [one["cause"] for one in found["taskforces"]]
        assert "keeps-room" in [one["cause"] for one in found["reasons"]]
        assert judgements == ["line"]


async def test_of_a_held_one_it_is_not_said_that_others_work_where_nobody_can_take_those(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.advance()
    [order] = (await stand.claim())["start"]
    await stand.report(order, "submit-failed", error="no containers here", final=True)
    path = f"/muster/v1/tasks/{workflow['tasks'][0]['task_id']}/actions/add-workers"
    await stand.post(path, {"location": "far", "n_workers": 1})
    await stand.advance()
    changed = replace(stand.parts, locations=index_locations((Location("local", schedd="local"),)))

    held, displaced = (await explain_workflow(changed, workflow["workflow_id"])).taskforces

    assert (held.reason.cause, displaced.reason.cause) == (Cause.HELD, Cause.DISPLACED)
    assert "others work for its task" not in held.reason.text


async def test_room_that_is_kept_by_one_whose_workers_nobody_can_take_does_not_come_by_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "LET_IN_S", -1.0)
    async with open_stand(database_url, queues_max=3) as stand:
        first = await stand.submit()
        await stand.advance()
        waits = await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "cluster_locations": ["far"]}]})
        await stand.publish(waits, 1)
        here, keeps = waits["workflow_id"], first["workflow_id"]
        changed = replace(stand.parts, locations=index_locations((Location("far", schedd="far"),)))
        await activate_workflows(changed)

        found = await explain_workflow(changed, here)
        of_itself = await explain_workflow(changed, keeps)
        progress = await follow_progress(changed, here, seen=None, wait_s=0)

        [reason] = found.reasons
        assert (found.verdict, reason.cause, reason.waits_for) == (Verdict.STALLED, Cause.NO_ROOM, Party.PERSON)
        kept = f"2 of these are kept by what stands still, until its owner mends, finishes or aborts it: {keeps} (2)"
        assert reason.text.endswith(f"{kept}; only then there is room for it")
        assert kept in str(progress.why)
        assert [one.cause for one in of_itself.reasons] == [Cause.DISPLACED, Cause.KEEPS_ROOM]
        [told] = (await explain(stand, waits))["taskforces"]  # a service that knows the location
        assert told["text"].endswith("; the activator lets it in by itself when others have ended")


async def test_where_the_others_leave_room_enough_it_is_let_in_beside_what_stands_still(database_url: str) -> None:
    async with open_stand(database_url, queues_max=5) as stand:
        first, other = await stand.submit(), await stand.submit(by=STRANGER)
        await stand.advance()
        [order] = [one for one in (await stand.claim())["start"] if one["workflow_id"] == first["workflow_id"]]
        await stand.report(order, "submit-failed", error="no containers here", final=True)
        waits = await stand.submit()

        [reason] = (await explain(stand, waits))["taskforces"]

        assert (
            f"until its owner mends, finishes or aborts it: {first['workflow_id']} (2); the activator" in reason["text"]
        )
        assert (reason["waits_for"], reason["needs_help"]) == ("activator", False)
        await stand.post(f"/muster/v1/workflows/{other['workflow_id']}/actions/abort", by=STRANGER)
        [let_in] = (await explain(stand, waits))["taskforces"]
        assert let_in["cause"] == "not-activated"


async def test_progress_names_the_limit_for_which_a_workflow_waits(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "LET_IN_S", -1.0)
    narrow = replace(stand.parts, settings=stand.parts.settings.model_copy(update={"workers_max": 3}))
    await stand.submit()
    second = await stand.submit()
    path, look = (
        f"/muster/v1/workflows/{second['workflow_id']}/progress",
        f"muster workflow explain {second['workflow_id']}",
    )
    no_events = "no events were published yet: publish into in"
    assert (await stand.get(path))["why"] == f"{no_events}; its workers wait to be let in: {look}"

    await activate_workflows(narrow)

    limit = "2 workers in all are in use and 2 more are wanted, of 3 that may be (MUSTER_WORKERS_MAX)"
    assert (await stand.get(path))["why"] == f"{no_events}; its workers wait to be let in, as {limit}: {look}"
    await stand.publish(second, 1)
    assert (await stand.get(path))["why"] == f"its workers wait to be let in, as {limit}: {look}"


async def test_dead_letters_are_told_by_cause(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "attempts": 1}]})
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.publish(workflow, 1, 2)
    events = (await stand.step(worker, 1, want=2))["events"]
    await stand.step(worker, 2, finished=[fail(one) for one in events])

    found = await explain(stand, workflow)

    assert causes(found) == ("idle", ["inputs-open", "failed-attempts", "dead"], [])
    dead = found["reasons"][2]
    assert dead["text"] == "2 events failed for the last time: 2 × no luck"
    assert dead["remedies"][0] == f"muster dead-letter list {workflow['workflow_id']}"


async def test_workers_that_have_all_ended_are_missed_where_events_wait(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    await stand.report(order, "completed", at=1.0)

    found = await explain(stand, workflow)

    assert causes(found) == ("stalled", ["no-taskforce"], ["workers-ended"])
    assert found["reasons"][0]["remedies"][0].startswith(f"muster workflow add-workers {workflow['workflow_id']}")
    assert found["over"] == 0


async def test_who_asked_for_work_is_known_to_every_service_on_the_database(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.publish(workflow, 1)
    await stand.claim("site-b")  # there was nothing yet
    await stand.advance()

    elsewhere = replace(stand.parts, noted=Noted())  # as another service sees it
    [explained] = (await explain_workflow(elsewhere, workflow["workflow_id"])).taskforces

    assert explained.reason.text.startswith(
        "its workers wait to be started: site agent site-b is there, and asked for work last at"
    )


@pytest.mark.parametrize("has_events", [True, False])
async def test_what_stands_at_a_location_that_is_not_what_it_was_is_told_as_one_thing(
    stand: Stand, *, has_events: bool
) -> None:
    workflow = await stand.submit()
    if has_events:
        await stand.publish(workflow, 1)
    await stand.advance()
    await stand.claim(locations=["far"])  # its agent is there, and is not to blame
    here, moved = Location("far", schedd="far"), Location("local", schedd="elsewhere")
    for known, why in (
        ((here,), "the location local is not among MUSTER_LOCATIONS of this service any more"),
        (
            (here, moved),
            "the schedd of the location local was local when this was ordered, and is elsewhere in MUSTER_LOCATIONS now",
        ),
    ):
        changed = replace(stand.parts, locations=index_locations(known))

        found = await explain_workflow(changed, workflow["workflow_id"])
        progress = await follow_progress(changed, workflow["workflow_id"], seen=None, wait_s=0)

        [reason], [of_taskforce] = found.reasons, found.taskforces
        assert (found.verdict, reason.cause, of_taskforce.reason.cause) == (
            Verdict.STALLED,
            Cause.DISPLACED,
            Cause.DISPLACED,
        )
        assert reason.text == progress.why == f"nobody can take the workers: {why}"
        assert (reason.waits_for, of_taskforce.reason.waits_for) == (Party.PERSON, Party.PERSON)
        assert of_taskforce.reason.text.startswith(f"nobody can start its workers: {why}; ")
        assert reason.remedies == of_taskforce.reason.remedies
        assert [one.split()[2] for one in reason.remedies] == ["add-workers", "abort"]


async def test_what_upstreams_agent_is_still_given_is_not_said_to_be_lost(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [EWMS_TASK]})
    await stand.advance()
    await stand.get("/v1/tms/pending-stopper/taskforces?schedd=SCHEDD1", by=TMS)
    beta = Location("test-beta", schedd="SCHEDD1", agent=Agent.UPSTREAM)
    changed = replace(stand.parts, locations=index_locations((beta,)))

    [found] = (await explain_workflow(changed, workflow["workflow_id"])).taskforces

    assert (found.reason.cause, found.reason.waits_for) == (Cause.NOT_TAKEN, Party.UPSTREAM_AGENT)


async def test_upstreams_agent_is_heard_and_a_person_who_looks_is_not_taken_for_it(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [EWMS_TASK]})
    await stand.advance()
    for by, schedd in ((USER, "SCHEDD1"), (TMS, "SCHEDD2"), (TMS, "nowhere")):
        await stand.get(f"/v1/tms/pending-starter/taskforces?schedd={schedd}", by=by)
    found = await explain(stand, workflow)
    assert (found["verdict"], found["taskforces"][0]["waits_for"]) == ("stalled", "upstream-agent")
    assert found["reasons"][0]["text"] == (
        "upstream's agent has not taken the workers yet: is the task management service running at SCHEDD1?"
    )

    await stand.get("/v1/tms/pending-stopper/taskforces?schedd=SCHEDD1", by=TMS)

    found = await explain(stand, workflow)
    assert found["verdict"] == "starting"
    assert found["reasons"][0]["text"] == "upstream's agent has not taken the workers yet, though it asks for work"
    assert (
        "the task management service at SCHEDD1 is there, and asked for work last at" in found["taskforces"][0]["text"]
    )
    asks = await stand.parts.store.read(
        lambda tx: tx.askings.find(locations=[], schedds=["SCHEDD1", "SCHEDD2", "nowhere"])
    )
    assert {one.place for one in asks} == {"SCHEDD1", "SCHEDD2"}


async def test_a_workflow_at_upstreams_agent_is_explained_by_what_that_one_says(stand: Stand) -> None:
    """Its events go through the broker, so nothing of them is known here."""
    workflow = await stand.submit({**NEW, "tasks": [EWMS_TASK]})
    await stand.advance()
    assert causes(await explain(stand, workflow)) == ("stalled", ["not-taken"], ["not-taken"])
    [uuid] = [one["taskforce_uuid"] for one in workflow["taskforces"]]
    submitted = {"cluster_id": 7, "n_workers": 2, "submit_dict": {}, "job_event_log_fpath": "/jel"}
    await stand.post(f"/v1/tms/condor-submit/taskforces/{uuid}", submitted, by=TMS)
    assert causes(await explain(stand, workflow)) == ("starting", [], ["not-running"])

    statuses = {"compound_statuses_by_taskforce": {uuid: {"RUNNING": {"Tasking": 1}, "IDLE": {"null": 1}}}}
    await stand.post("/v1/tms/statuses/taskforces", statuses, by=TMS)

    found = await explain(stand, workflow)
    assert causes(found) == ("running", [], [])
    assert found["summary"].endswith("its events go through the broker, and are not counted here; 1 worker is up")
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/progress"
    assert (await stand.get(path))["why"] is None

    await stand.publish(workflow, 1)

    found = await explain(stand, workflow)
    assert causes(found) == ("stalled", ["not-bridged"], [])
    text = "1 event was published here and waits, but the pilots at test-alpha read from the broker, and nothing is carried there"
    assert found["reasons"][0]["text"].startswith(text)
    assert (await stand.get(path))["why"] == found["reasons"][0]["text"]


async def test_one_that_finished_itself_says_so(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "finish_when_done": True})
    await stand.publish(workflow, close=True)
    assert causes(await explain(stand, workflow))[:2] == ("idle", ["finishing"])
    await finish_drained(stand.parts)

    found = await explain(stand, workflow)

    assert causes(found) == ("ended", ["ended"], [])
    assert found["summary"].startswith("it finished itself at ")


async def test_a_workflow_with_many_taskforces_is_explained_in_part(stand: Stand) -> None:
    workflow = await stand.submit()
    task = workflow["tasks"][0]["task_id"]
    for _ in range(50):
        await stand.post(f"/muster/v1/tasks/{task}/actions/add-workers", {"location": "local", "n_workers": 1})

    found = await explain(stand, workflow)

    assert (len(found["taskforces"]), found["left_out"], found["over"]) == (50, 1, 0)


async def test_nobody_is_told_to_keep_from_others_what_they_have_limits_of_their_own_for(database_url: str) -> None:
    async with open_stand(database_url, queues_max_per_owner=2) as stand:
        kept, theirs = await stand.submit(), await stand.submit(by=STRANGER)
        await stand.advance()
        for order in (await stand.claim())["start"]:
            await stand.report(order, "submit-failed", error="no containers here", final=True)
        waits = await stand.submit(by=STRANGER)

        [reason] = (await explain(stand, waits, by=STRANGER))["taskforces"]
        assert reason["text"].endswith(f"aborts it: {theirs['workflow_id']} (2); only then there is room for it")
        assert causes(await explain(stand, kept))[1] == ["held"]
        assert causes(await explain(stand, theirs))[1] == ["held", "keeps-room"]


async def test_nobody_is_told_to_keep_room_from_itself(database_url: str) -> None:
    async with open_stand(database_url, workers_max=3) as stand:
        workflow = await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "n_workers": 2}]})
        await stand.advance()
        [order] = (await stand.claim())["start"]
        await stand.report(order, "submit-failed", error="no containers here", final=True)
        more = f"/muster/v1/tasks/{workflow['tasks'][0]['task_id']}/actions/add-workers"
        await stand.post(more, {"location": "local", "n_workers": 2})

        assert "keeps-room" not in causes(await explain(stand, workflow))[1]
        await stand.submit()
        assert "keeps-room" in causes(await explain(stand, workflow))[1]


async def test_of_those_that_have_the_room_as_many_are_named_beside_the_one_that_waits(database_url: str) -> None:
    async with open_stand(database_url, workers_max=10) as stand:
        first = await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "n_workers": 4}]})
        others = [await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "n_workers": 2}]}) for _ in range(3)]
        await stand.advance()
        more = f"/muster/v1/tasks/{first['tasks'][0]['task_id']}/actions/add-workers"
        await stand.post(more, {"location": "local", "n_workers": 1})

        told = " ".join(one["text"] for one in (await explain(stand, first))["taskforces"])

        a, b, c = sorted(one["workflow_id"] for one in others)
        assert f"they are in use by its own workflow (4), {a} (2), {b} (2) and {c} (2)" in told
