"""Is one who listens to a workflow told everything once, in order, from where it left off, and at what cost?"""

import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, TypeVar

import anyio
import asyncpg
import pytest
import structlog

from contracts.store_bench import until
from muster.domain.errors import InvalidError, UnavailableError
from muster.domain.outbox import BEGINNING, Cursor, Notice, Place, render_place
from muster.server.daemons.watch_horizon import watch_horizon
from muster.server.ports.store import Store, Transaction
from muster.server.services import follow_progress, stream_workflow
from muster.server.services.follow_progress import ProgressNow
from muster.server.services.parts import Parts
from muster.server.services.stream_workflow import Gap, Message, Now, Over, Resume, SignOfLife, Told, open_stream
from server.stand import Json, Stand

pytestmark = pytest.mark.anyio

T = TypeVar("T")
FOLLOWERS = 50


@contextlib.asynccontextmanager
async def listening(
    parts: Parts, workflow: Json, *, after: Place | None = None, is_from_now: bool = False
) -> AsyncIterator[AsyncGenerator[Message]]:
    resume = None if after is None else Resume(after, "after", render_place(after))
    if is_from_now:
        resume = Resume(None, "after", "now")
    stream = await open_stream(parts, workflow["workflow_id"], resume)
    assert stream is not None
    async with contextlib.aclosing(stream):
        yield stream


async def take_until(stream: AsyncGenerator[Message], is_last: Callable[[Message], bool]) -> list[Message]:
    taken: list[Message] = []
    with anyio.fail_after(20):
        async for message in stream:
            if not isinstance(message, SignOfLife):
                taken.append(message)
            if is_last(message):
                break
    return taken


async def take_all(parts: Parts, workflow: Json, *, after: Place | None = None) -> list[Message]:
    """Of a workflow that is over."""
    async with listening(parts, workflow, after=after) as stream:
        return await take_until(stream, lambda _: False)


def is_notice(kind: str) -> Callable[[Message], bool]:
    return lambda message: isinstance(message, Told) and message.notice.kind == kind


def notices(messages: list[Message]) -> list[str]:
    """Kinds of notices, phases as themselves."""
    told = [one.notice for one in messages if isinstance(one, Told)]
    return [str(one.data["phase"]) if one.kind == "taskforce.phase" else one.kind for one in told]


def last_place(messages: list[Message]) -> Place:
    return [one.place for one in messages if not isinstance(one, ProgressNow | SignOfLife)][-1]


async def insert(stand: Stand, workflow: Json, count: int = 1) -> None:
    def work(tx: Transaction) -> None:
        for number in range(count):
            tx.outbox.insert(Notice(workflow["workflow_id"], "test.notice", 0.5, {"n": number}))
        tx.wake(f"workflow:{workflow['workflow_id']}")

    await stand.parts.store.write(work)


async def end(stand: Stand, workflow: Json, how: str = "finish") -> None:
    """End a workflow, and have its agent say that nothing is left of its clusters."""
    await stand.end(workflow, how)
    for order in (await stand.claim())["stop"]:
        await stand.report(order, "removed")
        await stand.report(order, "completed", at=0.0)


async def test_the_progress_comes_first_and_then_what_happened_in_order(stand: Stand) -> None:
    workflow = await stand.submit()
    other = await stand.submit()
    await stand.publish(workflow, 1, close=True)

    async with listening(stand.parts, workflow) as stream:
        taken = await take_until(stream, is_notice("queue.closed"))

    assert isinstance(taken[0], ProgressNow)
    assert taken[0].total.waiting == 1
    assert notices(taken[1:]) == ["pre-mq-activation", "workflow.created", "queue.closed"]
    places = [one.place.cursor for one in taken[1:] if isinstance(one, Told)]
    assert places == sorted(set(places))
    assert other["workflow_id"] not in {one.notice.subject for one in taken if isinstance(one, Told)}


