"""Do both clients carry calls out, again where that may help, over a real connection?"""

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, cast

import anyio
import msgspec
import pytest

from client.scripted_service import DROP, find_closed_port, run_scripted
from muster.client.asynchronous import AsyncClient
from muster.client.patience import Patience
from muster.client.shapes.consumers import Consume, Consumed, LeasedEvent
from muster.client.shapes.events import EventBodyPage, EventWithBody
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.queries import FoundPage
from muster.client.shapes.service import Whoami
from muster.client.synchronous import Client
from muster.domain.errors import NotFoundError, RejectedError, UnavailableError

ME = {"name": "ann", "roles": ["user"]}
BUSY = (503, {"code": "unavailable", "error": "closed for lunch"})
MISSING = (404, {"code": "not-found", "error": "no such workflow"})

Ask = Callable[..., Any]


def _ask_plainly(url: str, use: Callable[[Client], Any], **options: Any) -> Any:
    with Client(url, "t0ken", **options) as client:
        return use(client)


def _ask_asynchronously(url: str, use: Callable[[AsyncClient], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, "t0ken", **options) as client:
            return await use(client)

    return anyio.run(run)


def _ask_on_trio(url: str, use: Callable[[AsyncClient], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        async with AsyncClient(url, "t0ken", **options) as client:
            return await use(client)

    return anyio.run(run, backend="trio")


@pytest.fixture(params=[_ask_plainly, _ask_asynchronously, _ask_on_trio])
def ask(request: pytest.FixtureRequest) -> Ask:
    return cast("Ask", request.param)


def test_a_call_is_signed_and_its_answer_read(ask: Ask) -> None:
    with run_scripted((200, ME)) as service:
        me = ask(service.url, lambda client: client.whoami())

    assert me == Whoami("ann", ["user"])
    assert [(one.method, one.target, one.headers["authorization"]) for one in service.asked] == [
        ("GET", "/muster/v1/whoami", "Bearer t0ken")
    ]


def test_a_dropped_connection_and_a_busy_service_are_tried_again_with_the_same_key(ask: Ask) -> None:
    answer = (409, {"code": "conflict", "error": "enough"})
    with run_scripted(DROP, BUSY, (502, b"<html>"), answer) as service, pytest.raises(Exception, match="enough"):
        ask(service.url, lambda client: client.submit_workflow(NewWorkflow(tasks=[])))

    assert len({one.headers["idempotency-key"] for one in service.asked}) == 1
    assert len({one.body for one in service.asked}) == 1
    assert len(service.asked) == 4


def test_what_is_refused_is_not_tried_again(ask: Ask) -> None:
    with run_scripted(MISSING) as service, pytest.raises(NotFoundError, match="no such workflow"):
        ask(service.url, lambda client: client.get_workflow("WF-1-2"))

    assert len(service.asked) == 1


def test_patience_has_an_end(ask: Ask) -> None:
    with run_scripted(BUSY) as service, pytest.raises(UnavailableError, match="closed for lunch"):
        ask(service.url, lambda client: client.whoami(), patience=Patience(first_s=0.0, later_s=0.0))

    assert len(service.asked) == 1


def test_where_nothing_listens_the_address_and_the_remedy_are_named(ask: Ask) -> None:
    url = f"http://127.0.0.1:{find_closed_port()}"

    with pytest.raises(UnavailableError, match=rf"{url} does not answer \(.*\): is `muster up` running"):
        ask(url, lambda client: client.whoami(), patience=Patience(first_s=0.2))


def test_a_redirect_does_not_carry_the_token_elsewhere(ask: Ask) -> None:
    with (
        run_scripted((200, ME)) as elsewhere,
        run_scripted((302, b""), headers={"Location": elsewhere.url}) as service,
        pytest.raises(RejectedError, match="302"),
    ):
        ask(service.url, lambda client: client.whoami())

    assert elsewhere.asked == []


def test_an_answer_of_another_program_is_told_as_such(ask: Ask) -> None:
    with run_scripted((200, b"<html>Welcome!</html>")) as service, pytest.raises(UnavailableError, match="not one of"):
        ask(service.url, lambda client: client.whoami())


def test_a_step_is_repeated_with_its_number(ask: Ask) -> None:
    with run_scripted(DROP, (200, Consumed([], [], drained=True))) as service:
        ask(service.url, lambda client: client.step_consumer("C1", Consume(call=3, ack=[("EV-1", 2)])))

    assert [msgspec.json.decode(one.body)["call"] for one in service.asked] == [3, 3]


def test_publishing_and_its_last_batch(ask: Ask) -> None:
    answers = [(200, {"events": ["EV-1", "EV-2"], "duplicates": 0, "closed": False})]
    answers += [(200, {"events": ["EV-3"], "duplicates": 1, "closed": True})]
    with run_scripted(*answers) as service:
        done = ask(service.url, lambda client: client.publish("WF-1-2", "in", [1, 2, 3], batch=2, close=True))

    assert (done.events, done.duplicates, done.closed) == (3, 1, True)
    assert [msgspec.json.decode(one.body).get("close", False) for one in service.asked] == [False, True]


LEASED = LeasedEvent("EV-1", 1, 1, 5, "json", msgspec.Raw(b'{"a":1}'))
CONSUMING = [
    (201, {"consumer": "C1", "lease_s": 60.0}),
    (200, Consumed([LEASED], [], drained=False)),
    (200, Consumed([], ["done"], drained=True)),
    (200, {}),
]


def test_consuming_with_either_client() -> None:
    async def consume(url: str) -> list[LeasedEvent]:
        async with AsyncClient(url) as client:
            return [event async for event in client.consume("WF-1-2", "out")]

    with run_scripted(*CONSUMING) as one, Client(one.url) as client:
        plainly = list(client.consume("WF-1-2", "out"))
    with run_scripted(*CONSUMING) as other:
        asynchronously = anyio.run(consume, other.url)

    assert [event.event for event in plainly] == [event.event for event in asynchronously] == ["EV-1"]
    assert [asked.body for asked in one.asked] == [asked.body for asked in other.asked]
    assert msgspec.json.decode(one.asked[2].body)["ack"] == [["EV-1", 1]]


def test_leaving_a_consumer_early_closes_it_with_either_client() -> None:
    async def take_one(url: str) -> None:
        async with AsyncClient(url) as client, contextlib.aclosing(client.consume("WF-1-2", "out")) as events:
            await anext(events)

    answers = [CONSUMING[0], CONSUMING[1], (200, {})]
    with (
        run_scripted(*answers) as one,
        Client(one.url) as client,
        contextlib.closing(client.consume("WF-1-2", "out")) as events,
    ):
        next(events)
    with run_scripted(*answers) as other:
        anyio.run(take_one, other.url)

    for service in (one, other):
        assert [asked.target.rsplit("/", 1)[1] for asked in service.asked] == ["consumers", "step", "close"]


def test_exporting_goes_over_all_pages_and_takes_nothing_with_either_client() -> None:
    async def export(url: str) -> list[EventWithBody]:
        async with AsyncClient(url) as client:
            return [event async for event in client.export_events("WF-1-2", queue="out", state="dead")]

    rows = [
        EventWithBody(f"EV-{number}", "out", "dead", 1, None, None, "json", msgspec.Raw(b"1.10")) for number in range(3)
    ]
    pages = [(200, EventBodyPage(rows[:2], "EV-1")), (200, EventBodyPage(rows[2:], None))]
    with run_scripted(*pages) as one, Client(one.url) as client:
        plainly = list(client.export_events("WF-1-2", queue="out", state="dead"))
    with run_scripted(*pages) as other:
        asynchronously = anyio.run(export, other.url)

    assert [(event.event, bytes(event.body)) for event in plainly] == [(row.event, b"1.10") for row in rows]
    assert [event.event for event in asynchronously] == [row.event for row in rows]
    for service in (one, other):
        assert [asked.target for asked in service.asked] == [
            "/muster/v1/workflows/WF-1-2/events?bodies=true&queue=out&state=dead&limit=1000",
            "/muster/v1/workflows/WF-1-2/events?bodies=true&queue=out&state=dead&after=EV-1&limit=1000",
        ]


def test_a_query_goes_over_all_pages_up_to_its_limit_with_either_client() -> None:
    async def ask(url: str) -> list[FoundPage]:
        async with AsyncClient(url) as client:
            return [page async for page in client.query_pages("tasks", {"a": 1}, projection=["b"], limit=5)]

    pages = [FoundPage([{"b": 1}, {"b": 2}], "c1"), FoundPage([], "c2"), FoundPage([{}, {}, {}], "c3")]
    answers = [(200, page) for page in pages]
    with run_scripted(*answers) as one, Client(one.url) as client:
        plainly = list(client.query_pages("tasks", {"a": 1}, projection=["b"], limit=5))
    with run_scripted(*answers) as other:
        asynchronously = anyio.run(ask, other.url)

    assert plainly == asynchronously == pages
    for service in (one, other):
        assert [asked.target for asked in service.asked] == ["/muster/v1/query/tasks"] * 3
        sent = [msgspec.json.decode(asked.body) for asked in service.asked]
        assert sent == [
            {"query": {"a": 1}, "projection": ["b"], "limit": 5},
            {"query": {"a": 1}, "projection": ["b"], "limit": 3, "after": "c1"},
            {"query": {"a": 1}, "projection": ["b"], "limit": 3, "after": "c2"},
        ]


def test_a_query_without_a_limit_ends_with_the_last_page_and_leaving_it_asks_for_no_more() -> None:
    pages = [FoundPage([{}], "c1"), FoundPage([{}], None)]
    with run_scripted(*((200, page) for page in pages)) as service, Client(service.url) as client:
        found = list(client.query_pages("workflows", newest_first=True))
        sent = [msgspec.json.decode(asked.body) for asked in service.asked]
    with (
        run_scripted((200, pages[0])) as other,
        Client(other.url) as client,
        contextlib.closing(client.query_pages("workflows")) as left,
    ):
        next(left)

    assert found == pages
    assert sent == [{"newest_first": True}, {"newest_first": True, "after": "c1"}]
    assert len(other.asked) == 1


def test_leaving_an_export_early_asks_for_no_more() -> None:
    row = EventWithBody("EV-1", "out", "done", 1, None, None, "json", msgspec.Raw(b"1"))
    with (
        run_scripted((200, EventBodyPage([row, row], "EV-1"))) as service,
        Client(service.url) as client,
        contextlib.closing(client.export_events("WF-1-2")) as events,
    ):
        next(events)

    assert len(service.asked) == 1


def test_no_rendering_of_a_client_shows_the_token() -> None:
    with Client("http://127.0.0.1:1", "s3cret") as client:
        assert "s3cret" not in f"{client!r} {client}"
