"""Whose lease is it? Enrolment, newer starts, expiry, late results, tokens."""

import pytest

from muster.domain.queue import Counts
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import WorkflowState
from muster.server.daemons.reap import reap_sessions
from muster.server.services.worker_token import enrolment_secret
from server.queues.running_door import KEY, OWNER, Door, done, failed, insert_workflow, open_door, wait_for

pytestmark = pytest.mark.anyio


async def test_a_worker_is_told_how_to_run_its_task(door: Door) -> None:
    worker = await door.enrol()

    session, token = worker.enrolled.pop("session"), worker.enrolled.pop("token")

    assert worker.enrolled == {
        "protocol": 1,
        "token_ttl_s": 3600.0,
        "lease_s": 60.0,
        "batch": 16,
        "file_bytes_max": 0,
        "task": {
            "task_id": door.layout.task_id,
            "image": "",
            "args": "python task.py {{INFILE}} {{OUTFILE}}",
            "env": {"COLOUR": "blue"},
            "init_image": "",
            "init_args": "",
            "init_env": {},
            "timeout_s": None,
            "warm": False,
            "max_events": 10000,
            "infile_ext": "json",
            "outfile_ext": "json",
            "slots": 1,
            "n_cores": 2,
            "n_outputs": 1,
            "outputs": ["sink"],
            "memory_bytes": 512 << 20,
            "disk_bytes": 2 << 30,
            "gpus": 2,
            "output": "file",
        },
        "takes_usage": True,
        "takes_output": True,
        "takes_isolation": True,
    }
    assert session.isdigit()
    assert token not in {"", enrolment_secret(KEY, door.layout.taskforce_uuid)}