async def test_what_happens_meanwhile_is_told_the_progress_before_the_notice_that_led_to_it(stand: Stand) -> None:
    workflow = await stand.submit()
    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        async with anyio.create_task_group() as group:
            group.start_soon(stand.end, workflow, "abort")
            taken = await take_until(stream, is_notice("workflow.ended"))

    assert [type(one) for one in taken] == [ProgressNow, Told, Told]
    assert isinstance(taken[0], ProgressNow)
    assert taken[0].workflow.state == "aborted"
    assert notices(taken) == ["pending-stopper", "workflow.ended"]


async def test_one_who_comes_back_is_told_the_rest(stand: Stand) -> None:
    workflow = await stand.submit()
    await insert(stand, workflow, 5)
    async with listening(stand.parts, workflow) as stream:
        whole = await take_until(stream, lambda one: isinstance(one, Told) and one.notice.data.get("n") == 4)
    told = [one for one in whole if isinstance(one, Told)]

    for number, one in enumerate(told[:-1]):
        async with listening(stand.parts, workflow, after=one.place) as stream:
            rest = await take_until(stream, lambda one: one == told[-1])
        assert isinstance(rest[0], ProgressNow)
        assert rest[1:] == told[number + 1 :]


async def test_one_who_is_far_behind_is_told_page_by_page(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_workflow, "PAGE", 7)
    workflow = await stand.submit()
    other = await stand.submit()
    for _ in range(10):
        await insert(stand, workflow, 10)
        await insert(stand, other, 10)

    async with listening(stand.parts, workflow) as stream:
        taken: list[Message] = []
        while Counter(notices(taken))["test.notice"] < 100:
            taken += await take_until(stream, is_notice("test.notice"))
            if Counter(notices(taken))["test.notice"] == 50:  # what comes meanwhile is told at its place
                await insert(stand, workflow)
        taken += await take_until(stream, is_notice("test.notice"))

    numbers = [one.notice.data["n"] for one in taken if isinstance(one, Told) and one.notice.kind == "test.notice"]
    assert numbers == [*(list(range(10)) * 10), 0]


async def test_one_who_wants_only_what_happens_from_now_on_is_told_where_that_begins(stand: Stand) -> None:
    workflow = await stand.submit()
    async with listening(stand.parts, workflow) as stream:
        before = last_place(await take_until(stream, is_notice("workflow.created")))
    async with listening(stand.parts, workflow, is_from_now=True) as stream:
        opening = await take_until(stream, lambda one: isinstance(one, Now))
        await insert(stand, workflow)
        taken = await take_until(stream, is_notice("test.notice"))

    assert [type(one) for one in opening] == [ProgressNow, Now]
    assert opening[1] == Now(before)
    assert [type(one) for one in taken] == [Told]
    await end(stand, workflow)
    answer = await stand.ask("GET", f"/muster/v1/workflows/{workflow['workflow_id']}/stream?after=now")
    [opened, _, told, over, _] = answer.text.split("\n\n")
    assert opened == "retry: 1000"
    assert over.startswith(f"{told}.end\nevent: end\n")


async def test_it_ends_when_the_workflow_is_over_and_its_workers_are_gone(stand: Stand) -> None:
    workflow = await stand.submit()
    order = await stand.start(workflow)
    await stand.enrol(order["taskforce_uuid"])
    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        async with anyio.create_task_group() as group:
            group.start_soon(end, stand, workflow)
            taken = await take_until(stream, lambda _: False)

    assert taken[-1] == Over(Place(last_place(taken[:-1]).cursor, is_end=True), "finished")
    assert notices(taken)[-3:] == ["workflow.ended", "condor-rm", "condor-complete"]
    last = [one for one in taken if isinstance(one, ProgressNow)][-1]
    assert (last.workflow.state, last.workers, last.phases) == ("finished", 0, {"condor-complete": 1})


