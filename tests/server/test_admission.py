"""Are workflows let in by their turn and where there is room, are the others told to wait, and do they go on when there is?"""

from dataclasses import replace

import anyio
import asyncpg
import pytest

from contracts.store_bench import until
from contracts.test_store_admission import someone_waits
from muster.domain import room
from muster.server.daemons.launch import AGAIN_S, activate_those_new, launch_those_activated
from muster.server.services import line
from muster.server.services.activate_workflows import TRY_AGAIN_LATER, activate_workflows
from muster.server.services.explain_workflow import explain_workflow
from muster.server.services.launch_taskforces import launch_taskforces
from muster.server.services.line import Passed
from server.stand import EWMS_NEW, EWMS_TASK, NEW, OPERATOR, STRANGER, TMS, USER, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

LATER = ("pre-launch", False, "Workflow MQ Activator", "MQS responded with 'try_again_later' signal")


def limited(stand: Stand, **limits: int) -> Stand:
    """The same service with limits."""
    settings = stand.parts.settings.model_copy(update=limits)
    return replace(stand, parts=replace(stand.parts, settings=settings))


async def submit(stand: Stand, *, by: str = USER, n_workers: int = 2, priority: int = 50) -> Json:
    new = {**EWMS_NEW, "tasks": [{**EWMS_TASK, "n_workers": n_workers}], "priority": priority}
    return (await stand.post("/v1/workflows", new, by=by))["taskforces"][0]


async def show(stand: Stand, taskforce: Json) -> tuple[str, list[tuple[Json, ...]]]:
    """Its phase, and its log from the second entry on."""
    seen = await stand.get(f"/v1/taskforces/{taskforce['taskforce_uuid']}", by=TMS)
    names = ("target_phase", "was_successful", "source_entity", "context")
    return seen["phase"], [tuple(entry[name] for name in names) for entry in seen["phase_change_log"][1:]]


async def phases(stand: Stand, *taskforces: Json) -> list[str]:
    return [(await show(stand, one))[0] for one in taskforces]


