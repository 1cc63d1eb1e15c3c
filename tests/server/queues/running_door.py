"""What is under test? Our door over a real database, with a workflow in it, and everything that time and sign-in need."""

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import anyio
import httpx
from litestar import Litestar

from muster.domain.caller import Caller, Role
from muster.domain.errors import UnauthenticatedError
from muster.domain.ids import make_queue_id, make_task_id, make_taskforce_uuid, make_workflow_id
from muster.domain.queue import Counts, Queue
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow, WorkflowState
from muster.server.adapters.sql.database import Database, open_database
from muster.server.app import make_app
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts, random_hex
from muster.server.services.worker_desk import WorkerDesk
from muster.server.services.worker_token import enrolment_secret
from muster.settings.parts import ServerSettings
from muster.worker import protocol

OWNER, STRANGER, OPERATOR = "ada", "eve", "olga"
KEY = bytes(range(32))
Json = Any


class Tokens:
    """An Identity of three people, whose tokens are their names."""

    async def identify(self, token: str) -> Caller:
        known = {OWNER: {Role.USER}, STRANGER: {Role.USER}, OPERATOR: {Role.USER, Role.OPERATOR}}
        if token not in known:
            raise UnauthenticatedError("this token is not known")
        return Caller(token, frozenset(known[token]))

    async def refresh(self) -> None:
        """They stay who they are."""


@dataclass
class Clock:
    """The service's clock, which tests set forward. Seconds since the epoch."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Layout:
    """A workflow: source → a task → sink; `hidden` is read too, by no person."""

    workflow_id: str
    task_id: str
    taskforce_uuid: str
    queues: Mapping[str, Queue]


@dataclass
class Door:
    """The door, called as people and workers call it."""

    http: httpx.AsyncClient
    parts: Parts
    clock: Clock
    layout: Layout
    calls: dict[str, int] = field(default_factory=dict)

    async def ask(
        self, method: str, path: str, *, token: str | None = OWNER, body: Json = None, headers: Mapping[str, str] = {}
    ) -> httpx.Response:
        """Call a route of `/muster/v1`. `body`: bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", **headers}
        if token is not None:
            sent["authorization"] = f"Bearer {token}"
        return await self.http.request(method, f"/muster/v1{path}", content=content, headers=sent)

    async def get(self, path: str, **how: Any) -> Json:
        return _ok(await self.ask("GET", path, **how))

    async def post(self, path: str, body: Json = None, **how: Any) -> Json:
        return _ok(await self.ask("POST", path, body=body, **how))

    def of_workflow(self, rest: str) -> str:
        return f"/workflows/{self.layout.workflow_id}{rest}"

    async def publish(self, *bodies: Json, alias: str = "source", close: bool = False, **how: Any) -> list[str]:
        events = [{"body": body} for body in bodies]
        answer = await self.post(self.of_workflow(f"/queues/{alias}/events"), {"events": events, "close": close}, **how)
        ids: list[str] = answer["events"]
        return ids

    def enrolment(self, **changes: Json) -> dict[str, Json]:
        taskforce_uuid = changes.get("taskforce", self.layout.taskforce_uuid)
        return {
            "protocol": protocol.VERSION,
            "taskforce": taskforce_uuid,
            "secret": enrolment_secret(KEY, taskforce_uuid),
            "cluster": "77",
            "proc": 0,
            "start": 1,
            "host": "node-1.example.org",
            "site": "test",
            "worker_version": "0.1.0",
            **changes,
        }

    async def enrol(self, **changes: Json) -> "Worker":
        answer = await self.post("/worker/enrol", self.enrolment(**changes), token=None)
        return Worker(self, answer)

    async def counts(self, alias: str) -> Counts:
        number = self.layout.queues[alias].number
        return (await self.parts.store.read(lambda tx: tx.queues.counts([number])))[number]

    async def deactivate(self, how: WorkflowState = WorkflowState.FINISHED) -> None:
        """End the workflow as the service that finishes workflows does, without a word to its workers: rows and a ring."""

        def work(tx: Transaction) -> None:
            workflow = tx.workflows.get(self.layout.workflow_id, lock=True)
            tx.workflows.update(replace(workflow, state=how, ended_at=tx.now(), ended_by=OWNER))
            taskforce = tx.taskforces.get(self.layout.taskforce_uuid)
            tx.taskforces.update(replace(taskforce, phase=Phase.PENDING_STOPPER))
            tx.wake(f"workflow:{workflow.workflow_id}")

        await self.parts.store.write(work)


@dataclass
class Worker:
    """A worker that numbers its calls."""

    door: Door
    enrolled: Json
    call: int = 0

    @property
    def token(self) -> str:
        return str(self.enrolled["token"])

    async def ask(self, word: str, body: Json) -> httpx.Response:
        return await self.door.ask("POST", f"/worker/{word}", token=self.token, body=body)

    async def step(self, *finished: Json, want: int = 0, wait_s: float = 0.0, again: bool = False) -> Json:
        self.call += not again
        body = {"call": self.call, "finished": list(finished), "want": want, "wait_s": wait_s}
        return _ok(await self.ask("step", body))

    async def lease(self, want: int = 1) -> list[Json]:
        events: list[Json] = (await self.step(want=want))["events"]
        return events