async def test_it_does_not_wait_for_ever_for_an_agent_that_is_away(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_progress, "LINGER_S", 0.5)
    workflow = await stand.submit()
    await stand.start(workflow)
    await stand.end(workflow, "finish")
    soon = stand.parts.settings.model_copy(update={"net_interval_s": 0.2})

    taken = await take_all(replace(stand.parts, settings=soon), workflow)

    assert notices(taken)[-2:] == ["pending-stopper", "workflow.ended"]
    assert isinstance(taken[-1], Over)


async def test_one_who_was_told_everything_is_told_nothing_and_one_who_was_not_is_told_the_last_progress(
    stand: Stand,
) -> None:
    workflow = await stand.submit()
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/stream"
    await end(stand, workflow)
    whole = await take_all(stand.parts, workflow)
    last_notice, over = last_place(whole[:-1]), last_place(whole)

    nothing = await stand.ask("GET", path, headers={"Last-Event-ID": render_place(over)})
    rest = await take_all(stand.parts, workflow, after=last_notice)
    await insert(stand, workflow)
    late = await take_all(stand.parts, workflow, after=over)

    assert (nothing.status_code, nothing.content) == (204, b"")
    assert [type(one) for one in rest] == [ProgressNow, Over]
    assert [type(one) for one in late] == [ProgressNow, Told, Over]
    assert notices(late) == ["test.notice"]


async def test_on_the_wire(stand: Stand) -> None:
    workflow = await stand.submit()
    await end(stand, workflow, "abort")
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/stream"

    answer = await stand.ask("GET", path)
    [opening, progress, *told, over, nothing] = [part.split("\n") for part in answer.text.split("\n\n")]

    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert (opening, nothing) == (["retry: 1000"], [""])
    assert progress[0] == "event: progress"
    assert len(progress) == 2
    now = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress")
    assert _read(progress[1]) | {"at": 0} == now | {"at": 0}
    assert [one[1] for one in told] == [
        "event: taskforce.phase",
        "event: workflow.created",
        "event: taskforce.phase",
        "event: workflow.ended",
    ]
    ended = _read(told[3][2])
    assert told[3][0] == f"id: {ended['id']}"
    assert ended | {"id": "", "at": 0} == {
        "id": "",
        "workflow_id": workflow["workflow_id"],
        "kind": "workflow.ended",
        "at": 0,
        "data": {"state": "aborted", "by": "ada", "n_taskforces": 1},
    }
    assert over[:2] == [f"{told[-1][0]}.end", "event: end"]
    assert _read(over[2]) == {"workflow_id": workflow["workflow_id"], "state": "aborted"}
    # The header is newer than the address to which a browser comes back.
    created, end_id = _read(told[1][2])["id"], over[0].removeprefix("id: ")
    for query, header in (("", created), (f"?after={created}", ""), (f"?after={end_id}", created)):
        rest = await stand.ask("GET", path + query, headers={"Last-Event-ID": header} if header else {})
        assert rest.text.count("id: ") == 3


def _read(line: str) -> Json:
    name, _, data = line.partition(": ")
    assert name == "data"
    return json.loads(data)


async def test_an_id_that_is_none_is_refused(stand: Stand) -> None:
    workflow = await stand.submit()
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/stream"
    for text in ("banana", "1", "1.g", "1.2.3", "ffffffffffffffff.1", "1.2.END", "1" * 500):
        answers = {
            "after": await stand.ask("GET", f"{path}?after={text}"),
            "Last-Event-ID": await stand.ask("GET", path, headers={"Last-Event-ID": text}),
        }
        for name, answer in answers.items():
            reason = (
                f"'{text[:100]}' is no id of a stream's event: send the last one that you got, none to hear everything, "
                "or 'now' to hear only what happens from now on"
            )
            assert (answer.status_code, answer.json()["findings"]) == (422, [{"field": name, "reason": reason}])