async def fill(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Three of five workers are in use, by one who came after all that will wait."""
    monkeypatch.setattr(room, "OVERTAKEN_S", -1e9)
    stand = limited(stand, workers_max=5)
    await submit(stand, n_workers=3)
    await stand.advance()
    return stand


async def test_a_workflow_without_room_waits_and_says_so_once_while_others_go_on(stand: Stand) -> None:
    stand = limited(stand, workers_max_per_owner=3)
    first, second, others = await submit(stand), await submit(stand), await submit(stand, by=STRANGER)

    for _ in range(3):
        await stand.advance()

    assert await phases(stand, first, second, others) == ["pending-starter", "pre-mq-activation", "pending-starter"]
    assert (await show(stand, second))[1] == [LATER]
    assert LATER[3] == TRY_AGAIN_LATER


async def test_it_goes_on_when_another_one_has_ended(stand: Stand) -> None:
    stand = limited(stand, queues_max=2)
    first, second = await submit(stand), await submit(stand)
    await stand.advance()
    assert await phases(stand, first, second) == ["pending-starter", "pre-mq-activation"]

    await stand.post(f"/v1/workflows/{first['workflow_id']}/actions/finished")
    await stand.advance()

    phase, log = await show(stand, second)
    assert phase == "pending-starter"
    assert log == [
        LATER,
        ("pre-launch", True, *LATER[2:3], ""),
        ("pending-starter", True, "Taskforce Launch Control", ""),
    ]


async def test_workers_of_a_finished_workflow_count_until_their_cluster_is_gone(stand: Stand) -> None:
    stand = limited(stand, workers_max=3)
    first, second = await submit(stand), await submit(stand)
    await stand.advance()
    report = {"cluster_id": 7, "n_workers": 2, "submit_dict": {}, "job_event_log_fpath": "/log"}
    await stand.post(f"/v1/tms/condor-submit/taskforces/{first['taskforce_uuid']}", report, by=TMS)
    await stand.post(f"/v1/workflows/{first['workflow_id']}/actions/abort")

    await stand.advance()
    before = await phases(stand, second)
    await stand.post(f"/v1/tms/condor-rm/taskforces/{first['taskforce_uuid']}", by=TMS)
    await stand.advance()

    assert (before, await phases(stand, second)) == (["pre-mq-activation"], ["pending-starter"])


async def test_over_the_limit_of_events_no_further_workflow_is_let_in(stand: Stand) -> None:
    stand = limited(stand, events_max=3)
    running = await stand.submit()
    await stand.publish(running, 1, 2, 3)
    await stand.advance()
    waiting = await stand.submit()
    await stand.publish(waiting, 1)

    await stand.advance()

    assert [one["phase"] for one in (await stand.show(running))["taskforces"]] == ["pending-starter"]
    assert [one["phase"] for one in (await stand.show(waiting))["taskforces"]] == ["pre-mq-activation"]


async def test_more_workers_for_a_running_task_wait_for_room_too(stand: Stand) -> None:
    stand = limited(stand, workers_max_per_owner=3)
    first = await submit(stand)
    await stand.advance()
    path = f"/v1/task-directives/{first['task_id']}/actions/add-workers"
    more = await stand.post(path, {"cluster_location": "test-alpha", "n_workers": 2})

    await stand.advance()

    assert await phases(stand, first, more) == ["pending-starter", "pre-mq-activation"]


async def test_more_workers_that_have_no_room_beside_those_of_their_own_workflow_say_so(stand: Stand) -> None:
    """They would have it beside none; those that wait for others' say that instead."""
    stand = limited(stand, workers_max=5)
    first, other = await submit(stand), await submit(stand, n_workers=3)
    await stand.advance()
    texts = {}
    for one, n_workers in ((first, 4), (other, 2)):
        path = f"/v1/task-directives/{one['task_id']}/actions/add-workers"
        await stand.post(path, {"cluster_location": "test-alpha", "n_workers": n_workers})
        texts[n_workers] = str(await explain_workflow(stand.parts, one["workflow_id"]))

    excess = "with the 2 of these, 6 workers are more than the 5 that there may be at once"
    assert f"no room for it beside the workers that its workflow has at work: {excess}; the activator" in texts[4]
    in_use = "5 workers in all are in use and 2 more are wanted, of 5 that may be (MUSTER_WORKERS_MAX)"
    has = f"they are in use by its own workflow (3) and {first['workflow_id']} (2)"
    some = "the activator lets it in by itself when some of these have ended"
    assert f"there is no room for more of its workers: {in_use}; {has}; {some}" in texts[2]


async def test_more_workers_behind_held_ones_of_their_own_workflow_do_not_come_by_themselves(stand: Stand) -> None:
    stand = limited(stand, workers_max_per_owner=5)
    workflow = await stand.submit()
    await stand.advance()
    [order] = (await stand.claim())["start"]
    await stand.report(order, "submit-failed", error="no containers here", final=True)
    path = f"/muster/v1/tasks/{workflow['tasks'][0]['task_id']}/actions/add-workers"
    await stand.post(path, {"location": "far", "n_workers": 4})

    [waits] = [one.reason for one in (await explain_workflow(stand.parts, workflow["workflow_id"])).taskforces[1:]]

    held = "2 of those stand still, and keep their room until they are mended or the workflow is ended; only then there is room"
    assert (
        "there is no room for it beside the workers that its workflow has: with the 2 of these, 6 workers are more"
        in waits.text
    )
    assert held in waits.text
    assert waits.needs_help


async def test_a_workflow_that_wants_more_than_may_be_runs_alone(stand: Stand) -> None:
    stand = limited(stand, workers_max=3)
    first, big = await submit(stand), await submit(stand, n_workers=50)
    await stand.advance()
    assert await phases(stand, first, big) == ["pending-starter", "pre-mq-activation"]

    await stand.post(f"/v1/workflows/{first['workflow_id']}/actions/abort")
    await stand.advance()

    assert await phases(stand, big) == ["pending-starter"]


async def test_little_ones_that_come_long_after_a_big_one_are_let_in_after_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "OVERTAKEN_S", -1e9)  # whoever is in came later
    stand = limited(stand, workers_max=5)
    first = await submit(stand, n_workers=3)
    await stand.advance()
    big, little = await submit(stand, n_workers=4, priority=90), await submit(stand, by=STRANGER, n_workers=1)
    await stand.advance()

    assert await phases(stand, big, little) == ["pre-mq-activation", "pre-mq-activation"]
    explained = str(await explain_workflow(stand.parts, little["workflow_id"]))
    assert "3 workers in all are in use, 4 are kept for one that has waited longer, and 1 more are wanted" in explained

    await stand.post(f"/v1/workflows/{first['workflow_id']}/actions/abort")
    await stand.advance()

    assert await phases(stand, big, little) == ["pending-starter", "pending-starter"]


