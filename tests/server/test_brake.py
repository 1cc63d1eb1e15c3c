"""Does a workflow that is stopped for a while begin nothing, lose nothing, and go on where it was?"""

import re

import anyio
import pytest

from muster.worker import protocol
from server.stand import NEW, NEW_TASK, OPERATOR, STRANGER, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

BRAKED: Json = {**NEW, "tasks": [{**NEW_TASK, "brake_attempts": 10, "brake_share": 0.5, "retry_s": 0}]}
UNHURRIED: Json = {"how": "finish", "grace_s": protocol.UNHURRIED_S}


def path(workflow: Json, what: str) -> str:
    return f"/muster/v1/workflows/{workflow['workflow_id']}/{what}"


def failed(event: Json, fingerprint: str = "exit 2: no such option") -> Json:
    error = {"text": f"{fingerprint} 17", "fingerprint": fingerprint, "exit_code": 2}
    return {"event": event["event"], "fence": event["fence"], "outcome": "failed", "error": error}


def done(event: Json) -> Json:
    return {"event": event["event"], "fence": event["fence"], "outcome": "done", "results": [{"body": 1}]}


async def pause(stand: Stand, workflow: Json, how: str = "pause", **body: Json) -> Json:
    return await stand.post(path(workflow, f"actions/{how}"), body)


async def start(stand: Stand, new: Json = NEW) -> tuple[Json, Json, Json]:
    """A workflow with one worker up: it, the order of its taskforce, its worker."""
    workflow = await stand.submit(new)
    order = await stand.start(workflow)
    return workflow, order, await stand.enrol(order["taskforce_uuid"])


async def test_a_paused_workflow_gives_no_events_and_takes_what_was_at_work(stand: Stand) -> None:
    workflow, _, worker = await start(stand)
    await stand.publish(workflow, 1, 2, 3)
    [event] = (await stand.step(worker, 1, want=1))["events"]

    braked = await pause(stand, workflow, reason="the calibration is wrong")

    assert (braked["state"], braked["n_taskforces"]) == ("active", 0)
    assert braked["brake"] | {"at": 0} == {
        "state": "paused",
        "at": 0,
        "by": "ada",
        "reason": "the calibration is wrong",
        "fingerprint": None,
    }
    answer = await stand.step(worker, 2, finished=[done(event)], want=5)
    assert (answer["verdicts"], answer["events"], answer["held"], answer["stop"]) == (["done"], [], True, None)
    renewed = await stand.post(protocol.RENEW, {"held": []}, by=worker["token"])
    assert (renewed["held"], renewed["stop"]) == (True, None)
    await stand.publish(workflow, 4)
    assert (await stand.show(workflow))["brake"]["state"] == "paused"
    [row] = (await stand.get("/muster/v1/workflows"))["workflows"]
    assert row["brake"]["by"] == "ada"

    resumed = await stand.post(path(workflow, "actions/resume"))

    assert (resumed["brake"], resumed["n_taskforces"]) == (None, 0)
    answer = await stand.step(worker, 3, want=5)
    assert (len(answer["events"]), answer["held"]) == (3, False)


