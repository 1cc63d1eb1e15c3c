"""Do requests that come at once share transactions on PostgreSQL, those of one caller, and do all get what is theirs?"""

from collections.abc import AsyncIterator

import anyio
import httpx
import pytest

from harness.statements import counted_statements
from muster.domain.outbox import Notice
from muster.server.services.measures import MeasuredStore, Measures
from server.stand import EWMS_NEW, NEW, OPERATOR, USER, Json, Stand, open_stand

pytestmark = [pytest.mark.anyio, pytest.mark.server]

WORKFLOWS = "/muster/v1/workflows"
TOGETHER = 12


@pytest.fixture
async def crowd(postgres_url: str) -> AsyncIterator[Stand]:
    async with open_stand(postgres_url) as stand:
        yield stand


async def ask_at_once(stand: Stand, path: str, *bodies: Json, by: tuple[str, ...] = (USER,)) -> list[httpx.Response]:
    """In the order of the bodies."""
    answers: dict[int, httpx.Response] = {}

    async def ask(place: int, body: Json) -> None:
        answers[place] = await stand.ask("POST", path, body, by=by[place % len(by)])

    async with anyio.create_task_group() as group:
        for place, body in enumerate(bodies):
            group.start_soon(ask, place, body)
    return [answers[place] for place in range(len(bodies))]


@pytest.mark.parametrize(("path", "new", "status"), [(WORKFLOWS, NEW, 201), ("/v1/workflows", EWMS_NEW, 200)])
async def test_submissions(crowd: Stand, path: str, new: Json, status: int) -> None:
    with counted_statements() as sent:
        answers = await ask_at_once(crowd, path, *({**new, "priority": 10 + place} for place in range(TOGETHER)))

    assert [one.status_code for one in answers] == [status] * TOGETHER
    assert sum("INSERT INTO workflow " in one for one in sent) < TOGETHER / 2
    listed = (await crowd.get(f"{WORKFLOWS}?limit=500"))["workflows"]
    assert sorted(one["priority"] for one in listed) == [10 + place for place in range(TOGETHER)]


async def test_publications(crowd: Stand) -> None:
    made = await crowd.submit()
    path = f"{WORKFLOWS}/{made['workflow_id']}/queues/in/events"
    bodies = [{"events": [{"kind": "json", "body": place}]} for place in range(TOGETHER)]
    with counted_statements() as sent:
        answers = await ask_at_once(crowd, path, *bodies)

    assert {one.status_code for one in answers} == {200}
    assert sum("INSERT INTO event " in one for one in sent) < TOGETHER / 2
    made_in_order = [one.json()["events"][0] for one in answers]
    listed = await crowd.get(f"{WORKFLOWS}/{made['workflow_id']}/events?queue=in&state=waiting&bodies=true")
    bodies_of = {one["event"]: one["body"] for one in listed["events"]}
    assert [bodies_of[event] for event in made_in_order] == list(range(TOGETHER))


async def test_callers_do_not_share(crowd: Stand) -> None:
    """What one meets is nobody else's."""
    with counted_statements() as sent:
        answers = await ask_at_once(crowd, WORKFLOWS, NEW, NEW, by=(USER, OPERATOR))

    assert {one.status_code for one in answers} == {201}
    assert sum("INSERT INTO workflow " in one for one in sent) == 2


async def test_large_ones_keep_nobody_waiting(crowd: Stand) -> None:
    made = await crowd.submit()
    path = f"{WORKFLOWS}/{made['workflow_id']}/queues/in/events"
    large = {"events": [{"kind": "json", "body": "x" * 70_000}]}
    with counted_statements() as sent:
        answers = await ask_at_once(crowd, path, large, large, large)

    assert {one.status_code for one in answers} == {200}
    assert sum("INSERT INTO event " in one for one in sent) == 3


async def test_so_they_do_where_the_store_is_measured(crowd: Stand) -> None:
    store = MeasuredStore(crowd.parts.store, Measures())

    async def write(number: int) -> None:
        notice = Notice(f"WF-{number}", "workflow.created", 1.0, {})
        await store.write(lambda tx: tx.outbox.insert(notice), group="some")

    with counted_statements() as sent:
        async with anyio.create_task_group() as group:
            for number in range(TOGETHER):
                group.start_soon(write, number)

    assert sum("INSERT INTO outbox" in one for one in sent) == 1