async def test_for_a_while_little_ones_go_before_a_big_one(stand: Stand) -> None:
    stand = limited(stand, workers_max=5)
    await submit(stand, n_workers=3)
    await stand.advance()
    big, little = await submit(stand, n_workers=4, priority=90), await submit(stand, by=STRANGER, n_workers=1)

    await stand.advance()

    assert await phases(stand, big, little) == ["pre-mq-activation", "pending-starter"]


async def test_who_is_far_down_the_line_is_told_how_many_wait_before_it(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OF_EACH_MAX", 2)
    stand = limited(stand, workers_max=1)
    await submit(stand)
    await stand.advance()
    *_, last = [await submit(stand) for _ in range(3)]

    explained = str(await explain_workflow(stand.parts, last["workflow_id"]))

    assert "there is no room for its workflow: 2 that are more urgent wait, too" in explained


async def test_the_room_that_is_kept_is_kept_through_the_whole_line(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "TOGETHER_MAX", 1)
    stand = await fill(stand, monkeypatch)
    big, little = await submit(stand, n_workers=4), await submit(stand, by=STRANGER, n_workers=1)

    await stand.advance()

    assert await phases(stand, big, little) == ["pre-mq-activation", "pre-mq-activation"]


async def test_more_workers_come_however_many_queues_and_events_there_are(stand: Stand) -> None:
    stand = limited(stand, queues_max=1, events_max=1)
    running = await stand.submit()
    await stand.publish(running, 1, 2, 3)
    await stand.advance()
    task = running["tasks"][0]["task_id"]
    more = await stand.post(f"/muster/v1/tasks/{task}/actions/add-workers", {"location": "local", "n_workers": 2})

    await stand.advance()

    assert await phases(stand, more) == ["pending-starter"]


async def test_an_aborted_workflow_that_waited_is_let_in_no_more(stand: Stand) -> None:
    stand = limited(stand, workers_max_per_owner=3)
    await submit(stand)
    waiting = await submit(stand)
    await stand.advance()
    await stand.post(f"/v1/workflows/{waiting['workflow_id']}/actions/abort")

    await stand.advance()

    phase, log = await show(stand, waiting)
    assert (phase, log[0], len(log)) == ("pending-stopper", LATER, 2)


async def test_the_most_urgent_is_let_in_first_and_owners_take_turns(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "TOGETHER_MAX", 1)  # those of one transaction have one time
    made = [
        await submit(stand, by=by, priority=priority)
        for by, priority in ((USER, 50), (USER, 50), (USER, 90), (STRANGER, 50), (OPERATOR, 48))
    ]
    names = {one["taskforce_uuid"]: name for one, name in zip(made, "ABCDE", strict=True)}

    assert (await activate_workflows(stand.parts), await launch_taskforces(stand.parts)) == (
        Passed(5, 0, is_cut=False),
        Passed(5, 0, is_cut=False),
    )

    entries = [
        (entry["timestamp"], names[one["taskforce_uuid"]])
        for one in made
        for entry in (await stand.get(f"/v1/taskforces/{one['taskforce_uuid']}", by=TMS))["phase_change_log"]
        if entry["target_phase"] == "pre-launch"
    ]
    assert "".join(name for _, name in sorted(entries)) == "CDEAB"


async def test_those_of_one_owner_who_are_more_than_a_pass_looks_at_follow_at_once(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody rings for the rest."""
    monkeypatch.setattr(line, "OF_EACH_MAX", 3)
    made = [await submit(stand) for _ in range(8)]

    await activate_those_new(stand.parts)
    activated = set(await phases(stand, *made))
    await launch_those_activated(stand.parts)

    assert (activated, set(await phases(stand, *made))) == ({"pre-launch"}, {"pending-starter"})


async def test_who_waits_hears_that_room_is_free_when_the_workers_are_gone(stand: Stand) -> None:
    stand = limited(stand, workers_max=2)
    first, second = await stand.submit(), await stand.submit()
    order = await stand.start(first, cluster_id=7)
    with stand.parts.waking.listen("activate") as bell:
        await stand.end(first, "finish")
        await bell.wait(0)
        await stand.advance()
        before = await stand.show(second)
        await stand.report(order, "completed", at=1.0)
        is_rung = await bell.wait(0)
    await stand.advance()

    assert is_rung
    after = await stand.show(second)
    assert [one["taskforces"][0]["phase"] for one in (before, after)] == ["pre-mq-activation", "pending-starter"]


async def test_a_pass_over_those_without_room_writes_nothing_once_they_are_told(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite it would keep all others from writing, again and again."""
    stand = limited(stand, workers_max=2)
    await submit(stand)
    waiting = [await submit(stand, by=by) for by in (USER, STRANGER, OPERATOR)]
    await stand.advance()
    assert [len((await show(stand, one))[1]) for one in waiting] == [1, 1, 1]

    monkeypatch.setattr(stand.parts.store, "write", None)

    assert await activate_workflows(stand.parts) == Passed(0, 0, is_cut=False)


async def test_workers_for_what_is_in_wait_for_nobody_for_whom_room_is_kept(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other waits for the queues of the first, which cannot end without workers."""
    monkeypatch.setattr(room, "OVERTAKEN_S", -1e9)  # whoever is in came later
    stand = limited(stand, queues_max=3, workers_max=4)
    first = await stand.submit()
    order = await stand.start(first, cluster_id=7)
    await stand.publish(first, 1)
    other = await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "n_workers": 4}]}, by=STRANGER)
    await stand.advance()
    await stand.report(order, "completed", at=1.0)
    path = f"/muster/v1/tasks/{first['tasks'][0]['task_id']}/actions/add-workers"
    more = await stand.post(path, {"location": "local", "n_workers": 1})

    await stand.advance()

    assert await phases(stand, more, *(await stand.show(other))["taskforces"]) == [
        "pending-starter",
        "pre-mq-activation",
    ]


async def test_events_that_wait_with_their_workflow_keep_it_not_out(stand: Stand) -> None:
    stand = limited(stand, events_max=3, workers_max=9)
    full, other = await stand.submit(), await stand.submit(by=STRANGER)
    await stand.publish(full, *range(50))
    await stand.advance()
    await stand.advance()

    shown = [(await stand.show(one))["taskforces"][0]["phase"] for one in (full, other)]
    assert shown == ["pending-starter", "pre-mq-activation"]


async def test_a_new_workflow_without_queues_is_new(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has nothing for which anybody waits."""
    stand = await fill(stand, monkeypatch)
    big = await submit(stand, n_workers=4, priority=90)
    bare = {"tasks": [{**EWMS_TASK, "n_workers": 1, "input_queue_aliases": [], "output_queue_aliases": []}]}
    answer = await stand.post("/v1/workflows", {**EWMS_NEW, "public_queue_aliases": [], **bare}, by=STRANGER)

    await stand.advance()

    assert await phases(stand, big, answer["taskforces"][0]) == ["pre-mq-activation", "pre-mq-activation"]


async def test_workers_that_wait_together_are_refused_together(database_url: str) -> None:
    async with open_stand(database_url, workers_max=5) as stand:
        await submit(stand, n_workers=5)
        await stand.advance()
        waiting = await submit(stand, n_workers=2)
        path = f"/v1/task-directives/{waiting['task_id']}/actions/add-workers"
        more = [await stand.ask("POST", path, {"cluster_location": "test-alpha", "n_workers": n}) for n in (3, 1)]

    assert [one.status_code for one in more] == [200, 400]
    assert "6 workers are more than the 5 that there may be at once" in more[1].text


async def test_a_repeat_is_answered_as_before_whatever_the_limits_are_now(database_url: str) -> None:
    headers, more = {"Idempotency-Key": "k1"}, {"location": "local", "n_workers": 2}
    async with open_stand(database_url) as wide:
        first = await wide.post("/muster/v1/workflows", NEW, headers=headers)
        path = f"/muster/v1/tasks/{first['tasks'][0]['task_id']}/actions/add-workers"
        added = await wide.post(path, more, headers=headers)

    async with open_stand(database_url, workers_max=1) as narrow:
        assert await narrow.post("/muster/v1/workflows", NEW, headers=headers) == first
        assert await narrow.post(path, more, headers=headers) == added
        assert (await narrow.ask("POST", "/muster/v1/workflows", NEW)).status_code == 422


async def test_who_stands_behind_many_that_find_no_room_is_seen(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two owners stand at limits of their own, and have waited longer."""
    monkeypatch.setattr(line, "LINE_MAX", 4)
    monkeypatch.setattr(line, "OF_EACH_MAX", 2)
    stand = limited(stand, workers_max_per_owner=2)
    for by in (STRANGER, OPERATOR):
        for _ in range(4):
            await submit(stand, by=by, priority=90)
    last = await submit(stand, priority=1)

    for _ in range(3):
        await stand.advance()

    assert await phases(stand, last) == ["pending-starter"]


async def test_a_pass_judges_also_those_that_were_told_before(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand before those that were not, and have room kept."""
    stand = await fill(stand, monkeypatch)
    big = await submit(stand, n_workers=4, priority=90)
    await stand.advance()
    little = await submit(stand, by=STRANGER, n_workers=1)

    await stand.advance()

    assert await phases(stand, big, little) == ["pre-mq-activation", "pre-mq-activation"]


async def test_what_could_never_have_room_beside_others_is_refused(database_url: str) -> None:
    """It would wait until nobody else has anything, and then have all."""
    async with open_stand(database_url, workers_max_per_owner=10, queues_max=2) as stand:
        crowd = {**NEW, "tasks": [{**NEW["tasks"][0], "n_workers": 6, "cluster_locations": ["local", "far"]}]}
        spread = await stand.ask("POST", "/muster/v1/workflows", crowd)
        crowd["tasks"][0] |= {"n_workers": 11, "cluster_locations": ["local"]}
        ours = await stand.ask("POST", "/muster/v1/workflows", crowd)
        theirs = await stand.ask("POST", "/v1/workflows", {**EWMS_NEW, "tasks": [{**EWMS_TASK, "n_workers": 11}]})
        wide = {**NEW, "public_queue_aliases": ["in", "out", "more"], "tasks": [{**NEW["tasks"][0]}]}
        wide["tasks"][0]["output_queue_aliases"] = ["out", "more"]
        queues = await stand.ask("POST", "/muster/v1/workflows", wide)
        workflow = await stand.submit()
        path = f"/muster/v1/tasks/{workflow['tasks'][0]['task_id']}/actions/add-workers"
        more = await stand.ask("POST", path, {"location": "local", "n_workers": 9})  # beside two that wait

    reason = (
        "11 workers are more than the 10 that one owner may have at once (MUSTER_WORKERS_MAX_PER_OWNER): ask for fewer, or an "
        "operator for a higher limit"
    )
    for answer, status in ((ours, 422), (theirs, 400), (more, 422)):
        assert (answer.status_code, reason in answer.text) == (status, True), answer.text
    assert (spread.status_code, "12 workers are more than the 10" in spread.text) == (422, True), spread.text
    of_all = "3 queues are more than the 2 that there may be at once (MUSTER_QUEUES_MAX): ask for fewer"
    assert (queues.status_code, of_all in queues.text) == (422, True)


async def test_a_pass_without_anybody_waiting_does_nothing(stand: Stand) -> None:
    assert (await activate_workflows(stand.parts), await launch_taskforces(stand.parts)) == (
        Passed(0, 0, is_cut=False),
        Passed(0, 0, is_cut=False),
    )


@pytest.mark.server
async def test_a_workflow_that_somebody_has_in_hand_is_looked_at_again_soon(postgres_url: str) -> None:
    async with open_stand(postgres_url) as stand:
        made = await submit(stand)
        other = await asyncpg.connect(postgres_url)
        for step, phase in ((activate_those_new, "pre-launch"), (launch_those_activated, "pending-starter")):
            async with other.transaction():
                await other.execute("SELECT 1 FROM workflow FOR UPDATE")
                meanwhile = await step(stand.parts)

            assert (meanwhile, await step(stand.parts)) == (AGAIN_S, None)
            assert await phases(stand, made) == [phase]
        await other.close()


@pytest.mark.server
@pytest.mark.parametrize("limits", [{}, {"workers_max": 99}])
async def test_two_services_take_on_their_shares_and_what_the_other_one_is_late_with(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, limits: Json
) -> None:
    monkeypatch.setattr(line, "OTHERS_FIRST_S", 1e9)
    async with open_stand(postgres_url, **limits) as one, open_stand(postgres_url, **limits) as other:
        made = [await submit(one) for _ in range(12)]
        for step, again, phase in (
            (activate_workflows, activate_those_new, "pre-launch"),
            (launch_taskforces, launch_those_activated, "pending-starter"),
        ):
            own, left_s = await step(one.parts), await again(one.parts)
            others = await step(other.parts)

            assert 0 < own.moved < 12
            assert own.moved + others.moved == 12
            assert left_s is not None
            assert left_s == pytest.approx(1e9, abs=600)
            assert await phases(one, *made) == [phase] * 12

        more = [await submit(one) for _ in range(12)]
        if limits:
            monkeypatch.setattr(line, "OTHERS_FIRST_S", 0.0)
        else:  # as if the clock had been set back
            monkeypatch.setattr(line, "OTHERS_FIRST_S", 60.0)
            raw = await asyncpg.connect(postgres_url)
            await raw.execute("UPDATE taskforce SET created_at = created_at + 3600")
            await raw.close()
        assert await activate_workflows(other.parts) == Passed(12, 0, is_cut=False)
        assert await launch_taskforces(other.parts) == Passed(12, 0, is_cut=False)
        assert await phases(one, *more) == ["pending-starter"] * 12


@pytest.mark.server
async def test_one_service_at_a_time_counts_and_lets_in(postgres_url: str) -> None:
    """Two that count at once would let in one too many."""
    async with open_stand(postgres_url, workers_max=99) as stand:
        made = await submit(stand)
        other = await asyncpg.connect(postgres_url)
        async with anyio.create_task_group() as group, other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock(hashtextextended('admission', 0))")
            group.start_soon(activate_workflows, stand.parts)
            await until(lambda: someone_waits(other))
            meanwhile = await phases(stand, made)
        await other.close()

        assert (meanwhile, await phases(stand, made)) == (["pre-mq-activation"], ["pre-launch"])