async def test_a_parked_worker_is_given_nothing_while_it_is_paused_and_everything_when_it_goes_on(stand: Stand) -> None:
    workflow, _, worker = await start(stand)
    answers: list[Json] = []

    async def ask() -> None:
        body = {"call": 1, "finished": [], "want": 5, "wait_s": 20}
        answers.append(await stand.post(protocol.STEP, body, by=worker["token"]))

    await pause(stand, workflow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await stand.publish(workflow, 1, 2)
        with anyio.move_on_after(0.3):
            await anyio.sleep_forever()
        assert answers == []
        with anyio.fail_after(4.0):  # less than it would be parked for
            await stand.post(path(workflow, "actions/resume"))

    assert len(answers[0]["events"]) == 2


async def test_paused_twice_is_paused_once_and_everything_may_be_said_twice(stand: Stand) -> None:
    workflow, *_ = await start(stand)

    first = await pause(stand, workflow, reason="one")
    assert await pause(stand, workflow, reason="two") == first
    await stand.post(path(workflow, "actions/resume"))
    assert (await stand.post(path(workflow, "actions/resume")))["brake"] is None


async def test_the_workers_of_a_drained_workflow_go_once_they_have_nothing_in_hand(stand: Stand) -> None:
    workflow, order, worker = await start(stand)
    await stand.publish(workflow, 1, 2)
    [event] = (await stand.step(worker, 1, want=1))["events"]

    drained = await pause(stand, workflow, "drain")

    assert (drained["brake"]["state"], drained["n_taskforces"]) == ("drained", 1)
    answer = await stand.step(worker, 2, finished=[done(event)], want=1)
    assert (answer["verdicts"], answer["events"], answer["stop"]) == (["done"], [], UNHURRIED)
    # Its agent has nothing to do with it: nobody kills what may take hours.
    assert (await stand.claim(held=[order["taskforce_uuid"]]))["stop"] == []
    # A worker that died, and was started again meanwhile, hears the same.
    again = await stand.enrol(order["taskforce_uuid"], proc=1)
    assert (await stand.step(again, 1, want=1))["stop"] == UNHURRIED


async def test_a_drained_workflow_gets_new_workers_like_its_first_ones_when_it_goes_on(stand: Stand) -> None:
    workflow, order, old = await start(stand)
    await stand.publish(workflow, 1)
    await pause(stand, workflow, "drain")

    resumed = await stand.post(path(workflow, "actions/resume"))

    assert (resumed["brake"], resumed["n_taskforces"]) == (None, 1)
    before, after = (await stand.show(workflow))["taskforces"]
    assert (before["taskforce_uuid"], before["let_go_at"] is not None) == (order["taskforce_uuid"], True)
    assert (after["origin"], after["n_workers"], after["let_go_at"]) == ("resumed", 2, None)
    new_order = await stand.start(workflow, cluster_id=8)
    new = await stand.enrol(new_order["taskforce_uuid"])
    assert (await stand.step(old, 1, want=1))["stop"] == UNHURRIED  # it was let go for good
    assert len((await stand.step(new, 1, want=1))["events"]) == 1
    # Once more: each time there is one like the first.
    await pause(stand, workflow, "drain")
    assert (await stand.post(path(workflow, "actions/resume")))["n_taskforces"] == 1


async def test_a_cluster_of_which_no_worker_is_up_is_removed_when_it_is_drained(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)

    assert (await pause(stand, workflow, "drain"))["n_taskforces"] == 1

    [taskforce] = (await stand.show(workflow))["taskforces"]
    assert (taskforce["phase"], taskforce["let_go_at"]) == ("pending-stopper", None)
    [stop] = (await stand.claim(held=[order["taskforce_uuid"]]))["stop"]
    assert stop["taskforce_uuid"] == order["taskforce_uuid"]


async def test_what_was_not_started_when_it_was_drained_is_not_started(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.advance()  # it is offered to agents

    assert (await pause(stand, workflow, "drain"))["n_taskforces"] == 1

    assert (await stand.claim())["start"] == []
    await stand.post(path(workflow, "actions/resume"))
    await stand.start(workflow)


async def test_a_workflow_that_is_paused_before_it_was_let_in_waits_with_its_workers(stand: Stand) -> None:
    workflow = await stand.submit()
    await pause(stand, workflow)

    await stand.advance()

    [taskforce] = (await stand.show(workflow))["taskforces"]
    assert taskforce["phase"] == "pre-mq-activation"
    await stand.post(path(workflow, "actions/resume"))
    await stand.start(workflow)


async def test_a_paused_workflow_can_be_finished_and_aborted_and_a_drained_one_stops_with_its_grace(
    stand: Stand,
) -> None:
    workflow, order, worker = await start(stand)
    await pause(stand, workflow, "drain")

    ended = await stand.end(workflow, "finish")

    assert (ended["state"], ended["n_taskforces"]) == ("finished", 1)
    assert (await stand.show(workflow))["brake"] is None
    assert (await stand.step(worker, 1, want=1))["stop"] == {"how": "finish", "grace_s": 20.0}
    assert [one["taskforce_uuid"] for one in (await stand.claim(held=[order["taskforce_uuid"]]))["stop"]] == [
        order["taskforce_uuid"]
    ]


async def test_a_workflow_that_ended_is_not_paused(stand: Stand) -> None:
    workflow = await stand.submit()
    await stand.end(workflow, "finish")

    for how in ("pause", "drain", "resume"):
        refused = await stand.ask("POST", path(workflow, f"actions/{how}"), {})
        assert refused.status_code == 409
        assert "is finished, and nothing of it runs" in refused.json()["error"]


async def test_only_its_owner_and_operators_stop_it(stand: Stand) -> None:
    workflow, *_ = await start(stand)

    for how in ("pause", "drain", "resume"):
        assert (await stand.ask("POST", path(workflow, f"actions/{how}"), {}, by=STRANGER)).status_code == 403
    assert (await stand.ask("POST", path(workflow, "actions/pause"), {}, by=OPERATOR)).is_success


async def test_a_reason_that_a_terminal_should_not_be_shown_is_refused(stand: Stand) -> None:
    workflow, *_ = await start(stand)

    refused = await stand.ask("POST", path(workflow, "actions/pause"), {"reason": "\x1b[2J"})

    assert refused.status_code == 422
    assert refused.json()["findings"] == [{"field": "reason", "reason": "must be one line, without control characters"}]


async def test_a_workflow_stops_itself_when_most_of_its_last_attempts_fail(stand: Stand) -> None:
    workflow, _order, worker = await start(stand, BRAKED)
    await stand.publish(workflow, *range(30))
    events = (await stand.step(worker, 1, want=12))["events"]
    good, bad, rest = events[:4], events[4:10], events[10:]
    await stand.step(worker, 2, finished=[done(one) for one in good])
    assert (await stand.show(workflow))["brake"] is None

    await stand.step(worker, 3, finished=[failed(one) for one in bad])

    brake = (await stand.show(workflow))["brake"]
    task_id = workflow["tasks"][0]["task_id"]
    assert brake | {"at": 0} == {
        "state": "paused",
        "at": 0,
        "by": "muster",
        "reason": f"task {task_id}: 6 of its last 10 attempts failed, each time: exit 2: no such option",
        "fingerprint": "exit 2: no such option",
    }
    answer = await stand.step(worker, 4, finished=[failed(one) for one in rest], want=5)
    assert (answer["events"], answer["held"]) == ([], True)
    # Everything is where it was: nothing died of it.
    account = await stand.get(path(workflow, "account?recount=true"))
    assert (account["published"], account["done"], account["waiting"], account["dead"]) == (30, 4, 26, 0)
    assert account["adds_up"]
    # Resumed as it is, it takes as many failures again.
    await stand.post(path(workflow, "actions/resume"))
    events = (await stand.step(worker, 5, want=10))["events"]
    await stand.step(worker, 6, finished=[failed(one) for one in events[:9]])
    assert (await stand.show(workflow))["brake"] is None
    await stand.step(worker, 7, finished=[failed(events[9])])
    assert (await stand.show(workflow))["brake"]["by"] == "muster"


async def test_what_is_given_back_is_no_failure(stand: Stand) -> None:
    workflow, _, worker = await start(stand, BRAKED)
    await stand.publish(workflow, *range(30))
    for call in range(1, 9, 2):
        events = (await stand.step(worker, call, want=10))["events"]
        released = [{"event": one["event"], "fence": one["fence"], "outcome": "released"} for one in events]
        await stand.step(worker, call + 1, finished=released)

    assert (await stand.show(workflow))["brake"] is None


async def test_who_looks_is_told_that_it_is_stopped_why_and_what_to_type(stand: Stand) -> None:
    workflow, _, worker = await start(stand, BRAKED)
    await stand.publish(workflow, *range(12))
    events = (await stand.step(worker, 1, want=12))["events"]
    await stand.step(worker, 2, finished=[failed(one) for one in events])
    here = workflow["workflow_id"]

    explained = await stand.get(path(workflow, "explanation"))
    progress = await stand.get(path(workflow, "progress"))

    assert explained["verdict"] == "braked"
    reason = explained["reasons"][0]
    assert (reason["cause"], reason["waits_for"], reason["last_error"]) == (
        "braked",
        "person",
        "exit 2: no such option",
    )
    assert re.match(
        r"it stopped itself: task TK-\S+: 12 of its last|it stopped itself: task TK-\S+: 1[0-2] of", reason["text"]
    )
    assert reason["remedies"] == [
        f"muster workflow errors {here}",
        f"muster workflow resume {here}    # once the cause is mended, or to go on as it is",
    ]
    assert progress["why"] == reason["text"]
    assert progress["brake"]["fingerprint"] == "exit 2: no such option"


async def test_what_happens_to_its_brake_is_told_to_who_follows(stand: Stand) -> None:
    workflow, *_ = await start(stand)
    await pause(stand, workflow, reason="lunch")
    await pause(stand, workflow, "drain")
    await stand.post(path(workflow, "actions/resume"))

    def look(tx: Json) -> list[tuple[str, Json]]:
        notices = tx.outbox.list_newest(workflow["workflow_id"], limit=32).notices
        return [(one.kind, dict(one.data)) for _, one in notices if one.kind.startswith("workflow.")]

    told = await stand.parts.store.read(look)

    assert [kind for kind, _ in told][-3:] == ["workflow.paused", "workflow.drained", "workflow.resumed"]
    assert told[-3][1] == {"by": "ada", "reason": "lunch", "fingerprint": None}


async def test_more_workers_for_a_drained_workflow_are_refused_until_it_goes_on(stand: Stand) -> None:
    workflow, *_ = await start(stand)
    await pause(stand, workflow, "drain")
    task_id = workflow["tasks"][0]["task_id"]
    more = {"location": "local", "n_workers": 3}

    refused = await stand.ask("POST", f"/muster/v1/tasks/{task_id}/actions/add-workers", more)

    assert refused.status_code == 409
    assert "muster workflow resume" in refused.json()["error"]
    await stand.post(path(workflow, "actions/resume"))
    assert (await stand.ask("POST", f"/muster/v1/tasks/{task_id}/actions/add-workers", more)).is_success


async def test_whatever_a_drained_workflow_recommends_is_not_refused(stand: Stand) -> None:
    workflow, order, worker = await start(stand)
    await stand.publish(workflow, 1, 2)
    await pause(stand, workflow, "drain")
    await stand.step(worker, 1, want=1)
    await stand.report(order, "completed", at=1.0)

    found = await stand.get(path(workflow, "explanation"))

    assert [one["cause"] for one in found["taskforces"]] == ["workers-ended"]
    remedies = [line for one in (*found["reasons"], *found["taskforces"]) for line in one["remedies"]]
    assert set(remedies) == {f"muster workflow resume {workflow['workflow_id']}"}
    assert (await stand.post(path(workflow, "actions/resume")))["n_taskforces"] == 1
    found = await stand.get(path(workflow, "explanation"))
    assert "workers-ended" not in [one["cause"] for one in found["taskforces"]]


async def test_dead_letters_go_back_while_it_is_paused_and_are_tried_when_it_goes_on(stand: Stand) -> None:
    workflow, _, worker = await start(stand, {**NEW, "tasks": [{**NEW_TASK, "attempts": 1}]})
    await stand.publish(workflow, 1)
    [event] = (await stand.step(worker, 1, want=1))["events"]
    await stand.step(worker, 2, finished=[failed(event)])
    await pause(stand, workflow)

    replayed = await stand.post(path(workflow, "dead-letters/actions/replay"), {})

    assert replayed["replayed"] == [event["event"]]
    assert (await stand.step(worker, 3, want=1))["events"] == []
    await stand.post(path(workflow, "actions/resume"))
    assert [one["event"] for one in (await stand.step(worker, 4, want=1))["events"]] == [event["event"]]


async def test_dead_letters_that_go_back_while_it_is_drained_bring_no_workers_before_it_goes_on(stand: Stand) -> None:
    workflow, order, worker = await start(stand, {**NEW, "tasks": [{**NEW_TASK, "attempts": 1}]})
    await stand.publish(workflow, 1)
    [event] = (await stand.step(worker, 1, want=1))["events"]
    await stand.step(worker, 2, finished=[failed(event)])
    await pause(stand, workflow, "drain")

    replayed = await stand.post(path(workflow, "dead-letters/actions/replay"), {})

    assert replayed["replayed"] == [event["event"]]
    taskforces = (await stand.show(workflow))["taskforces"]
    assert [one["taskforce_uuid"] for one in taskforces] == [order["taskforce_uuid"]]
    assert (await stand.post(path(workflow, "actions/resume")))["n_taskforces"] == 1
    new_order = await stand.start(workflow, cluster_id=8)
    new = await stand.enrol(new_order["taskforce_uuid"])
    assert [one["event"] for one in (await stand.step(new, 1, want=1))["events"]] == [event["event"]]


@pytest.mark.server
async def test_another_service_of_the_same_database_gives_nothing_either(postgres_url: str) -> None:
    async with open_stand(postgres_url) as one:
        workflow, _, worker = await start(one)
        async with open_stand(postgres_url) as other:
            await other.publish(workflow, 1, 2, 3)
            [first] = (await other.step(worker, 1, want=1))["events"]

            await pause(one, workflow)

            with anyio.fail_after(5.0):
                call = 2
                while not (await other.step(worker, call, finished=[done(first)][: call == 2]))["held"]:
                    call += 1
                    await anyio.sleep(0.02)
            assert (await other.step(worker, call + 1, want=3))["events"] == []