async def test_the_id_of_another_workflows_message_is_refused(stand: Stand) -> None:
    workflow, other = await stand.submit(), await stand.submit()
    async with listening(stand.parts, other) as stream:
        place = last_place(await take_until(stream, is_notice("workflow.created")))

    with pytest.raises(
        InvalidError, match=f"after: '{render_place(place)}' is the id of a message of another workflow"
    ):
        await open_stream(stand.parts, workflow["workflow_id"], Resume(place, "after", render_place(place)))


@pytest.mark.parametrize(
    "place",
    [
        Place(Cursor(number=2**62)),
        Place(Cursor(transaction=2**62, number=1)),
        Place(Cursor(era=2**31 - 1, number=1)),
        Place(Cursor(number=2**62), is_end=True),
    ],
)
async def test_one_whose_last_notice_is_not_kept_is_told_of_the_gap_and_then_all_that_is(
    stand: Stand, place: Place
) -> None:
    workflow = await stand.submit()
    await end(stand, workflow)
    whole = await take_all(stand.parts, workflow)

    taken = await take_all(stand.parts, workflow, after=place)

    assert [type(one) for one in taken[:2]] == [ProgressNow, Gap]
    assert taken[1] == Gap(Place(BEGINNING), render_place(place))
    assert taken[2:] == whole[1:]


async def test_an_unknown_workflow_and_an_unknown_caller_are_refused_before_anything_is_told(stand: Stand) -> None:
    known = await stand.submit()
    path = "/muster/v1/workflows/{}/stream"
    answers = [
        await stand.ask("GET", path.format("WF-aaaaaaaa-bbbbbbbb")),
        await stand.ask("GET", path.format("banana")),
        await stand.ask("GET", path.format(known["workflow_id"]), by=None),
        await stand.ask("GET", path.format(known["workflow_id"]), by="nobody"),
        await stand.ask("GET", path.format(known["workflow_id"]), by="tms"),
    ]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [
        (404, "not-found"),
        (404, "not-found"),
        (401, "unauthenticated"),
        (401, "unauthenticated"),
        (403, "forbidden"),
    ]


async def test_a_stream_that_is_silent_shows_that_it_lives(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_workflow, "SIGN_OF_LIFE_S", 0.3)
    workflow = await stand.submit()
    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        assert await take_until(stream, lambda one: isinstance(one, SignOfLife)) == []
        assert await take_until(stream, lambda one: isinstance(one, SignOfLife)) == []


async def test_progress_comes_in_steps_however_often_others_look(stand: Stand) -> None:
    workflow = await stand.submit()
    told_at: list[float] = []

    async def keep_looking() -> None:
        while len(told_at) < 6:
            await stand.publish(workflow, 1)
            await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/progress")

    async with listening(stand.parts, workflow) as stream, anyio.create_task_group() as group:
        group.start_soon(keep_looking)
        while len(told_at) < 6:
            if isinstance(await anext(stream), ProgressNow):
                told_at.append(anyio.current_time())

    gaps = [after - before for before, after in pairwise(told_at)]
    assert min(gaps) >= follow_progress.FLOOR_S * 0.9


