"""Does what need not be kept go, and nothing else? And does the account still add up afterwards?"""

import base64
import contextlib
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, Delete, Update, delete, insert, select, text, update

from muster.domain.asking import Ask
from muster.domain.ids import EPOCH_MS, first_id_at
from muster.domain.location import Agent
from muster.domain.retention import Kept
from muster.server.adapters.sql.partitions import SPAN_MS, make_coming_partitions
from muster.server.adapters.sql.retention_schema import removed_queue
from muster.server.adapters.sql.schema import (
    asking,
    delayed,
    event,
    finished,
    holder,
    metadata,
    phase_log,
    ready,
    taskforce,
)
from muster.server.adapters.sql.schema import workflow as workflow_rows
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.daemons.purge import purge_all
from muster.server.ports.queue_engine import BodyKind
from muster.server.ports.retention import START, Manner, Swept, Walk
from muster.server.ports.store import Transaction
from muster.server.services.purge import Place, Stage, parse_place, purge, render_place
from muster.worker import protocol
from server.stand import KEY, NEW, NEW_TASK, OPERATOR, STRANGER, USER, WMS, Json, Stand, ok, open_stand

pytestmark = pytest.mark.anyio

PURGE = "/muster/v1/admin/purge"
PRINTED: Json = {"data": base64.b64encode(zlib.compress(b"it failed")).decode(), "size_bytes": 9}
WITHOUT_OUTPUT: Json = {**NEW_TASK, "output_queue_aliases": []}
NEVER_DONE: Json = {**NEW, "tasks": [{**NEW_TASK, "attempts": 1}]}


@contextlib.asynccontextmanager
async def keeping(database_url: str, **kept_s: Any) -> AsyncIterator[Stand]:
    """A service with rules; what is not named is kept for ever (notices too)."""
    async with open_stand(database_url, **{"notices_kept_s": 1e9, "results_kept_s": 0, **kept_s}) as stand:
        yield stand


async def go_round(stand: Stand, *, dry_run: bool = False) -> Json:
    """A whole round, as an operator has it made."""
    done = await stand.post(PURGE, {"dry_run": dry_run}, by=OPERATOR)
    while done["place"] is not None:
        more = await stand.post(PURGE, {"dry_run": dry_run, "place": done["place"]}, by=OPERATOR)
        removed = {kept: count + done["removed"][kept] for kept, count in more["removed"].items()}
        done = {**more, "removed": removed, "kept_back": [*done["kept_back"], *more["kept_back"]]}
    return done


async def removed_by(stand: Stand, *, dry_run: bool = False) -> Json:
    """What a round removes, without what it does not."""
    return {kept: count for kept, count in (await go_round(stand, dry_run=dry_run))["removed"].items() if count}


async def work(stand: Stand, workflow: Json, *bodies: Json, fail: Json = (), cluster_id: int = 7) -> Json:
    """Publish these, and have one worker do them, all but those of `fail`; it leaves. Returns the order."""
    order = await stand.start(workflow, cluster_id=cluster_id)
    await stand.publish(workflow, *bodies, close=True)
    worker = await stand.enrol(order["taskforce_uuid"])
    leased = (await stand.step(worker, 1, want=100))["events"]
    finished = [
        {
            "event": one["event"],
            "fence": one["fence"],
            "outcome": "failed",
            "error": {"text": "no", "fingerprint": "no"},
            "wall_s": 1.0,
            "usage": {"cpu_s": 0.75, "memory_bytes": 4096, "bytes_in": 1},
            "output": {"stdout": PRINTED, "stderr": None},
        }
        if json.loads(one["body"]) in fail
        else {
            "event": one["event"],
            "fence": one["fence"],
            "outcome": "done",
            "results": [{"kind": "json", "body": json.loads(one["body"])}],
            "wall_s": 2.5,
            "usage": {"cpu_s": 2.25, "memory_bytes": 8192, "bytes_in": 1},
        }
        for one in leased
    ]
    await stand.step(worker, 2, finished=finished)
    await stand.post(protocol.LEAVE, {"reason": "done"}, by=worker["token"])
    return order


async def finish(stand: Stand, workflow: Json, order: Json) -> None:
    await stand.end(workflow, "finish")
    await stand.advance()
    await stand.report(order, "completed", at=1.0)


async def consume(stand: Stand, workflow: Json) -> int:
    """Take every result; returns how many."""
    consumer = await stand.post(f"/muster/v1/workflows/{workflow['workflow_id']}/queues/out/consumers", {})
    path = f"/muster/v1/consumers/{consumer['consumer']}"
    events = (await stand.post(f"{path}/step", {"call": 1, "want": 100, "wait_s": 0}))["events"]
    acked = [[one["event"], one["fence"]] for one in events]
    await stand.post(f"{path}/step", {"call": 2, "ack": acked, "want": 0, "wait_s": 0})
    ok(await stand.ask("POST", f"{path}/actions/close"))
    return len(events)


async def account(stand: Stand, workflow: Json) -> Json:
    return await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/account?recount=true")


def connection_of(tx: Transaction) -> Connection:
    assert isinstance(tx, SqlTransaction)
    return tx._session.connection


async def count_rows(stand: Stand) -> dict[str, int]:
    """Rows of every table of work; what a service is known by is left out."""

    def count(tx: Transaction) -> dict[str, int]:
        connection = connection_of(tx)
        return {
            table.name: len(connection.execute(select(*table.primary_key)).all())
            for table in metadata.sorted_tables
            if table.name not in {"replica", "secret", "jwk", "asking", "answer", "purge_round", "purge_walk"}
        }

    return await stand.parts.store.read(count)