async def test_the_secret_of_another_taskforce_opens_nothing(door: Door) -> None:
    other = await insert_workflow(door.parts)

    answer = await door.ask(
        "POST",
        "/worker/enrol",
        token=None,
        body=door.enrolment(secret=enrolment_secret(KEY, other.taskforce_uuid)),
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert enrolment_secret(KEY, other.taskforce_uuid) not in answer.text


async def test_a_protocol_that_is_not_spoken_is_refused_with_the_one_that_is(door: Door) -> None:
    answer = await door.ask("POST", "/worker/enrol", token=None, body=door.enrolment(protocol=2))

    assert answer.status_code == 422
    assert answer.json()["findings"] == [{"field": "protocol", "reason": "is 2; this service speaks 1"}]


@pytest.mark.parametrize(
    ("phase", "status"),
    [
        (Phase.PRE_MQ_ACTIVATION, 403),
        (Phase.PRE_LAUNCH, 403),
        (Phase.PENDING_STARTER, 200),
        (Phase.CONDOR_SUBMIT, 200),
        (Phase.PENDING_STOPPER, 403),
        (Phase.CONDOR_RM, 403),
        (Phase.CONDOR_COMPLETE, 403),
    ],
)
async def test_workers_enrol_while_their_taskforce_may_have_any(door: Door, phase: Phase, status: int) -> None:
    layout = await insert_workflow(door.parts, phase=phase)

    answer = await door.ask("POST", "/worker/enrol", token=None, body=door.enrolment(taskforce=layout.taskforce_uuid))

    assert answer.status_code == status
    assert answer.json().get("code") == (None if status == 200 else "taskforce-ended")


@pytest.mark.parametrize("how", [WorkflowState.FINISHED, WorkflowState.ABORTED])
async def test_workers_of_a_workflow_that_is_over_do_not_enrol(door: Door, how: WorkflowState) -> None:
    await door.deactivate(how)

    answer = await door.ask("POST", "/worker/enrol", token=None, body=door.enrolment())

    assert (answer.status_code, answer.json()["code"]) == (403, "taskforce-ended")


async def test_a_newer_start_takes_the_leases_back_and_the_older_one_is_over(door: Door) -> None:
    await door.publish(1)
    old = await door.enrol(start=1)
    (event,) = await old.lease()

    new = await door.enrol(start=2)
    (again,) = await new.lease()
    over = await old.ask("step", {"call": 2, "want": 1})
    outrun = await door.ask("POST", "/worker/enrol", token=None, body=door.enrolment(start=1))

    # the older one did not leave, so it died: what it was at counts as an attempt
    assert (again["event"], again["attempt"]) == (event["event"], 2)
    assert again["fence"] > event["fence"]
    assert (over.status_code, over.json()["code"]) == (410, "session-ended")
    assert "over" in over.json()["error"]
    assert (outrun.status_code, outrun.json()["code"]) == (403, "forbidden")


async def test_the_same_start_may_enrol_again(door: Door) -> None:
    await door.publish(1)
    first = await door.enrol()
    (event,) = await first.lease()

    second = await door.enrol()
    answer = await second.step(done(event, "late but good"), want=1)

    assert second.enrolled["session"] != first.enrolled["session"]
    assert (answer["verdicts"], answer["events"]) == (["late"], [])
    assert (await first.ask("renew", {"held": []})).status_code == 410
    assert await door.counts("source") == Counts(published=1, done=1)
    assert await door.counts("sink") == Counts(published=1, waiting=1)


async def test_sessions_that_fall_silent_end_and_their_late_results_are_recognised(database_url: str) -> None:
    async with open_door(database_url) as door:
        door.layout = await insert_workflow(door.parts, lease_s=0.3, attempts=3)
        (event_id,) = await door.publish(1)
        silent, other = await door.enrol(proc=0), await door.enrol(proc=1)
        (event,) = await silent.lease()

        async def is_reaped() -> bool:
            await reap_sessions(door.parts.engine, door.parts.waking)
            return (await door.counts("source")).waiting == 1

        await wait_for(is_reaped, "the silent worker's event waits again")
        over = await silent.ask("step", {"call": 2, "finished": [done(event, "r")]})
        other = await door.enrol(proc=1, start=2)
        (again,) = await other.lease()
        back = await door.enrol(proc=0, start=1)
        late = await back.step(done(event, "first"))
        duplicate = await other.ask("step", {"call": 2, "finished": [done(again, "second")]})
        history = await door.get(f"/events/{event_id}")

        assert over.status_code == 410
        assert (again["event"], again["attempt"]) == (event_id, 2)
        assert late["verdicts"] == ["late"]
        assert duplicate.status_code == 200
        assert duplicate.json()["verdicts"] == ["duplicate"]
        assert len(history["results"]) == 1
        assert await door.counts("sink") == Counts(published=1, waiting=1)
        assert await door.counts("source") == Counts(published=1, done=1, duplicates=1)
        await door.parts.engine.fold()
        assert await door.counts("source") == Counts(published=1, done=1, duplicates=1)


async def test_the_reaper_makes_a_dead_letter_of_an_event_that_kills_its_workers(database_url: str) -> None:
    async with open_door(database_url) as door:
        door.layout = await insert_workflow(door.parts, lease_s=0.2, attempts=2)
        await door.publish("poison")

        async def is_reaped() -> bool:
            await reap_sessions(door.parts.engine, door.parts.waking)
            return (await door.counts("source")).in_work == 0

        for start in (1, 2):
            worker = await door.enrol(start=start)
            (event,) = await worker.lease()
            assert event["attempt"] == start
            await wait_for(is_reaped, "the lease has expired")

        (letter,) = (await door.get(door.of_workflow("/dead-letters?queue=source")))["dead_letters"]
        assert letter["attempts"] == 2
        history = (await door.get(f"/events/{letter['event']}"))["history"]
        assert [one["outcome"] for one in history] == ["expired", "expired"]


async def test_renewing_names_what_was_lost_and_gives_a_fresh_token_in_time(door: Door) -> None:
    await door.publish(1, 2)
    worker = await door.enrol()
    one, two = await worker.lease(2)
    await worker.step(failed(two))
    held = [[event["event"], event["fence"]] for event in (one, two)]

    early = (await worker.ask("renew", {"held": held})).json()
    door.clock.now += 1801
    renewed = (await worker.ask("renew", {"held": held})).json()
    door.clock.now += 1800
    expired = await worker.ask("renew", {"held": []})
    worker.enrolled["token"] = renewed["token"]
    good = await worker.ask("renew", {"held": []})

    assert early == {
        "lease_s": 60.0,
        "lost": [two["event"]],
        "stop": None,
        "token": None,
        "held": False,
        "watched": [],
    }
    assert renewed["token"]
    assert (expired.status_code, expired.json()["code"]) == (401, "unauthenticated")
    assert good.status_code == 200


async def test_an_event_of_another_taskforce_is_none_of_a_workers_business(door: Door) -> None:
    await door.publish(1)
    ours = await door.enrol()
    (event,) = await ours.lease()
    other = await insert_workflow(door.parts)
    theirs = await door.enrol(taskforce=other.taskforce_uuid)

    answer = await theirs.step(done(event, "forged"), failed({"event": "EV-0000000000000001", "fence": 1}))

    assert answer["verdicts"] == ["unknown", "unknown"]
    assert await door.counts("source") == Counts(published=1, in_work=1)


async def test_tokens_open_their_own_side_only(door: Door) -> None:
    worker = await door.enrol()

    on_worker_routes = [
        (await door.ask("POST", f"/worker/{word}", token=token, body={"call": 1})).status_code
        for word in ("step", "renew", "leave")
        for token in (OWNER, None, enrolment_secret(KEY, door.layout.taskforce_uuid), worker.token + "x")
    ]
    on_user_routes = [
        (await door.ask(method, path, token=worker.token)).status_code
        for method, path in [
            ("GET", door.of_workflow("/events")),
            ("POST", door.of_workflow("/queues/source/events")),
            ("POST", door.of_workflow("/queues/sink/consumers")),
            ("GET", "/events/EV-0000000000000001"),
        ]
    ]

    assert on_worker_routes == [401] * 12
    assert on_user_routes == [401] * 4
