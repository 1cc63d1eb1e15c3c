"""Does a stream come piece by piece over a real socket, and end with its client, or with the service?"""

import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry, Gauge

from contracts.store_bench import until
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.domain.outbox import Notice
from muster.server.app import open_parts, run_parts
from muster.server.doors.event_stream import EventStream
from muster.server.listener import bind
from muster.server.ports.store import Transaction
from muster.server.services import stream_workflow
from muster.server.services.parts import Parts
from muster.settings.parts import LocationSettings, ServerSettings
from server.test_stream import Beside

pytestmark = pytest.mark.anyio

NEW = NewWorkflow(
    tasks=[NewTask(cluster_locations=["local"], task_image="", task_args="true", input_queue_aliases=["in"])],
    public_queue_aliases=["in"],
)


@dataclass
class Service:
    """A running service, a client of it, and a workflow."""

    http: httpx.AsyncClient
    parts: Parts
    beside: Beside
    path: str
    is_over: anyio.Event
    scope: anyio.CancelScope

    async def finish(self) -> None:
        answer = await self.http.post(f"{self.path}/actions/finish")
        assert answer.is_success, answer.text

    async def tell(self, count: int, *, size_bytes: int = 0) -> None:
        """Notices, with this much text each."""
        workflow_id = self.path.rpartition("/")[2]

        def work(tx: Transaction) -> None:
            for number in range(count):
                data = {"n": number, "text": "x" * size_bytes}
                tx.outbox.insert(Notice(workflow_id, "test.notice", tx.now(), data))  # an old one would be purged
            tx.wake(f"workflow:{workflow_id}")

        await self.parts.store.write(work)

    async def until_open(self, count: int) -> None:
        async def is_so() -> bool:
            return f"muster_streams {count}.0\n" in (await self.http.get("/metrics")).text

        await until(is_so)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Service]:
    chosen = ServerSettings(
        database_url=f"sqlite:///{folder / 'muster.db'}",
        token_file=folder / "token",
        locations={"local": LocationSettings(schedd="local")},
    )
    with bind("127.0.0.1", 0) as listener:
        async with open_parts(chosen) as opened, anyio.create_task_group() as group:
            beside = Beside(opened.store)
            parts = replace(opened, store=beside)
            is_ready, is_over, scope = anyio.Event(), anyio.Event(), anyio.CancelScope()
            urls: list[str] = []

            def tell(url: str) -> None:
                urls.append(url)
                is_ready.set()

            async def run() -> None:
                with scope:
                    await run_parts(parts, listener, tell, handle_signals=False)
                is_over.set()

            group.start_soon(run)
            await is_ready.wait()
            headers = {"authorization": f"Bearer {chosen.token_file.read_text().strip()}"}
            async with httpx.AsyncClient(base_url=urls[0], headers=headers, timeout=20) as http:
                made = await http.post("/muster/v1/workflows", content=msgspec.json.encode(NEW))
                path = f"/muster/v1/workflows/{made.json()['workflow_id']}"
                yield Service(http, parts, beside, path, is_over, scope)
            scope.cancel()
            await is_over.wait()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    with anyio.fail_after(60):
        async with running(tmp_path) as service:
            yield service


async def read_until(pieces: AsyncIterator[str], what: str) -> str:
    text = ""
    async for piece in pieces:
        text += piece
        if what in text:
            break
    return text


async def test_what_happens_arrives_while_the_stream_is_open(service: Service) -> None:
    async with service.http.stream("GET", f"{service.path}/stream") as stream:
        pieces = stream.aiter_text()
        first = await read_until(pieces, "workflow.created")
        await service.until_open(1)
        await service.tell(1)
        then = await read_until(pieces, "test.notice")
    await service.until_open(0)

    assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")
    assert first.startswith("retry: 1000\n\nevent: progress\ndata: {")
    assert "id: " in then
    assert service.parts.lookouts._followed == {}


async def test_an_error_is_told_before_a_stream_begins(service: Service) -> None:
    answer = await service.http.get("/muster/v1/workflows/WF-aaaaaaaa-bbbbbbbb/stream")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_streams_end_in_good_order_with_the_service(service: Service) -> None:
    ends: list[str] = []

    async def listen() -> None:
        async with service.http.stream("GET", f"{service.path}/stream") as stream:
            ends.append("".join([piece async for piece in stream.aiter_text()]))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(listen)
        await service.until_open(20)
        service.scope.cancel()
        await service.is_over.wait()

    assert len(ends) == 20  # an answer that breaks off would have raised
    assert all("workflow.created" in one and one.endswith("\n\n") for one in ends)


async def test_a_stream_that_was_told_everything_is_closed_and_not_opened_again(service: Service) -> None:
    await service.finish()
    answer = await service.http.get(f"{service.path}/stream")
    end = answer.text.split("\n\n")[-2]
    again = await service.http.get(f"{service.path}/stream", params={"after": end.split("\n")[0].removeprefix("id: ")})

    assert end.split("\n")[1] == "event: end"
    assert (again.status_code, again.content) == (204, b"")


async def test_a_client_that_takes_nothing_makes_the_service_read_no_further(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_workflow, "PAGE", 10)
    pages = 400
    await service.tell(10 * pages, size_bytes=10_000)
    async with taking_nothing(service):
        read_by_then = service.beside.reads
    await service.until_open(0)

    assert read_by_then < pages / 2


async def test_a_client_that_takes_nothing_does_not_keep_the_service_from_stopping(service: Service) -> None:
    await service.tell(1000, size_bytes=10_000)
    async with taking_nothing(service):
        service.scope.cancel()
        await service.is_over.wait()


@asynccontextmanager
async def taking_nothing(service: Service) -> AsyncIterator[None]:
    """A client that has asked for the stream and does not read it, so that the service can send no more."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((service.http.base_url.host, service.http.base_url.port))
        token = service.http.headers["authorization"]
        raw.sendall(f"GET {service.path}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n".encode())
        await service.until_open(1)

        async def is_stuck() -> bool:
            before = service.beside.reads
            await anyio.sleep(0.5)
            return service.beside.reads == before

        await until(is_stuck)
        yield


async def test_the_next_piece_is_asked_for_when_the_last_one_is_taken() -> None:
    made: list[int] = []
    taken: list[bytes] = []
    may_take = anyio.Semaphore(0)

    async def pieces() -> AsyncGenerator[bytes]:
        for number in range(100):
            made.append(number)
            yield b"%d" % number

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await may_take.acquire()
            taken.append(message["body"])

    async def receive() -> Any:
        await anyio.sleep_forever()

    gauge = Gauge("streams", "", registry=CollectorRegistry())
    async with anyio.create_task_group() as group:
        group.start_soon(EventStream(pieces(), gauge), {}, receive, send)  # type: ignore[arg-type]
        await anyio.wait_all_tasks_blocked()
        assert made == [0]
        for _ in range(3):
            may_take.release()
        await anyio.wait_all_tasks_blocked()
        assert made == [0, 1, 2, 3]
        for _ in range(98):
            may_take.release()

    assert taken == [b"%d" % number for number in range(100)] + [b""]


async def test_a_client_that_takes_nothing_for_long_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.server.doors.piece_stream.SEND_S_MAX", 0.1)
    is_closed = anyio.Event()

    async def pieces() -> AsyncGenerator[bytes]:
        try:
            yield b""
        finally:
            is_closed.set()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    async def receive() -> Any:
        await anyio.sleep_forever()

    with anyio.fail_after(10):
        await EventStream(pieces(), Gauge("streams", "", registry=CollectorRegistry()))({}, receive, send)  # type: ignore[arg-type]
    assert is_closed.is_set()