async def test_a_workflow_whose_time_is_over_goes_with_all_its_parts_and_the_others_stay(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        kept = await stand.submit()
        await work(stand, kept, "a", "b")
        before = await count_rows(stand)
        gone = await stand.submit({**NEVER_DONE, "name": "gone"})
        order = await work(stand, gone, 1, 2, 3, fail=[2], cluster_id=8)
        await finish(stand, gone, order)
        assert await consume(stand, gone) == 2
        event = (await stand.get(f"/muster/v1/workflows/{gone['workflow_id']}/events"))["events"][0]["event"]

        assert await removed_by(stand) == {"workflows": 1, "events": 5}

        after = await count_rows(stand)
        left_for_its_number = after.pop("removed_queue"), before.pop("removed_queue")
        assert left_for_its_number in {(0, 0), (1, 0)}
        assert after.pop("outbox") - before.pop("outbox") in {0, 1}  # the newest of all stays
        assert {**after, "delta": 0} == {**before, "delta": 0}
        for path in (f"workflows/{gone['workflow_id']}", f"events/{event}", f"taskforces/{order['taskforce_uuid']}"):
            assert (await stand.ask("GET", f"/muster/v1/{path}")).status_code == 404
        whole = await account(stand, kept)
        assert whole["adds_up"]
        assert whole["done"] == 2
        assert await removed_by(stand) == {}


async def test_numbers_of_queues_that_went_are_not_given_again(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        first = await stand.submit()
        numbers = await stand.parts.store.read(
            lambda tx: {one.number for one in tx.queues.list_of_workflow(first["workflow_id"])}
        )
        await stand.end(first, "abort")
        await removed_by(stand)
        await removed_by(stand)

        second = await stand.submit()

        assert not numbers & await stand.parts.store.read(
            lambda tx: {one.number for one in tx.queues.list_of_workflow(second["workflow_id"])}
        )


async def test_results_that_nobody_consumed_keep_their_workflow_for_the_time_of_grace(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0, results_kept_s=3600) as stand:
        workflow = await stand.submit()
        await finish(stand, workflow, await work(stand, workflow, 1, 2))

        done = await go_round(stand)
        assert done["removed"]["workflows"] == 0
        [kept] = done["kept_back"]
        assert kept["workflow_id"] == workflow["workflow_id"]
        assert kept["reason"] == "2 results were not consumed: they are kept for 3600 s longer"

        assert await consume(stand, workflow) == 2
        assert (await removed_by(stand))["workflows"] == 1


async def test_results_that_wait_for_a_further_try_are_not_consumed_either(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0, results_kept_s=3600) as stand:
        workflow = await stand.submit()
        await finish(stand, workflow, await work(stand, workflow, 1, 2))

        def delay(tx: Transaction) -> None:
            connection = connection_of(tx)
            rows = [{**row._mapping, "due": tx.now() + 600} for row in connection.execute(select(ready))]
            connection.execute(insert(delayed), rows[:1])
            connection.execute(delete(ready).where(ready.c.event == rows[0]["event"]))

        await stand.parts.store.write(delay)
        [kept] = (await go_round(stand))["kept_back"]
        assert kept["reason"] == "2 results were not consumed: they are kept for 3600 s longer"

        await age(stand, delete(ready))
        [kept] = (await go_round(stand))["kept_back"]
        assert kept["reason"] == "1 results were not consumed: they are kept for 3600 s longer"


async def test_what_services_with_other_clocks_made_of_a_removed_workflow_goes_too(database_url: str) -> None:
    """Numbers of events are made of times: theirs are from before the workflow was made, and from after it was removed."""
    minutes_50 = 50 * 60.0
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()

        def publish_elsewhere(tx: Transaction) -> None:
            number = tx.queues.list_of_workflow(workflow["workflow_id"])[0].number
            events = [first_id_at(tx.now() + minutes) for minutes in (-minutes_50, minutes_50)]
            rows = [{"id": one, "queue": number, "kind": 0, "body": b"1"} for one in events]
            connection_of(tx).execute(insert(event), rows)
            session = {"owner": "ada", "taskforce_uuid": None, "consumer_queue": number, "cluster": "", "proc": 0}
            more = {"start": 0, "at_once": 1, "host": "", "site": "", "begun_at": 0.0, "until": 0.0, "call": 0}
            holders = [{"number": one, **session, **more, "ended": "left"} for one in events]
            connection_of(tx).execute(insert(holder), holders)

        await stand.parts.store.write(publish_elsewhere)
        await stand.end(workflow, "abort")

        assert (await removed_by(stand))["workflows"] == 1

        rows = await count_rows(stand)
        assert (rows["event"], rows["holder"]) == (0, 0)


@pytest.mark.parametrize("is_made_before", [True, False], ids=["that was made since", "that ran already"])
async def test_all_of_a_removed_workflow_goes_where_a_clock_was_ahead_and_was_set_right(
    database_url: str,
    is_made_before: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Numbers never go back: those of this service are ahead of the clock from then on, those of another one are not."""
    ahead_s = 3 * 3600.0
    async with keeping(database_url, workflows_kept_s=0) as stand:

        def set_ahead(tx: Transaction) -> None:
            assert isinstance(tx, SqlTransaction)
            tx._session.ids.take(1, now_s=tx.now() + ahead_s)

        def publish_elsewhere(tx: Transaction) -> None:
            number = tx.queues.list_of_workflow(workflow["workflow_id"])[0].number
            row = {"id": first_id_at(tx.now()), "queue": number, "kind": 0, "body": b"1"}
            connection_of(tx).execute(insert(event), row)

        if not is_made_before:
            workflow = await stand.submit()
        await stand.parts.store.write(set_ahead)
        if is_made_before:
            workflow = await stand.submit()
        order = await work(stand, workflow, 1, 2, 3)
        await stand.parts.store.write(publish_elsewhere)
        await finish(stand, workflow, order)
        assert await consume(stand, workflow) == 3

        assert (await removed_by(stand))["workflows"] == 1

        rows = await count_rows(stand)
        assert (rows["event"], rows["finished"], rows["holder"]) == (0, 0, 0)


async def test_all_of_a_removed_workflow_goes_where_the_clock_of_another_service_was_ahead(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()

        def publish_elsewhere(tx: Transaction) -> None:
            number = tx.queues.list_of_workflow(workflow["workflow_id"])[0].number
            row = {"id": first_id_at(tx.now() + 3 * 3600.0), "queue": number, "kind": 0, "body": b"1"}
            connection_of(tx).execute(insert(event), row)

        await stand.parts.store.write(publish_elsewhere)
        await stand.end(workflow, "abort")

        assert (await removed_by(stand))["workflows"] == 1

        assert (await count_rows(stand))["event"] == 0


async def test_all_of_a_removed_workflow_goes_where_the_clock_has_caught_up_with_its_numbers(database_url: str) -> None:
    """By the clock it was made and ended a day before what its numbers say."""
    day_s = 86_400.0
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        order = await work(stand, workflow, 1)
        await finish(stand, workflow, order)
        assert await consume(stand, workflow) == 1

        def make_times_earlier(tx: Transaction) -> None:
            for column in (workflow_rows.c.created_at, workflow_rows.c.ended_at, phase_log.c.at):
                connection_of(tx).execute(update(column.table).values({column.name: column - day_s}))

        await stand.parts.store.write(make_times_earlier)

        assert (await removed_by(stand))["workflows"] == 1

        rows = await count_rows(stand)
        assert (rows["event"], rows["finished"], rows["holder"]) == (0, 0, 0)


async def test_what_workers_handed_in_long_after_the_end_goes_too(database_url: str) -> None:
    """It was made two days ago and ended a day ago; its last workers went now."""
    day_s = 86_400.0
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        order = await work(stand, workflow, 1)
        await finish(stand, workflow, order)
        assert await consume(stand, workflow) == 1

        def end_earlier(tx: Transaction) -> None:
            make_older(connection_of(tx), by_s=2 * day_s)
            connection_of(tx).execute(update(workflow_rows).values(ended_at=tx.now() - day_s))

        await stand.parts.store.write(end_earlier)

        assert (await removed_by(stand))["workflows"] == 1

        rows = await count_rows(stand)
        assert (rows["event"], rows["finished"], rows["holder"]) == (0, 0, 0)


def make_older(connection: Connection, *, by_s: float) -> None:
    """Have all workflows and taskforces been made earlier."""
    numbers = first_id_at(EPOCH_MS / 1000 + by_s)
    for table in (workflow_rows, taskforce):
        made = {"number": table.c.number - numbers, "created_at": table.c.created_at - by_s}
        connection.execute(update(table).values(made))


@pytest.mark.parametrize("is_complete", [True, False], ids=["whose workers are gone", "whose site was taken away"])
async def test_events_of_a_removed_workflow_are_looked_for_up_to_its_end(
    database_url: str,
    is_complete: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """It ended a year ago; somebody has consumed its results since."""
    day_s, year_s = 86_400.0, 365 * 86_400.0
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        order = await work(stand, workflow, 1)
        if is_complete:
            await finish(stand, workflow, order)
        else:
            await stand.end(workflow, "finish")
        assert await consume(stand, workflow) == 1

        def remove(tx: Transaction) -> tuple[float, int]:
            connection = connection_of(tx)
            for table, column in ((workflow_rows, "ended_at"), (phase_log, "at")):
                connection.execute(update(table).values({column: table.c[column] - year_s}))
            make_older(connection, by_s=year_s)
            tx.retention.remove_workflow(workflow["workflow_id"])
            return tx.now(), connection.scalars(select(removed_queue.c.last).distinct()).one()

        now, last = await stand.parts.store.write(remove)

        end = now - year_s if is_complete else now
        assert first_id_at(end) < last < first_id_at(end + day_s)
        await removed_by(stand)
        assert (await count_rows(stand))["holder"] == 0


@pytest.mark.parametrize(
    ("task", "events"), [(NEW_TASK, 4), (WITHOUT_OUTPUT, 2)], ids=["in a queue that is not public", "in no queue"]
)
async def test_results_that_nobody_can_consume_are_not_waited_for(database_url: str, task: Json, events: int) -> None:
    new: Json = {**NEW, "public_queue_aliases": ["in"], "tasks": [task]}
    async with keeping(database_url, workflows_kept_s=0, results_kept_s=3600) as stand:
        workflow = await stand.submit(new)
        await finish(stand, workflow, await work(stand, workflow, 1, 2))

        assert await removed_by(stand) == {"workflows": 1, "events": events}


async def test_the_result_of_a_task_without_an_output_queue_stays_with_its_event_as_long_as_its_body(
    database_url: str,
) -> None:
    async with keeping(database_url, bodies_kept_s=0) as stand:
        workflow = await stand.submit({**NEW, "public_queue_aliases": ["in"], "tasks": [WITHOUT_OUTPUT]})
        await work(stand, workflow, {"x": 1})
        [done] = (await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/events"))["events"]
        path = f"/muster/v1/events/{done['event']}"
        assert (await stand.get(path))["result"] == {"kind": "json", "body": {"x": 1}}

        assert await removed_by(stand) == {"bodies": 1}

        seen = await stand.get(path)
        assert (seen["result"], seen["results"], seen["state"]) == (None, [], "done")


async def test_when_the_time_of_grace_is_over_they_go_too(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        await finish(stand, workflow, await work(stand, workflow, 1, 2))

        assert await removed_by(stand) == {"workflows": 1, "events": 4}


async def test_a_workflow_is_kept_while_its_workers_may_be_there(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        order = await work(stand, workflow, 1)
        await stand.end(workflow, "abort")

        [kept] = (await go_round(stand))["kept_back"]
        assert kept["reason"] == "its workers are not known to be gone: its site has not said so"

        await stand.advance()
        await stand.report(order, "completed", at=1.0)
        assert (await removed_by(stand))["workflows"] == 1


async def age(stand: Stand, *statements: Update | Delete) -> None:
    """Let the past be longer ago."""

    def change(tx: Transaction) -> None:
        for one in statements:
            assert connection_of(tx).execute(one).rowcount == 1

    await stand.parts.store.write(change)


async def test_a_site_of_which_nothing_is_heard_any_more_keeps_no_workflow(database_url: str) -> None:
    """It was taken out of service, with the record of its workers."""
    days_31 = 31 * 86_400
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        await work(stand, workflow, 1)
        await stand.end(workflow, "abort")
        await age(stand, update(asking).values(at=asking.c.at - days_31 + 2 * 86_400))
        assert await removed_by(stand) == {}

        def note_upstream(tx: Transaction) -> None:
            schedd = connection_of(tx).scalar(select(taskforce.c.schedd))
            tx.askings.note([Ask(Agent.UPSTREAM, str(schedd), "", tx.now())])

        await age(stand, update(asking).values(at=asking.c.at - 2 * 86_400))
        await stand.parts.store.write(note_upstream)
        assert await removed_by(stand) == {}, "upstream's agent serves it now"

        await age(stand, update(asking).where(asking.c.kind == Agent.UPSTREAM).values(at=asking.c.at - days_31))
        assert (await removed_by(stand))["workflows"] == 1


async def test_a_workflow_is_kept_while_its_site_may_still_say_that_it_started_workers(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        confirmed, unconfirmed = await stand.submit(), await stand.submit()
        await stand.advance()
        orders = {one["workflow_id"]: one for one in (await stand.claim())["start"]}
        for one in (confirmed, unconfirmed):
            await stand.end(one, "abort")

        kept_back = (await go_round(stand))["kept_back"]
        reason = "workers were ordered, and its site has not said whether it started them: a day is waited for that"
        assert [one["reason"] for one in kept_back] == [reason] * 2

        order = orders[confirmed["workflow_id"]]
        await stand.report(order, "submitted", cluster_id=7, n_workers=2)
        for one in (confirmed, unconfirmed):
            of_this = update(workflow_rows).where(workflow_rows.c.workflow_id == one["workflow_id"])
            await age(stand, of_this.values(ended_at=workflow_rows.c.ended_at - 86_400))
        assert await removed_by(stand) == {"workflows": 1}
        [kept] = (await go_round(stand))["kept_back"]
        assert kept["workflow_id"] == confirmed["workflow_id"]
        assert kept["reason"] == "its workers are not known to be gone: its site has not said so"


async def test_a_workflow_whose_workers_were_never_ordered_need_not_wait_for_a_site(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        await stand.end(await stand.submit(), "abort")
        assert await removed_by(stand) == {"workflows": 1}


async def test_a_workflow_is_kept_while_somebody_consumes_its_results(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0) as stand:
        workflow = await stand.submit()
        await finish(stand, workflow, await work(stand, workflow, 1))
        consumer = await stand.post(f"/muster/v1/workflows/{workflow['workflow_id']}/queues/out/consumers", {})

        [kept] = (await go_round(stand))["kept_back"]
        assert kept["reason"] == "somebody has its events in hand"

        ok(await stand.ask("POST", f"/muster/v1/consumers/{consumer['consumer']}/actions/close"))
        assert (await removed_by(stand))["workflows"] == 1


async def test_an_active_workflow_and_one_that_has_just_ended_are_kept(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=3600) as stand:
        await stand.submit()
        await stand.end(await stand.submit(), "abort")

        assert await removed_by(stand) == {}


async def test_events_that_are_done_go_and_still_count(database_url: str) -> None:
    async with keeping(database_url, events_kept_s=0) as stand:
        workflow = await stand.submit(NEVER_DONE)
        path = f"/muster/v1/workflows/{workflow['workflow_id']}"
        first = await stand.post(f"{path}/queues/in/events", {"events": [{"body": 1, "key": "k"}]})
        await work(stand, workflow, 2, 3, fail=[3])
        before = await account(stand, workflow)

        assert await removed_by(stand) == {"events": 2}

        after = await account(stand, workflow)
        assert after == before
        assert after["adds_up"]
        assert (after["published"], after["done"], after["dead"]) == (3, 2, 1)
        [usage] = [one["recount"]["usage"] for one in after["queues"] if one["alias"] == "in"]
        assert usage["agrees"]
        assert usage["counted"] == usage["kept"]
        assert usage["kept"] == {
            "wall_s": 6.0,
            "lost_s": 1.0,
            "measured_s": 6.0,
            "cpu_s": 5.25,
            "bytes_in": 3,
            "bytes_out": 2,
        }
        assert (await stand.ask("GET", f"/muster/v1/events/{first['events'][0]}")).status_code == 404
        assert len((await stand.get(f"{path}/events?queue=in"))["events"]) == 1
        assert await consume(stand, workflow) == 2
        assert await removed_by(stand) == {"events": 2}
        assert (await account(stand, workflow))["adds_up"]


async def test_the_key_of_an_event_that_went_is_known(database_url: str) -> None:
    async with keeping(database_url, events_kept_s=0) as stand:
        workflow = await stand.submit()
        path = f"/muster/v1/workflows/{workflow['workflow_id']}/queues/in/events"
        first = await stand.post(path, {"events": [{"body": 1, "key": "k"}]})
        order = await stand.start(workflow)
        worker = await stand.enrol(order["taskforce_uuid"])
        [leased] = (await stand.step(worker, 1, want=1))["events"]
        finished = {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "results": []}
        await stand.step(worker, 2, finished=[finished])
        assert await removed_by(stand) == {"events": 1}

        again = await stand.post(path, {"events": [{"body": 1, "key": "k"}]})
        late = await stand.step(worker, 3, finished=[finished])

        assert again["events"] == first["events"]
        assert (again["duplicates"], again["differing"]) == (1, [])
        assert late["verdicts"] == ["unknown"]
        assert (await account(stand, workflow))["done"] == 1


async def test_bodies_go_and_the_rest_of_their_events_stays(database_url: str) -> None:
    async with keeping(database_url, bodies_kept_s=0) as stand:
        workflow = await stand.submit()
        path = f"/muster/v1/workflows/{workflow['workflow_id']}"
        first = await stand.post(f"{path}/queues/in/events", {"events": [{"body": {"x": 1}, "key": "k"}]})
        await work(stand, workflow)
        [event] = first["events"]

        assert await removed_by(stand) == {"bodies": 1}
        assert await removed_by(stand) == {}

        seen = await stand.get(f"/muster/v1/events/{event}")
        assert (seen["kind"], seen["body"], seen["state"], seen["key"]) == ("purged", None, "done", "k")
        assert len(seen["history"]) == 1
        assert (await stand.get(f"/muster/v1/events/{seen['results'][0]}"))["body"] == {"x": 1}
        listed = (await stand.get(f"{path}/events?bodies=true&queue=in"))["events"]
        assert [(one["kind"], one["body"]) for one in listed] == [("purged", None)]
        assert (await account(stand, workflow))["adds_up"]


async def test_failed_attempts_and_dead_letters_go_and_still_count(database_url: str) -> None:
    async with keeping(database_url, attempts_kept_s=0, dead_letters_kept_s=0) as stand:
        new: Json = {**NEW, "tasks": [{**NEW_TASK, "attempts": 2, "retry_s": 0}]}
        workflow = await stand.submit(new)
        order = await stand.start(workflow)
        await stand.publish(workflow, "once", "always")
        worker = await stand.enrol(order["taskforce_uuid"])
        error = {"text": "no", "fingerprint": "no"}
        for call in (1, 3):
            leased = (await stand.step(worker, call, want=9))["events"]
            finished = [
                {"event": one["event"], "fence": one["fence"], "outcome": "done", "results": []}
                if one["body"] == '"once"' and one["attempt"] == 2
                else {"event": one["event"], "fence": one["fence"], "outcome": "failed", "error": error, "wall_s": 0.5}
                for one in leased
            ]
            await stand.step(worker, call + 1, finished=finished)
        before = await account(stand, workflow)
        assert before["queues"][0]["recount"]["usage"]["agrees"]

        assert await removed_by(stand) == {"attempts": 1, "dead_letters": 1}

        after = await account(stand, workflow)
        assert after == before
        assert after["adds_up"]
        path = f"/muster/v1/workflows/{workflow['workflow_id']}"
        assert (await stand.get(f"{path}/dead-letters"))["dead_letters"] == []
        assert (await stand.post(f"{path}/dead-letters/actions/replay"))["replayed"] == []
        assert (await stand.get(f"{path}/errors"))["groups"] == []


async def test_second_results_of_attempts_that_went_still_count(database_url: str) -> None:
    async with keeping(database_url, attempts_kept_s=0) as stand:
        workflow = await stand.submit()
        order = await stand.start(workflow)
        await stand.publish(workflow, 1)
        first = await stand.enrol(order["taskforce_uuid"])
        [early] = (await stand.step(first, 1, want=1))["events"]
        await stand.post(protocol.LEAVE, {"reason": "evicted"}, by=first["token"])
        second = await stand.enrol(order["taskforce_uuid"], proc=1)
        [again] = (await stand.step(second, 1, want=1))["events"]
        done = {"outcome": "done", "results": []}
        results = [{"event": one["event"], "fence": one["fence"], **done} for one in (again, early)]
        assert (await stand.step(second, 2, finished=results))["verdicts"] == ["done", "duplicate"]
        before = await account(stand, workflow)
        assert before["duplicates"] == 1

        assert await removed_by(stand) == {"attempts": 1}

        assert await account(stand, workflow) == before
        assert before["adds_up"]


async def test_a_dry_run_says_what_would_go_and_changes_nothing(database_url: str) -> None:
    async with keeping(
        database_url, workflows_kept_s=0, events_kept_s=0, bodies_kept_s=0, dead_letters_kept_s=0, attempts_kept_s=0
    ) as stand:
        for cluster_id in (1, 2):
            gone = await stand.submit(NEVER_DONE)
            await finish(stand, gone, await work(stand, gone, 1, 2, 3, fail=[2], cluster_id=cluster_id))
        active = await stand.submit(NEVER_DONE)
        await work(stand, active, 1, 2, fail=[1], cluster_id=3)
        before = await count_rows(stand)

        expected = await removed_by(stand, dry_run=True)

        assert await count_rows(stand) == before
        assert expected == {"workflows": 2, "events": 11, "dead_letters": 1}
        assert await removed_by(stand) == expected
        assert await removed_by(stand, dry_run=True) == {}


async def test_old_notices_and_answers_go(database_url: str) -> None:
    async with keeping(database_url, notices_kept_s=60, answer_kept_s=60) as stand:
        await stand.post("/muster/v1/workflows", NEW, headers={"idempotency-key": "k"})
        notices = (await count_rows(stand))["outbox"]

        def age(tx: Transaction) -> None:
            for table in ("outbox", "answer"):
                connection_of(tx).execute(text(f"UPDATE {table} SET at = at - 61"))

        assert notices > 0
        assert await removed_by(stand) == {}
        await stand.parts.store.write(age)
        assert await removed_by(stand, dry_run=True) == {"notices": notices - 1, "answers": 1}
        assert await removed_by(stand) == {"notices": notices - 1, "answers": 1}
        assert (await count_rows(stand))["outbox"] == 1


async def test_a_place_in_a_stream_never_comes_again_although_its_notice_went(database_url: str) -> None:
    async with keeping(database_url, notices_kept_s=60, workflows_kept_s=0) as stand:

        def look_then_age(tx: Transaction) -> int:
            connection = connection_of(tx)
            connection.execute(text("UPDATE outbox SET at = at - 61"))
            return int(connection.scalar(text("SELECT max(number) FROM outbox")) or 0)

        for _ in range(3):
            workflow = await stand.submit()
            await stand.end(workflow, "abort")
            newest = await stand.parts.store.write(look_then_age)
            await removed_by(stand)
            await removed_by(stand)
            await stand.submit()
            oldest_new = await stand.parts.store.read(
                lambda tx: connection_of(tx).scalar(text("SELECT min(number) FROM outbox WHERE at > 0 ORDER BY 1"))
            )
            assert await stand.parts.store.write(look_then_age) > newest
            assert oldest_new >= newest


async def test_what_belongs_to_a_workflow_that_is_kept_back_stays_as_the_dry_run_says(database_url: str) -> None:
    rules = {"events_kept_s": 0, "bodies_kept_s": 0, "dead_letters_kept_s": 0, "attempts_kept_s": 0}
    async with keeping(database_url, workflows_kept_s=0, **{**rules, "results_kept_s": 3600}) as stand:
        workflow = await stand.submit(NEVER_DONE)
        await finish(stand, workflow, await work(stand, workflow, 1, 2, fail=[2]))
        before = await count_rows(stand)

        assert await removed_by(stand, dry_run=True) == {}
        assert await removed_by(stand) == {}
        assert await count_rows(stand) == before


async def test_a_round_that_is_broken_off_after_any_step_is_made_good_by_the_next(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ROWS_AT_ONCE", "WINDOW", "WORKFLOWS_AT_ONCE"):
        monkeypatch.setattr(f"muster.server.services.purge.{name}", 2)
    async with keeping(database_url, workflows_kept_s=0, events_kept_s=0) as stand:
        kept = await stand.submit()
        await work(stand, kept, 1, 2, 3, 4, 5)
        before = await count_rows(stand)
        steps = 0
        for broken_off in range(1, 200):
            gone = await stand.submit()
            await finish(stand, gone, await work(stand, gone, 1, 2, 3, cluster_id=100 + broken_off))
            place: Place | None = None
            for _ in range(broken_off):
                place = (await purge(stand.parts, place=place, for_s=0)).place
                if place is None:
                    break
            if place is None:
                break
            steps = broken_off
        assert steps > len(Stage)

        await go_round(stand)

        after = await count_rows(stand)
        for name in ("workflow", "taskforce", "phase_log", "queue", "ready", "counter", "holder", "holder_live"):
            assert (name, after[name]) == (name, before[name])
        assert (after["event"], after["finished"]) == (5, 0)  # the results
        assert after["removed_queue"] <= 1
        assert (await account(stand, kept))["adds_up"]


async def test_work_goes_on_while_everything_that_is_done_goes_and_nothing_is_counted_twice(database_url: str) -> None:
    async with keeping(database_url, workflows_kept_s=0, events_kept_s=0, attempts_kept_s=0) as stand:
        workflow = await stand.submit()
        order = await stand.start(workflow)
        total = 300
        is_over = anyio.Event()

        async def keep_purging() -> None:
            while not is_over.is_set():
                await go_round(stand)

        async def keep_working(proc: int) -> None:
            worker = await stand.enrol(order["taskforce_uuid"], proc=proc)
            call = 0
            while True:
                call += 1
                leased = (await stand.step(worker, call, want=5))["events"]
                if not leased:
                    return
                finished = [
                    {
                        "event": one["event"],
                        "fence": one["fence"],
                        "outcome": "done",
                        "results": [{"kind": "json", "body": 1}],
                    }
                    for one in leased
                ]
                call += 1
                for _ in range(2):  # the answer was lost
                    await stand.step(worker, call, finished=finished)

        await stand.publish(workflow, *range(total))
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(keep_purging)
            async with anyio.create_task_group() as workers:
                for proc in range(3):
                    workers.start_soon(keep_working, proc)
            is_over.set()
        await go_round(stand)

        whole = await account(stand, workflow)
        assert whole["adds_up"]
        assert (whole["published"], whole["done"]) == (total, total)
        assert sum(one["counts"]["waiting"] for one in whole["queues"] if one["alias"] == "out") == total
        rows = await count_rows(stand)
        assert (rows["finished"], rows["event"], rows["ready"]) == (0, total, total)


async def lease(stand: Stand, workflow: Json, count: int, *, cluster_id: int = 7) -> tuple[Json, list[Json]]:
    """A worker that holds so many new events. Returns it and them, by number."""
    order = await stand.start(workflow, cluster_id=cluster_id)
    await stand.publish(workflow, *range(count))
    worker = await stand.enrol(order["taskforce_uuid"])
    leased = (await stand.step(worker, 1, want=count))["events"]
    return worker, sorted(leased, key=lambda one: one["event"])


def done(leased: Json) -> Json:
    return {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "results": []}


async def leave_one_late(stand: Stand, count: int) -> tuple[Json, Json, list[Json]]:
    """A worker that has done all of so many events but the first. Returns it, that one, and the others."""
    worker, [late, *early] = await lease(stand, await stand.submit(), count)
    await stand.step(worker, 2, finished=[done(one) for one in early])
    return worker, late, early


async def find_kinds(stand: Stand, events: list[Json]) -> list[str]:
    """How the bodies of these events are kept; `gone` where the whole event is."""
    answers = [await stand.ask("GET", f"/muster/v1/events/{one['event']}") for one in events]
    return ["gone" if one.status_code == 404 else one.json()["kind"] for one in answers]


@pytest.mark.parametrize(("rule", "without"), [("bodies_kept_s", "purged"), ("events_kept_s", "gone")])
async def test_a_service_looks_at_what_is_new_and_once_a_day_at_all(
    database_url: str, rule: str, without: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(database_url, **{rule: 0}) as stand:
        worker, [early, *later, last] = await lease(stand, await stand.submit(), 5)
        await stand.step(worker, 2, finished=[done(one) for one in later])
        await purge_all(stand.parts)
        assert await find_kinds(stand, [early, *later, last]) == ["json", *[without] * 3, "json"]

        await stand.step(worker, 3, finished=[done(early), done(last)])
        await purge_all(stand.parts)
        assert await find_kinds(stand, [early, last]) == ["json", without], "what ended late is passed by"

        monkeypatch.setattr("muster.server.services.purge.WHOLE_EVERY_S", 0.0)
        await purge_all(stand.parts)
        assert await find_kinds(stand, [early]) == [without]


async def test_an_operators_round_looks_at_all(database_url: str) -> None:
    async with keeping(database_url, bodies_kept_s=0) as stand:
        worker, [early, last] = await lease(stand, await stand.submit(), 2)
        await stand.step(worker, 2, finished=[done(last)])
        await purge_all(stand.parts)
        await stand.step(worker, 3, finished=[done(early)])

        assert await removed_by(stand, dry_run=True) == {"bodies": 1}
        assert await removed_by(stand) == {"bodies": 1}


async def test_what_is_not_due_yet_is_not_passed_by(database_url: str) -> None:
    """In the middle of three one ended long after it was published."""
    async with keeping(database_url, bodies_kept_s=0) as stand:
        worker, leased = await lease(stand, await stand.submit(), 3)
        await stand.step(worker, 2, finished=[done(one) for one in leased])
        events = [int(one["event"].removeprefix("EV-"), 16) for one in leased]

        def sweep(tx: Transaction) -> tuple[Swept, Swept]:
            cut = tx.now() + 10
            of_middle = update(finished).where(finished.c.event == events[1])
            connection_of(tx).execute(of_middle.values(at=cut + 1))
            first = tx.retention.sweep_done(Kept.BODIES, START, cut, limit=2, manner=Manner())
            assert first.after is not None
            return first, tx.retention.sweep_done(Kept.BODIES, first.after, cut, limit=2, manner=Manner())

        first, second = await stand.parts.store.write(sweep)

        assert first == Swept((events[1], 1), {Kept.BODIES: 1}, settled=events[1] - 1)
        assert second == Swept(None, {Kept.BODIES: 1}, settled=None)


async def break_off(stand: Stand, *, after: int, keeper: str | None) -> bool:
    """A round that ends behind so many steps, for its service died or its operator left; False where it had no more of them."""
    place: Place | None = None
    for _ in range(after):
        place = (await purge(stand.parts, place=place, for_s=0, keeper=keeper)).place
        if place is None:
            return False
    if keeper is not None:  # else the next one waits for a minute
        await stand.parts.store.write(lambda tx: tx.rounds.end_round(keeper))
    return True


@pytest.mark.parametrize("keeper", [None, "a service that died"])
async def test_a_look_at_all_that_is_broken_off_does_not_count_as_one(
    database_url: str, keeper: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended late goes when the day is over, wherever a round, of a service or an operator, was left in between."""
    monkeypatch.setattr("muster.server.services.purge.ROWS_AT_ONCE", 2)
    async with keeping(database_url, bodies_kept_s=0) as stand:
        for broken_off in (5, 7, 9):  # before the rule's look at all, and twice in the middle of it
            monkeypatch.setattr("muster.server.services.purge.WHOLE_EVERY_S", 24 * 3600.0)
            worker, leased = await lease(stand, await stand.submit(), 4, cluster_id=broken_off)
            late = leased[2]
            await stand.step(worker, 2, finished=[done(one) for one in leased if one is not late])
            await purge_all(stand.parts)
            await stand.step(worker, 3, finished=[done(late)])
            await purge_all(stand.parts)
            assert await find_kinds(stand, [late]) == ["json"], "what ended late is passed by"
            walk = await stand.parts.store.read(lambda tx: tx.rounds.find_walk(Kept.BODIES))
            assert walk is not None

            a_day_later = await stand.parts.store.read(lambda tx: tx.now()) - walk.whole_at
            monkeypatch.setattr("muster.server.services.purge.WHOLE_EVERY_S", a_day_later)
            assert await break_off(stand, after=broken_off, keeper=keeper)
            assert await find_kinds(stand, [late]) == ["json"]
            await purge_all(stand.parts)
            assert await find_kinds(stand, leased) == ["purged"] * 4


async def test_a_look_at_all_ends_although_services_stop_more_often_than_it_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes on where the one before was stopped. It counts from when the first began: what ended later may be left to the next day."""
    monkeypatch.setattr("muster.server.services.purge.ROWS_AT_ONCE", 2)
    async with keeping(database_url, bodies_kept_s=0) as stand:
        worker, late, early = await leave_one_late(stand, 20)
        began_at = await stand.parts.store.read(lambda tx: tx.now())

        stops = 0
        while await break_off(stand, after=list(Stage).index(Stage.BODIES) + 3, keeper=f"service {stops}"):
            stops += 1
            if stops == 1:
                await stand.step(worker, 3, finished=[done(late)])
                first_stopped_at = await stand.parts.store.read(lambda tx: tx.now())
            walk = await stand.parts.store.read(lambda tx: tx.rounds.find_walk(Kept.BODIES))
            assert walk is not None
            if walk.whole_at > 0:
                break
            assert stops < 10, "it begins anew each time"

        assert stops > 3
        assert walk is not None
        assert began_at <= walk.whole_at <= first_stopped_at
        assert await find_kinds(stand, early) == ["purged"] * len(early)
        assert await find_kinds(stand, [late]) == ["json"]
        monkeypatch.setattr("muster.server.services.purge.WHOLE_EVERY_S", 0.0)
        await purge_all(stand.parts)
        assert await find_kinds(stand, [late]) == ["purged"]


async def test_a_look_at_all_that_another_overtook_is_not_gone_on_with(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ended late before the place where it was left would be missed, and the day counted as looked at."""
    monkeypatch.setattr("muster.server.services.purge.ROWS_AT_ONCE", 2)
    async with keeping(database_url, bodies_kept_s=0) as stand:
        worker, late, early = await leave_one_late(stand, 8)
        assert await break_off(stand, after=list(Stage).index(Stage.BODIES) + 3, keeper="a service that died")
        await go_round(stand)
        await stand.step(worker, 3, finished=[done(late)])

        monkeypatch.setattr("muster.server.services.purge.WHOLE_EVERY_S", 0.0)
        await purge_all(stand.parts)

        assert await find_kinds(stand, [late, *early]) == ["purged"] * 8


async def test_what_removed_workflows_left_goes_although_services_stop_more_often_than_it_takes(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of a workflow which went while it was looked for, by the walk after this one."""
    monkeypatch.setattr("muster.server.services.purge.WINDOW", 2)
    async with keeping(database_url, workflows_kept_s=0) as stand:
        gone, kept = await stand.submit(), await stand.submit()
        await finish(stand, gone, await work(stand, gone, "a"))
        await work(stand, kept, *range(20), cluster_id=8)
        before = await count_rows(stand)
        later = await stand.submit()
        order = await work(stand, later, "b", cluster_id=9)

        stops = 0
        while await break_off(stand, after=len(Stage) + 1, keeper=f"service {stops}"):
            stops += 1
            if stops == 2:
                await finish(stand, later, order)
            assert stops < 40, "it begins anew each time"
        await purge_all(stand.parts)

        after = await count_rows(stand)
        assert stops > 3
        for name in ("queue", "event", "finished", "holder", "counter"):
            own = {"event": 2, "finished": 1, "holder": 1, "queue": 2, "counter": 2}[name]
            assert (name, after[name]) == (name, before[name] - own)


async def test_an_operators_round_through_all_is_the_one_of_its_day(database_url: str) -> None:
    """By the time when it began: its operator may let it lie, and go on with it days later."""
    async with keeping(database_url, bodies_kept_s=0) as stand:
        place: Place | None = (await purge(stand.parts, for_s=0)).place
        assert place is not None
        began_at = place.now
        while place is not None:
            place = (await purge(stand.parts, place=place, for_s=0)).place

        walk = await stand.parts.store.read(lambda tx: tx.rounds.find_walk(Kept.BODIES))
        await purge(stand.parts, place=Place(Stage.BODIES, START, began_at - 7 * 24 * 3600), for_s=0)

        assert walk == Walk(0, began_at)
        assert await stand.parts.store.read(lambda tx: tx.rounds.find_walk(Kept.BODIES)) == walk


async def test_a_round_that_is_broken_off_by_one_service_is_made_good_by_another(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is counted twice, and nothing left out."""
    monkeypatch.setattr("muster.server.services.purge.ROWS_AT_ONCE", 10)
    rules = {"events_kept_s": 1e6, "bodies_kept_s": 0, "attempts_kept_s": 0}
    async with keeping(database_url, **rules) as stand:
        workflow = await stand.submit(NEVER_DONE)
        for broken_off in range(1, 60):
            worker, leased = await lease(stand, workflow if broken_off == 1 else await stand.submit(), 3)
            await stand.step(worker, 2, finished=[done(one) for one in leased])
            if not await break_off(stand, after=broken_off, keeper=f"service {broken_off}"):
                break
        assert broken_off in range(len(Stage), 59)

        await purge_all(stand.parts)

        bodies = await stand.parts.store.read(lambda tx: connection_of(tx).scalars(select(event.c.kind)).all())
        assert bodies == [BodyKind.PURGED] * 3 * broken_off
        assert (await account(stand, workflow))["adds_up"]


async def test_one_service_goes_round_and_the_others_pass_over(database_url: str) -> None:
    async with keeping(database_url, bodies_kept_s=0) as stand:
        worker, [first, second] = await lease(stand, await stand.submit(), 2)
        await stand.step(worker, 2, finished=[done(first)])

        assert await stand.parts.store.write(lambda tx: tx.rounds.take_round("another", for_s=60.0))
        await purge_all(stand.parts)
        assert await find_kinds(stand, [first]) == ["json"]
        assert await removed_by(stand) == {"bodies": 1}, "an operator need not wait"

        await stand.step(worker, 3, finished=[done(second)])
        await stand.parts.store.write(lambda tx: tx.rounds.end_round("another"))
        assert await stand.parts.store.write(lambda tx: tx.rounds.take_round("one that died", for_s=-1.0))
        await purge_all(stand.parts)
        assert await find_kinds(stand, [second]) == ["purged"]
        assert await stand.parts.store.write(lambda tx: tx.rounds.take_round("the next", for_s=60.0))
        assert not await stand.parts.store.write(lambda tx: tx.rounds.take_round("another", for_s=60.0))


@pytest.mark.server
async def test_a_partition_that_holds_nothing_but_removed_events_is_dropped_whole(postgres_url: str) -> None:
    year_s = 365 * 24 * 3600.0
    async with keeping(postgres_url, workflows_kept_s=0) as stand:
        gone, kept = await stand.submit(), await stand.submit()
        numbers = await stand.parts.store.read(
            lambda tx: [tx.queues.list_of_workflow(one["workflow_id"])[0].number for one in (gone, kept)]
        )

        def publish_in_the_past(tx: Transaction) -> None:
            """The workflow that goes has an event of three years ago, the other one of two."""
            connection = connection_of(tx)
            for queue, years in ((numbers[0], 3), (numbers[1], 2)):
                make_coming_partitions(connection, now=tx.now() - years * year_s)
                number = first_id_at(tx.now() - years * year_s) + queue
                connection.execute(insert(event), {"id": number, "queue": queue, "kind": 0, "body": b"1"})

        def list_partitions(tx: Transaction) -> set[str]:
            query = "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'"
            return set(connection_of(tx).scalars(text(query)))

        await stand.parts.store.write(publish_in_the_past)
        before = await stand.parts.store.read(list_partitions)
        await stand.end(gone, "abort")
        await removed_by(stand)

        after = await stand.parts.store.read(list_partitions)
        now = await stand.parts.store.read(lambda tx: tx.now())
        spans = {int((now - years * year_s) * 1000 - EPOCH_MS) // SPAN_MS for years in (2, 3)}
        wanted, unwanted = max(spans), min(spans)
        assert {f"event_{unwanted}", f"finished_{unwanted}"} <= before - after
        assert f"event_{wanted}" in after
        assert {name for name in after if not name.endswith("_default")} == {
            f"{table}_{span}" for table in ("event", "finished") for span in coming_and(wanted, now=now)
        }
        rows = await count_rows(stand)
        assert rows["event"] == 1


def coming_and(span: int, *, now: float) -> set[int]:
    """The spans whose partitions are always there, and one more."""
    current = (int(now * 1000) - EPOCH_MS) // SPAN_MS
    return {current, current + 1, span}


async def test_only_operators_may(stand: Stand) -> None:
    for who in (USER, STRANGER, WMS):
        for path in (PURGE, "/muster/v1/admin/reset"):
            assert (await stand.ask("POST", path, {}, by=who)).status_code == 403


@pytest.mark.parametrize(
    "place",
    [
        "",
        "x",
        "\0",
        "nothing:0:0:1.000000:1.000000:wet:" + "0" * 32,
        "end:0:0:9999999999.000000:9999999999.000000:wet:" + "0" * 32,
    ],
)
async def test_a_place_that_is_none_is_told(stand: Stand, place: str) -> None:
    answer = await stand.ask("POST", PURGE, {"place": place}, by=OPERATOR)
    assert answer.status_code == 422
    [finding] = answer.json()["findings"]
    assert finding["field"] == "place"
    assert "must be the `place` of an answer of this route" in finding["reason"]


async def test_a_dry_round_does_not_go_on_wet(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.server.doors.muster.admin.routes.PURGE_S", 0.0)
    async with keeping(database_url, workflows_kept_s=0) as stand:
        dry = await stand.post(PURGE, {"dry_run": True}, by=OPERATOR)
        assert dry["place"] is not None
        answer = await stand.ask("POST", PURGE, {"place": dry["place"]}, by=OPERATOR)
        assert answer.status_code == 422
        assert (await stand.post(PURGE, {"dry_run": True, "place": dry["place"]}, by=OPERATOR))["place"] != dry["place"]


def test_a_place_comes_back_as_it_was() -> None:
    for stage in Stage:
        place = Place(stage, (2**59, 7), 1795975326.806123, 1795975327.5)
        text = render_place(place, is_dry=False, key=KEY)
        assert parse_place(text, is_dry=False, key=KEY) == place
        assert parse_place(text, is_dry=True, key=KEY) is None
        assert parse_place(text, is_dry=False, key=KEY[::-1]) is None
        assert parse_place(text.replace("7:", "8:", 1), is_dry=False, key=KEY) is None


async def test_a_service_for_tests_can_be_emptied(database_url: str) -> None:
    async with keeping(database_url, test_reset=True) as stand:
        first = await stand.submit()
        order = await stand.start(first)
        worker = await stand.enrol(order["taskforce_uuid"])
        await stand.publish(first, 1, 2)
        await stand.step(worker, 1, want=1)

        assert await stand.post("/muster/v1/admin/reset", by=OPERATOR) == {"workflows": 1}

        rows = await count_rows(stand)
        assert rows.pop("removed_queue") <= 1
        assert rows.pop("outbox") <= 1
        assert set(rows.values()) == {0}
        assert (await stand.ask("GET", f"/muster/v1/workflows/{first['workflow_id']}")).status_code == 404
        lost = await stand.ask("POST", protocol.STEP, {"call": 2, "want": 1, "wait_s": 0}, by=worker["token"])
        assert lost.status_code in {401, 403, 404, 410}
        second = await stand.submit()
        await work(stand, second, "a", cluster_id=9)
        whole = await account(stand, second)
        assert (whole["adds_up"], whole["done"]) == (True, 1)


async def test_any_other_service_cannot(stand: Stand) -> None:
    answer = await stand.ask("POST", "/muster/v1/admin/reset", by=OPERATOR)
    assert answer.status_code == 403
    assert "MUSTER_TEST_RESET=true" in answer.json()["error"]
