"""Does the service start, answer on a real socket, and stop in good order?"""

import os
import signal
import time
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import structlog

from muster.domain.errors import InvalidError
from muster.server.adapters.sql.sqlite_engine import SqliteEngine
from muster.server.app import serve
from muster.server.services import tell_displaced
from muster.server.services.parts import Parts
from muster.settings.parts import LocationSettings, ServerSettings

pytestmark = pytest.mark.anyio

TOLD = "no agent can be told of taskforces"
ROLES = ["operator", "system-tms", "system-wms", "user"]


def settings(folder: Path, **changes: Any) -> ServerSettings:
    return ServerSettings(
        database_url=f"sqlite:///{folder / 'muster.db'}",
        token_file=folder / "token",
        locations={"local": LocationSettings(schedd="local")},
        **changes,
    )


class Running:
    """A service in a task of the test."""

    def __init__(self, chosen: ServerSettings, *, handle_signals: bool = False) -> None:
        self.chosen = chosen
        self.handle_signals = handle_signals
        self.url = ""
        self.is_ready, self.is_over = anyio.Event(), anyio.Event()
        self.scope = anyio.CancelScope()

    async def run(self) -> None:
        def tell(url: str) -> None:
            self.url = url
            self.is_ready.set()

        with self.scope:
            await serve(self.chosen, on_ready=tell, handle_signals=self.handle_signals)
        self.is_over.set()

    def client(self) -> httpx.AsyncClient:
        token = self.chosen.token_file.read_text().strip()
        return httpx.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {token}"}, timeout=20)


async def test_it_answers_on_the_port_that_it_tells_and_keeps_what_it_knows(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    workflow_id = ""
    for life in range(2):
        running = Running(chosen)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(running.run)
                await running.is_ready.wait()
                async with running.client() as http:
                    assert (await http.get("/readyz")).json()["status"] == "ready"
                    assert (await http.get("/muster/v1/whoami")).json()["roles"] == ROLES
                    if life == 0:
                        new = {
                            "tasks": [
                                {
                                    "cluster_locations": ["local"],
                                    "task_image": "",
                                    "task_args": "true",
                                    "input_queue_aliases": ["in"],
                                }
                            ],
                            "public_queue_aliases": ["in"],
                        }
                        workflow_id = (await http.post("/muster/v1/workflows", json=new)).json()["workflow_id"]
                    shown = await http.get(f"/muster/v1/workflows/{workflow_id}")
                    assert shown.json()["state"] == "active"
                running.scope.cancel()
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(running.url)


async def test_orders_at_a_location_that_was_taken_out_of_the_settings_are_told_at_the_start(tmp_path: Path) -> None:
    task = {"cluster_locations": ["local"], "task_image": "", "task_args": "true", "input_queue_aliases": ["in"]}
    first = Running(settings(tmp_path))
    with anyio.fail_after(20):
        with structlog.testing.capture_logs() as logged:
            async with anyio.create_task_group() as group:
                group.start_soon(first.run)
                await first.is_ready.wait()
                async with first.client() as http:
                    new = {"tasks": [task], "public_queue_aliases": ["in"]}
                    made = (await http.post("/muster/v1/workflows", json=new)).json()
                    path = f"/muster/v1/taskforces/{made['taskforces'][0]['taskforce_uuid']}"
                    while (await http.get(path)).json()["phase"] != "pending-starter":  # noqa: ASYNC110
                        await anyio.sleep(0.02)
                first.scope.cancel()
        assert not [one for one in logged if one["event"] == TOLD]

        second = Running(settings(tmp_path).model_copy(update={"locations": {"lab": LocationSettings(schedd="lab")}}))
        with structlog.testing.capture_logs() as logged:
            async with anyio.create_task_group() as group:
                group.start_soon(second.run)
                while not (told := [one for one in logged if one["event"] == TOLD]):  # noqa: ASYNC110
                    await anyio.sleep(0.02)
                second.scope.cancel()

    [warning] = told
    assert warning["why"] == "the location local is not among MUSTER_LOCATIONS of this service any more"
    assert (warning["log_level"], warning["location"], warning["waiting"]) == ("warning", "local", 1)


async def test_a_parked_call_is_answered_when_the_service_stops(tmp_path: Path) -> None:
    running = Running(settings(tmp_path))
    answers: list[httpx.Response] = []
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(running.run)
            await running.is_ready.wait()
            async with running.client() as http, anyio.create_task_group() as calls:

                async def park() -> None:
                    claim = {"agent": "a", "locations": ["local"], "wait_s": 20}
                    answers.append(await http.post("/muster/v1/site/claims", json=claim))

                calls.start_soon(park)
                await until_underway(running, 2)  # the parked call, and the one that asks
                begun = time.monotonic()
                running.scope.cancel()
                await running.is_over.wait()
    assert [one.status_code for one in answers] == [200]
    assert time.monotonic() - begun < 5


async def until_underway(running: Running, count: int) -> None:
    """The meters ring no bell, so they are read until they say it; the caller has set the deadline."""
    async with running.client() as http:
        while f"muster_requests_underway {count}.0" not in (await http.get("/metrics")).text:  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_sigterm_ends_it(tmp_path: Path) -> None:
    running = Running(settings(tmp_path), handle_signals=True)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(running.run)
            await running.is_ready.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await running.is_over.wait()
    assert not running.scope.cancelled_caught


async def test_sigterm_ends_it_while_it_looks_for_what_no_agent_can_be_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_looking = anyio.Event()

    async def look(_: Parts) -> None:
        is_looking.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(tell_displaced, "read_locations", look)
    running = Running(settings(tmp_path), handle_signals=True)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(running.run)
            await running.is_ready.wait()
            await is_looking.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            await running.is_over.wait()


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    first = Running(settings(tmp_path))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(first.run)
            await first.is_ready.wait()
            port = int(first.url.rpartition(":")[2])
            with pytest.raises(InvalidError, match=f"port: cannot listen on 127.0.0.1:{port}"):
                await serve(settings(tmp_path / "second", port=port), handle_signals=False)
            first.scope.cancel()


async def test_a_daemon_that_falls_takes_the_service_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SurpriseError(Exception):
        pass

    async def fall(_: SqliteEngine) -> int:
        raise SurpriseError

    monkeypatch.setattr(SqliteEngine, "fold", fall)
    with anyio.fail_after(20), pytest.raises(BaseExceptionGroup) as caught:
        await serve(settings(tmp_path), handle_signals=False)
    assert caught.value.subgroup(SurpriseError) is not None


async def test_a_body_over_the_limit_is_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    running = Running(settings(tmp_path))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(running.run)
            await running.is_ready.wait()
            async with running.client() as http:
                large = await http.post("/muster/v1/workflows", content=b"x" * (9 << 20))
                assert (large.status_code, large.json()["code"]) == (413, "too-large")

                async def chunks() -> Any:
                    for _ in range(9):
                        yield b"x" * (1 << 20)

                large = await http.post("/muster/v1/workflows", content=chunks())
                assert (large.status_code, large.json()["code"]) == (413, "too-large")
                assert (await http.get("/healthz")).status_code == 200
            running.scope.cancel()