async def test_streams_end_when_the_service_stops_and_none_is_opened_then(stand: Stand) -> None:
    workflow = await stand.submit()
    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        async with anyio.create_task_group() as group:

            async def stop() -> None:
                await anyio.wait_all_tasks_blocked()
                stand.parts.stopping.asked = True
                stand.parts.waking.wake("stopping")

            group.start_soon(stop)
            assert await take_until(stream, lambda _: False) == []
    answer = await stand.ask("GET", f"/muster/v1/workflows/{workflow['workflow_id']}/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_a_stream_ends_after_an_hour_so_that_who_listens_signs_in_again(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_workflow, "STREAM_S_MAX", 0.5)
    workflow = await stand.submit()
    taken = await take_all(stand.parts, workflow)
    assert notices(taken) == ["pre-mq-activation", "workflow.created"]


async def test_one_who_leaves_leaves_nothing_behind(stand: Stand) -> None:
    workflow = await stand.submit()
    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        assert stand.parts.lookouts._followed
    assert stand.parts.lookouts._followed == {}


# -- cost and trouble ------------------------------------------------------------------------------------------------------


@dataclass
class Beside:
    """The store, and how often it is read. `troubles`: so many of the next reads find no database."""

    store: Store
    reads: int = 0
    troubles: int = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self.reads += 1
        if self.troubles:
            self.troubles -= 1
            raise UnavailableError("the database does not answer")
        return await self.store.read(work)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


async def test_fifty_who_follow_cost_one_look_a_round_whichever_way_they_do(stand: Stand) -> None:
    workflow = await stand.submit()
    beside = Beside(stand.parts.store)
    parts = replace(stand.parts, store=beside)
    first = await follow_progress.follow_progress(parts, workflow["workflow_id"], seen=None, wait_s=0)
    told = [0] * FOLLOWERS

    async def stream_it(number: int) -> None:
        async with listening(parts, workflow) as stream:
            await take_until(stream, is_notice("workflow.created"))
            told[number] = 1
            await take_until(stream, is_notice("queue.closed"))
            told[number] = 2

    async def park(number: int) -> None:
        told[number] = 1
        now = await follow_progress.follow_progress(parts, workflow["workflow_id"], seen=first.token, wait_s=20)
        assert now.queues[0].closed_at is not None
        told[number] = 2

    async with anyio.create_task_group() as group:
        for number in range(FOLLOWERS):
            group.start_soon(stream_it if number % 2 else park, number)

        async def are_settled() -> bool:
            """All wait, and the looks that their coming made necessary are over."""
            before = beside.reads
            await anyio.sleep(2 * follow_progress.FLOOR_S)
            return told == [1] * FOLLOWERS and beside.reads == before

        await until(are_settled)
        beside.reads = 0
        await stand.publish(workflow, close=True)

    assert told == [2] * FOLLOWERS
    assert beside.reads == 1


async def test_a_stream_outlives_a_database_that_is_away_for_a_while(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_workflow, "RETRY_S", 0.1)
    workflow = await stand.submit()
    beside = Beside(stand.parts.store)
    parts = replace(stand.parts, store=beside)
    async with listening(parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        beside.troubles = 3
        await stand.publish(workflow, close=True)
        taken = await take_until(stream, is_notice("queue.closed"))

    assert beside.troubles == 0
    assert notices(taken) == ["queue.closed"]


# -- commits out of order -----------------------------------------------------------------------------------------------

INSERT = (
    "INSERT INTO outbox (txid, subject, kind, at, data)"
    " VALUES (pg_current_xact_id()::text::bigint, $1, 'test.notice', 0.5, $2)"
)


@pytest.fixture
async def rival(stand: Stand) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Somebody else's connection to the database."""
    connection = await asyncpg.connect(stand.parts.settings.database_url, server_settings={"application_name": "rival"})
    yield connection
    await connection.close()


on_postgres = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.mark.server
@on_postgres
async def test_a_transaction_that_began_first_and_commits_last_is_told_first(
    stand: Stand, rival: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    workflow = await stand.submit()
    taken: list[Message] = []

    async def listen(stream: AsyncGenerator[Message]) -> None:
        async for message in stream:
            taken.append(message)
            if is_notice("queue.closed")(message):
                return

    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        transaction = rival.transaction()
        await transaction.start()
        await rival.execute(INSERT, workflow["workflow_id"], '{"n": "early"}')
        await insert(stand, workflow)
        await stand.publish(workflow, close=True)
        async with anyio.create_task_group() as group:
            group.start_soon(listen, stream)

            async def is_progress_told() -> bool:
                return bool(taken)

            await until(is_progress_told)
            before = [*taken]
            await transaction.commit()  # which rings no bell

    assert [type(one) for one in before] == [ProgressNow]
    told = [one.notice for one in taken if isinstance(one, Told)]
    assert [one.data.get("n", one.kind) for one in told] == ["early", 0, "queue.closed"]


@pytest.mark.server
@on_postgres
async def test_a_notice_with_a_lower_number_that_commits_late_is_not_skipped(
    stand: Stand, rival: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The transactions are numbered the other way round than their notices."""
    workflow = await stand.submit()
    second = await asyncpg.connect(stand.parts.settings.database_url)
    async with listening(stand.parts, workflow) as stream:
        await take_until(stream, is_notice("workflow.created"))
        older, younger = rival.transaction(), second.transaction()
        await older.start()
        await rival.execute("SELECT pg_current_xact_id()")
        await younger.start()
        await second.execute(INSERT, workflow["workflow_id"], '{"n": "lower number"}')
        await rival.execute(INSERT, workflow["workflow_id"], '{"n": "higher number"}')
        await older.commit()
        first = await take_until(stream, is_notice("test.notice"))
        await younger.commit()
        then = await take_until(stream, is_notice("test.notice"))
    await second.close()

    told = [one.notice.data["n"] for one in first + then if isinstance(one, Told)]
    assert told == ["higher number", "lower number"]


@pytest.mark.server
@on_postgres
async def test_nothing_is_skipped_or_told_twice_to_one_who_comes_and_goes_while_many_commit_at_random(
    stand: Stand,
) -> None:
    chance = random.Random(11)
    workflow = await stand.submit()
    writers, each = 5, 20
    told: list[tuple[int, int]] = []

    async def write(writer: int) -> None:
        raw = await asyncpg.connect(stand.parts.settings.database_url)
        for number in range(each):
            async with raw.transaction():
                await raw.execute(INSERT, workflow["workflow_id"], json.dumps({"n": [writer, number]}))
                await anyio.sleep(chance.choice([0, 0, 0.001, 0.02]))
            stand.parts.waking.wake(f"workflow:{workflow['workflow_id']}")
        await raw.close()

    async with anyio.create_task_group() as group:
        for writer in range(writers):
            group.start_soon(write, writer)
        place = Place(BEGINNING)
        while len(told) < writers * each:
            left = min(chance.randint(1, 9), writers * each - len(told))
            async with listening(stand.parts, workflow, after=place) as stream:
                async for message in stream:
                    if isinstance(message, Told):
                        place = message.place
                        if is_notice("test.notice")(message):
                            told.append(tuple(message.notice.data["n"]))
                            left -= 1
                    if left == 0:
                        break

    assert sorted(told) == [(writer, number) for writer in range(writers) for number in range(each)]
    for writer in range(writers):
        assert [number for one, number in told if one == writer] == list(range(each))


# -- the alarm ----------------------------------------------------------------------------------------------------------


@pytest.mark.server
@on_postgres
async def test_a_transaction_that_is_open_for_a_minute_is_told_of(
    stand: Stand, rival: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction = rival.transaction()
    await transaction.start()
    number = int(await rival.fetchval("SELECT pg_current_xact_id()::text"))
    await stand.submit()  # of this nobody is told
    now = [1000.0]
    monkeypatch.setattr(anyio, "current_time", lambda: now[0])
    logged: list[list[Any]] = []
    for _ in range(13):
        with structlog.testing.capture_logs() as lines:
            await watch_horizon(stand.parts.store, stand.parts.horizon)
        logged.append(lines)
        now[0] += 10
    metrics = (await stand.ask("GET", "/metrics")).text
    await transaction.rollback()
    await watch_horizon(stand.parts.store, stand.parts.horizon)

    assert [len(one) for one in logged] == [0] * 6 + [1] + [0] * 5 + [1]
    assert [(one["log_level"], one["seconds"], one["transaction"]) for one in logged[6]] == [("warning", 60, number)]
    assert ", rival, idle in transaction, begun at " in logged[6][0]["holder"]
    assert "muster_outbox_horizon_seconds 120.0" in metrics
    assert stand.parts.horizon.age_s == 0.0
