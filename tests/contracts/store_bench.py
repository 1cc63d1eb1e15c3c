"""What does a test of the store stand on? An open database of either kind, and values to put into it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio

from muster.domain.attempt import AttemptError, Outcome
from muster.domain.queue import Counts, Queue
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow
from muster.server.adapters.sql.database import Database, open_database
from muster.server.ports.events import NewEvent
from muster.server.ports.holders import Session
from muster.server.ports.queue_engine import Body, BodyKind, Finished, QueueEngine, Step, StepAnswer
from muster.server.ports.store import Store, Transaction

T = TypeVar("T")
LEASE_S = 30.0


@dataclass
class Bench:
    """An open database. `replica` opens it once more, as another service would (PostgreSQL only)."""

    url: str
    database: Database
    replica: Callable[[], AbstractAsyncContextManager[Database]]

    @property
    def store(self) -> Store:
        return self.database.store

    @property
    def engine(self) -> QueueEngine:
        return self.database.engine

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self.store.write(work)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self.store.read(work)

    async def add_queue(self, alias: str = "in", *, workflow_id: str = "WF-1", **changes: Any) -> int:
        """A queue of a workflow; returns its number."""

        def insert(tx: Transaction) -> int:
            [number] = tx.queues.next_numbers(1)
            tx.queues.insert([a_queue(number, alias=alias, workflow_id=workflow_id, **changes)])
            return number

        return await self.write(insert)

    async def publish(self, queue: int, *bodies: bytes) -> list[int]:
        """Publish events without keys; returns their numbers."""
        events = [an_event(body) for body in bodies]
        return [one.event for one in await self.write(lambda tx: tx.events.publish(queue, events))]

    async def enrol(self, taskforce_uuid: str = "TF-1", **changes: Any) -> int:
        """A live session of a worker; returns its number."""
        session = replace(A_SESSION, taskforce_uuid=taskforce_uuid, **changes)

        def insert(tx: Transaction) -> int:
            now = tx.now()
            return tx.holders.insert(replace(session, begun_at=now, until=session.until or now + LEASE_S))

        return await self.write(insert)

    async def step(self, holder: int, queue: int, *, call: int = 1, want: int = 0, **fields: Any) -> StepAnswer:
        step = Step(holder, call, [queue], fields.pop("outputs", ()), fields.pop("finished", ()), want, LEASE_S)
        return await self.engine.step(step)

    async def counts(self, queue: int) -> Counts:
        return (await self.read(lambda tx: tx.queues.counts([queue])))[queue]

    async def bury(self, queue: int, *, error: AttemptError | None = None) -> int:
        """Publish an event whose only attempt fails (the queue allows one); returns its number."""
        holder = await self.enrol()
        await self.publish(queue, b"1")
        [leased] = (await self.step(holder, queue, want=1)).leased
        await self.step(
            holder, queue, call=2, finished=[Finished(leased.event, leased.fence, Outcome.FAILED, error=error)]
        )
        await self.write(lambda tx: tx.holders.end([holder], reason="left"))
        return leased.event


@asynccontextmanager
async def open_bench(url: str) -> AsyncIterator[Bench]:
    async with open_database(url) as database:
        yield Bench(url, database, lambda: open_database(url))


async def until(look: Callable[[], Awaitable[object]], *, deadline_s: float = 30.0) -> None:
    """Look again and again, at something that another process or task does, until it is so. Raises TimeoutError."""
    with anyio.fail_after(deadline_s):
        while not await look():  # noqa: ASYNC110 - nobody would tell us
            await anyio.sleep(0.01)


A_WORKFLOW = Workflow("WF-1", 1000.5, 50, "ada", "sums", finish_when_done=False)
A_DIRECTIVE = TaskDirective(
    "TK-1",
    "WF-1",
    1000.5,
    0,
    ("local", "far"),
    "image:1",
    "cat {{INFILE}}",
    {"A": "1"},
    "init:1",
    "--init",
    {"B": "2"},
    ("a1",),
    ("a2", "a3"),
    attempts=7,
    timeout_s=1.5,
    warm=True,
    max_events=3,
    infile_ext="json",
    outfile_ext="npz",
    slots=2,
)
A_TASKFORCE = Taskforce(
    "TF-1", "TK-1", "WF-1", 1000.5, 50, "local", "schedd-1", 4, {"cores": 1}, {"tag": "x"}, Phase.PRE_MQ_ACTIVATION
)
A_SESSION = Session(0, "TF-1", None, "", "c1", 0, 1, 1, "host-1", "site-1", 0.0, 0.0)
AN_ENTRY = PhaseLogEntry(Phase.PRE_MQ_ACTIVATION, 1000.5, True, None, "USER", "Created.")


def a_workflow(workflow_id: str, **changes: Any) -> Workflow:
    return replace(A_WORKFLOW, workflow_id=workflow_id, **changes)


def a_taskforce(uuid: str, **changes: Any) -> Taskforce:
    return replace(A_TASKFORCE, taskforce_uuid=uuid, **changes)


def a_queue(number: int, **changes: Any) -> Queue:
    queue = Queue(number, f"a{number:020x}", "WF-1", "in", True, True, False, None, 5, LEASE_S, 0.0)
    return replace(queue, **changes)


def an_event(body: bytes = b"1", key: str | None = None, kind: BodyKind = BodyKind.JSON) -> NewEvent:
    return NewEvent(Body(kind, body), key)