def done(event: Json, *results: Json) -> Json:
    """An attempt at a leased event that ended with results."""
    return {
        "event": event["event"],
        "fence": event["fence"],
        "outcome": "done",
        "results": [{"kind": "json", "body": result} for result in results],
        "error": None,
        "wall_s": 0.5,
    }


def failed(event: Json, text: str = "it broke") -> Json:
    """An attempt that failed."""
    error = {"text": text, "fingerprint": text, "stdout_tail": "out", "stderr_tail": "err", "exit_code": 3}
    return {"event": event["event"], "fence": event["fence"], "outcome": "failed", "error": error, "wall_s": 0.1}


def released(event: Json) -> Json:
    """An attempt given back."""
    return {"event": event["event"], "fence": event["fence"], "outcome": "released"}


def as_bytes(data: bytes) -> Json:
    """A body of bytes, as messages carry it."""
    return {"kind": "bytes", "body": base64.b64encode(data).decode()}


async def wait_for(look: Callable[[], Awaitable[object]], what: str, *, deadline_s: float = 20.0) -> None:
    """Look until it is so; AssertionError after the deadline."""
    try:
        with anyio.fail_after(deadline_s):
            while not await look():  # noqa: ASYNC110 - what is waited for is in the database
                await anyio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {deadline_s:g} s: {what}") from None


@contextlib.asynccontextmanager
async def open_door(url: str, **settings: Json) -> AsyncIterator[Door]:
    """A door over a fresh database that holds one workflow."""
    clock = Clock()
    async with open_database(url) as database:
        parts = make_parts(database, clock, **{"database_url": url, **settings})
        layout = await insert_workflow(parts)
        async with call_app(make_app(parts)) as http:
            yield Door(http, parts, clock, layout)


def make_parts(database: Database, clock: Clock, **settings: Json) -> Parts:
    """The parts of a service whose clock is ours."""
    return Parts(
        settings=ServerSettings(**settings),
        store=database.store,
        engine=database.engine,
        waking=database.waking,
        identity=Tokens(),
        locations={},
        worker_key=KEY,
        version="0",
        desk=WorkerDesk(clock=clock),
    )


@contextlib.asynccontextmanager
async def call_app(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """Calls in this event loop, so that many may be under way at once."""
    transport = httpx.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://door", timeout=60) as http:
        yield http


async def insert_workflow(
    parts: Parts,
    *,
    owner: str = OWNER,
    attempts: int = 2,
    lease_s: float = 60.0,
    finish_when_done: bool = False,
    phase: Phase = Phase.CONDOR_SUBMIT,
    inputs: Sequence[str] = ("source", "hidden"),
    outputs: Sequence[str] = ("sink",),
    brake_attempts: int = 100,
) -> Layout:
    """Store a workflow of one task and one taskforce, as the service that submits workflows leaves it."""
    workflow_id = make_workflow_id(now_s=1_800_000_000, random=random_hex(8))
    task_id = make_task_id(workflow_id, random=random_hex(8))
    taskforce_uuid = make_taskforce_uuid(task_id, random=random_hex(8))

    def work(tx: Transaction) -> dict[str, Queue]:
        now = tx.now()
        aliases = list(dict.fromkeys([*inputs, *outputs]))
        queues = {
            alias: Queue(
                number,
                make_queue_id(random=random_hex(20)),
                workflow_id,
                alias,
                is_public=alias != "hidden",
                is_input=alias in inputs,
                is_output=alias in outputs,
                closed_at=None,
                attempts=attempts,
                lease_s=lease_s,
                retry_s=0.0,
            )
            for number, alias in zip(tx.queues.next_numbers(len(aliases)), aliases, strict=True)
        }
        directive = TaskDirective(
            task_id,
            workflow_id,
            now,
            0,
            cluster_locations=("local",),
            task_image="",
            task_args="python task.py {{INFILE}} {{OUTFILE}}",
            task_env={"COLOUR": "blue"},
            init_image="",
            init_args="",
            init_env={},
            input_queues=tuple(queues[alias].queue_id for alias in inputs),
            output_queues=tuple(queues[alias].queue_id for alias in outputs),
            attempts=attempts,
            infile_ext="json",
            outfile_ext="json",
            brake_attempts=brake_attempts,
        )
        tx.workflows.insert(
            Workflow(workflow_id, now, 50, owner, "test", finish_when_done=finish_when_done), [directive]
        )
        tx.queues.insert(list(queues.values()))
        taskforce = Taskforce(
            taskforce_uuid,
            task_id,
            workflow_id,
            now,
            50,
            "local",
            "local",
            1,
            worker_config={"n_cores": 2, "worker_memory": "512M", "worker_disk": "2G"},
            pilot_config={"environment": {"MUSTER_TASK_GPUS": "2"}},
            phase=phase,
        )
        entry = PhaseLogEntry(phase, now, was_successful=True, source_event_time=None, source_entity="test", context="")
        tx.taskforces.insert(taskforce, entry)
        return queues

    return Layout(workflow_id, task_id, taskforce_uuid, await parts.store.write(work))


def _ok(response: httpx.Response) -> Json:
    assert response.status_code < 300, f"{response.status_code}: {response.text}"
    return response.json()
