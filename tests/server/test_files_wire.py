"""Do files pass over a real socket, piece by piece, with both clients, and is an answer broken off whose bytes are damaged?"""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from muster.client.asynchronous import AsyncClient
from muster.client.file_transfer import measure
from muster.client.shapes.files import FileView
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client
from muster.domain.errors import NotFoundError
from muster.server.app import open_parts, run_parts
from muster.server.listener import bind
from muster.settings.parts import LocationSettings, ServerSettings

pytestmark = pytest.mark.anyio

NEW = NewWorkflow(
    tasks=[NewTask(cluster_locations=["local"], task_image="", task_args="true", input_queue_aliases=["in"])],
    public_queue_aliases=["in"],
)
LARGE_BYTES = 40 << 20
GONE_BYTES_MAX = 16 << 20


@dataclass
class Service:
    """A running service and a workflow of it; `up` and `down` carry a file with one of the clients."""

    url: str
    token: str
    files_dir: Path
    workflow_id: str
    up: Callable[[Path], Awaitable[FileView]]
    down: Callable[[str, Path], Awaitable[None]]


@asynccontextmanager
async def serving(tmp_path: Path, database_url: str) -> AsyncIterator[tuple[str, str, Path]]:
    settings = ServerSettings(
        database_url=database_url,
        token_file=tmp_path / "token",
        files_dir=tmp_path / "files",
        locations={"local": LocationSettings(schedd="local")},
    )
    addresses: list[str] = []
    is_ready = anyio.Event()

    def note(url: str) -> None:
        addresses.append(url)
        is_ready.set()

    is_over, scope = anyio.Event(), anyio.CancelScope()
    with bind(settings.host, settings.port) as listener:
        async with open_parts(settings) as parts, anyio.create_task_group() as group:

            async def run() -> None:
                with scope:
                    await run_parts(parts, listener, note, handle_signals=False)
                is_over.set()

            group.start_soon(run)
            with anyio.fail_after(30):
                await is_ready.wait()
            try:
                yield addresses[0], (tmp_path / "token").read_text().strip(), tmp_path / "files"
            finally:
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await is_over.wait()


@pytest.fixture(params=["plain", "asynchronous"])
async def service(request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str) -> AsyncIterator[Service]:
    async with serving(tmp_path, sqlite_url) as (url, token, files_dir), AsyncClient(url, token) as client:
        workflow_id = (await client.submit_workflow(NEW)).workflow_id

        async def up(path: Path) -> FileView:
            return await client.upload_file(workflow_id, path)

        async def down(file: str, path: Path) -> None:
            await client.download_file(workflow_id, file, path)

        def plainly(use: Callable[[Client], Any]) -> Any:
            with Client(url, token) as plain:
                return use(plain)

        async def up_plainly(path: Path) -> FileView:
            found: FileView = await anyio.to_thread.run_sync(
                plainly, lambda plain: plain.upload_file(workflow_id, path)
            )
            return found

        async def down_plainly(file: str, path: Path) -> None:
            await anyio.to_thread.run_sync(plainly, lambda plain: plain.download_file(workflow_id, file, path))

        ways = (up_plainly, down_plainly) if request.param == "plain" else (up, down)
        yield Service(url, token, files_dir, workflow_id, *ways)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    with path.open("wb") as file:
        for number in range(LARGE_BYTES >> 20):
            file.write(bytes([number]) * (1 << 20))
    return path


async def test_a_large_file_goes_up_and_comes_down_and_is_never_whole_in_memory(
    service: Service, large: Path, tmp_path: Path
) -> None:
    tracemalloc.start()
    try:
        sent = await service.up(large)
        await service.down(sent.file, tmp_path / "fetched")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (sent.state, sent.size_bytes) == ("stored", LARGE_BYTES)
    assert measure(tmp_path / "fetched", "bytes") == measure(large, "bytes")
    assert peak_bytes < GONE_BYTES_MAX


async def test_a_file_that_is_there_is_not_sent_again(service: Service, large: Path) -> None:
    first = await service.up(large)
    [stored] = list(service.files_dir.rglob(first.file))
    before = stored.stat()

    assert await service.up(large) == first
    assert stored.stat().st_ino == before.st_ino


async def test_a_damaged_file_is_told_leaves_nothing_and_can_be_sent_again(
    service: Service, large: Path, tmp_path: Path
) -> None:
    sent = await service.up(large)
    [stored] = list(service.files_dir.rglob(sent.file))
    with stored.open("r+b") as file:
        file.seek(LARGE_BYTES // 2)
        file.write(b"damaged")
    folder = tmp_path / "fetched"
    folder.mkdir()

    # Broken off before its end; asked for again, the service knows why.
    with pytest.raises(NotFoundError, match="was damaged"):
        await service.down(sent.file, folder / "file")

    assert list(folder.iterdir()) == []
    assert (await service.up(large)).file == sent.file
    await service.down(sent.file, folder / "file")
    assert measure(folder / "file", "bytes") == measure(large, "bytes")


async def test_a_file_that_there_is_not_leaves_what_stood_in_its_place(service: Service, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("before")

    with pytest.raises(NotFoundError):
        await service.down("0" * 32, place)

    assert place.read_text() == "before"


async def test_a_refusal_before_the_body_is_read_is_heard_and_the_service_goes_on(
    service: Service, large: Path
) -> None:
    path = f"/muster/v1/workflows/{service.workflow_id}/files/{'0' * 32}"
    headers = {"authorization": f"Bearer {service.token}"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers, trust_env=False) as http:
        for _ in range(3):
            try:
                answer = await http.put(path, content=bytes(LARGE_BYTES))
            except httpx.TransportError:
                continue  # it was told while we sent, and the connection closed
            assert answer.status_code == 404
        assert (await http.get("/muster/v1/whoami")).is_success
