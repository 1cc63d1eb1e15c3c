"""Does the whole agent, with real workers and the real service, start, adopt, stop, and leave nothing behind?"""

# ruff: noqa: ASYNC110, ASYNC240  # small local files; the service and processes ring no bell here

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from muster.client.asynchronous import AsyncClient
from muster.client.shapes.events import NewEventBody, Publish
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.workflows import TaskforceView
from muster.domain.errors import ConflictError, NotFoundError
from muster.server.app import serve
from muster.settings.parts import ServerSettings, SiteSettings
from muster.site.adapters.processes.procfs import list_processes, read_variable
from muster.site.app import run_agent

pytestmark = [pytest.mark.anyio, pytest.mark.system]

DEADLINE_S = 60.0
PROGRAM = """
import sys, anyio
from functools import partial
from muster.settings.parts import SiteSettings
from muster.site.app import run_agent
settings = SiteSettings.model_validate_json(sys.argv[1])
anyio.run(partial(run_agent, settings, on_ready=partial(print, "ready", flush=True), stop_workers=sys.argv[2] == "stop"))
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the service knows no other


@dataclass
class Running:
    """A service, and what an agent of it needs."""

    client: AsyncClient
    settings: SiteSettings

    async def submit(self, **fields: object) -> str:
        """Submit a workflow of one task; returns its taskforce."""
        given: dict[str, object] = {
            "cluster_locations": ["local"],
            "task_image": "",
            "task_args": "cp {{INFILE}} {{OUTFILE}}",
            "input_queue_aliases": ["in"],
            "output_queue_aliases": ["out"],
            "n_workers": 2,
        }
        task = NewTask(**(given | fields))  # type: ignore[arg-type]
        view = await self.client.submit_workflow(NewWorkflow([task], public_queue_aliases=["in", "out"]))
        return view.taskforces[0].taskforce_uuid

    async def wait_for(self, taskforce: str, condition: Callable[[TaskforceView], object]) -> TaskforceView:
        with anyio.fail_after(DEADLINE_S):
            while not condition(view := await self.client.get_taskforce(taskforce)):
                await anyio.sleep(0.02)
        return view

    def alive(self, taskforce: str) -> dict[str, str]:
        """Start number of each living worker, by proc."""
        found = [
            (
                read_variable(variables, "MUSTER_WORKER_PROC") or "",
                read_variable(variables, "MUSTER_WORKER_START") or "",
            )
            for process, variables in list_processes()
            if read_variable(variables, "MUSTER_TASKFORCE") == taskforce and process.session == process.pid
        ]
        assert len(dict(found)) == len(found), f"a proc runs twice: {found}"
        return dict(found)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    token_file = tmp_path / "token"
    settings = ServerSettings.model_validate(
        {
            "database_url": f"sqlite:///{tmp_path / 'muster.db'}",
            "token_file": token_file,
            "locations": {"local": {"schedd": "local"}},
        }
    )
    urls: list[str] = []
    ready = anyio.Event()

    def on_ready(url: str) -> None:
        urls.append(url)
        ready.set()

    async def run() -> None:
        await serve(settings, on_ready=on_ready, handle_signals=False)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(DEADLINE_S):
            await ready.wait()
        site = SiteSettings.model_validate(
            {
                "name": f"site-{uuid.uuid4().hex[:8]}",
                "url": urls[0],
                "token_file": token_file,
                "directory": tmp_path / "site",
                "report_interval_s": 0.05,
                "worker_restart_s": 0.05,
                "worker_starts_max": 3,
                "stop_grace_s": 1.0,
                "containers": "none",
            }
        )
        async with AsyncClient(urls[0], token_file.read_text().strip()) as client:
            yield Running(client, site)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def agent(settings: SiteSettings, *, stop_workers: bool = True) -> AsyncIterator[None]:
    """An agent in this process; leaving cancels it, as `muster up` does."""
    ready = anyio.Event()

    async def run() -> None:
        await run_agent(settings, on_ready=ready.set, handle_signals=False, stop_workers=stop_workers)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        with anyio.fail_after(DEADLINE_S):
            await ready.wait()
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def agent_process(settings: SiteSettings, how: str) -> AsyncIterator["subprocess.Popen[str]"]:
    """An agent as a process of its own, ready."""
    command = [sys.executable, "-c", PROGRAM, settings.model_dump_json(), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        try:
            for line in iter(process.stdout.readline, ""):
                if line == "ready\n":
                    break
            yield process
        finally:
            process.kill()


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(DEADLINE_S):
        while not condition():
            await anyio.sleep(0.02)


async def test_events_are_worked_off_and_an_abort_leaves_nothing(running: Running) -> None:
    async with agent(running.settings):
        taskforce = await running.submit()
        view = await running.wait_for(taskforce, lambda one: one.workers == 2)
        events = [NewEventBody(body=msgspec.Raw(b"%d" % number)) for number in range(20)]
        await running.client.publish_events(view.workflow_id, "in", Publish(events, close=True))
        with anyio.fail_after(DEADLINE_S):
            while (account := await running.client.get_account(view.workflow_id)).done != 20:
                await anyio.sleep(0.05)
        assert account.adds_up
        await running.wait_for(taskforce, lambda one: one.compound_statuses == {"RUNNING": {"Tasking": 2}})

        await running.client.abort_workflow(view.workflow_id)

        view = await running.wait_for(taskforce, lambda one: one.phase == "condor-complete")
        assert running.alive(taskforce) == {}
        await until(lambda: not list((running.settings.directory / "journal").glob("*.json")))
    # A worker that hears of the end from the service before its agent signals it ends by itself.
    assert set(view.compound_statuses) <= {"REMOVED", "COMPLETED"}
    assert sum(sum(by_status.values()) for by_status in view.compound_statuses.values()) == 2


async def test_a_killed_agents_workers_are_taken_over(running: Running) -> None:
    async with agent_process(running.settings, "leave") as process:
        taskforce = await running.submit()
        await running.wait_for(taskforce, lambda one: one.workers == 2)
        process.kill()
    before = running.alive(taskforce)

    async with agent(running.settings):
        await running.wait_for(taskforce, lambda one: one.compound_statuses == {"RUNNING": {"Tasking": 2}})
        after = running.alive(taskforce)
        await running.client.abort_workflow((await running.client.get_taskforce(taskforce)).workflow_id)
        await running.wait_for(taskforce, lambda one: one.phase == "condor-complete")

    assert before == after == {"0": "0", "1": "0"}
    assert running.alive(taskforce) == {}


@pytest.mark.parametrize(
    ("how", "left", "later"),
    [("leave", {"0": "0", "1": "0"}, {"0": "0", "1": "0"}), ("stop", {}, {"0": "1", "1": "1"})],
)
async def test_a_signal_leaves_workers_running_or_stops_them_and_the_next_start_goes_on(
    running: Running, how: str, left: dict[str, str], later: dict[str, str]
) -> None:
    async with agent_process(running.settings, how) as process:
        taskforce = await running.submit()
        await running.wait_for(taskforce, lambda one: one.workers == 2)
        process.send_signal(signal.SIGTERM)
        status = await anyio.to_thread.run_sync(process.wait)
    after_the_end = running.alive(taskforce)

    async with agent(running.settings):
        await until(lambda: running.alive(taskforce) == later)
        await running.wait_for(taskforce, lambda one: one.phase == "condor-submit")

    assert (status, after_the_end) == (0, left)
    assert running.alive(taskforce) == {}


async def test_a_task_with_an_image_is_refused_and_its_user_sees_why(running: Running) -> None:
    async with agent(running.settings):
        taskforce = await running.submit(task_image="docker://alpine", task_args="true")
        with anyio.fail_after(DEADLINE_S):
            while not (
                troubles := (
                    await running.client.get_errors((await running.client.get_taskforce(taskforce)).workflow_id)
                ).taskforces
            ):
                await anyio.sleep(0.05)

    assert "no container runtime here" in troubles[0].text
    assert "docker://alpine" in troubles[0].text


async def test_a_directory_has_one_agent(running: Running) -> None:
    async with agent(running.settings):
        with pytest.raises(ConflictError, match="another agent"):
            await run_agent(running.settings, handle_signals=False)


async def test_a_missing_token_is_named(running: Running, tmp_path: Path) -> None:
    settings = running.settings.model_copy(update={"token_file": tmp_path / "no-token"})

    with pytest.raises(NotFoundError, match="no-token"):
        await run_agent(settings, handle_signals=False)


async def test_a_token_that_the_service_does_not_know_is_told_with_its_file(
    running: Running, tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    file = tmp_path / "old-token"
    file.write_text("not-this-one\n")

    async with agent(running.settings.model_copy(update={"token_file": file})):
        await until(lambda: any(one.get("doing") == "claiming" for one in logged))

    [told] = [one["error"] for one in logged if one.get("doing") == "claiming"]
    assert told.endswith(f"(the token is from MUSTER_SITE_TOKEN_FILE {file})")


async def test_no_secret_is_left_where_others_can_read_it(running: Running) -> None:
    async with agent(running.settings):
        taskforce = await running.submit()
        await running.wait_for(taskforce, lambda one: one.workers == 2)
        enrol = json.loads((running.settings.directory / "clusters" / taskforce / "enrol.json").read_text())
        token = running.settings.token_file.read_text().strip()
        holders = [
            path
            for path in running.settings.directory.rglob("*")
            if path.is_file() and any(secret.encode() in path.read_bytes() for secret in (enrol["secret"], token))
        ]
        said = [
            Path(f"/proc/{process.pid}/cmdline").read_bytes() + variables
            for process, variables in list_processes()
            if read_variable(variables, "MUSTER_TASKFORCE") == taskforce
        ]

    assert [path.name for path in holders] == ["enrol.json"]
    assert len(said) >= 2
    assert [text for text in said if enrol["secret"].encode() in text or token.encode() in text] == []
