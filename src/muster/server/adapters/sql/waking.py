"""How do waiters learn of a commit? Bells in this process; NOTIFY between replicas, coalesced, after the commit, never inside it."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

import anyio
import asyncpg

from muster.server.adapters.sql.faults import BROKEN

CHANNEL = "muster"
COALESCE_S = 0.01
"""NOTIFY at most this often from one process."""
PAYLOAD_BYTES_MAX = 7000
RECONNECT_S = 1.0


class Bell:
    """One waiter."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def ring(self) -> bool:
        """Ring it. False: it had rung already and nobody has looked since, so this ring would be lost on it."""
        if self._event.is_set():
            return False
        self._event.set()
        return True

    async def wait(self, timeout_s: float) -> bool:
        if timeout_s > 0:  # a look alone costs next to nothing: every call of a worker makes one
            with anyio.move_on_after(timeout_s):
                await self._event.wait()
        rung = self._event.is_set()
        self._event = anyio.Event()
        return rung


class Bells:
    """A `Waking` of one event loop. First come, first woken: of many that wait for a queue, as many wake as events came."""

    def __init__(self) -> None:
        self._bells: dict[str, deque[Bell]] = {}
        self.on_commit: Callable[[Iterable[str]], None] | None = None
        """Told of the topics of this process's commits, to tell other replicas."""

    @contextlib.contextmanager
    def listen(self, *topics: str) -> Iterator[Bell]:
        bell = Bell()
        for topic in topics:
            self._bells.setdefault(topic, deque()).append(bell)
        try:
            yield bell
        finally:
            for topic in topics:
                waiting = self._bells[topic]
                waiting.remove(bell)
                if not waiting:
                    del self._bells[topic]

    def wake(self, topic: str, *, bells: int | None = None) -> None:
        waiting = self._bells.get(topic)
        if not waiting:
            return
        left = len(waiting) if bells is None else bells
        for bell in list(waiting):
            if left <= 0:
                return
            if bell.ring():
                left -= 1
                # Behind those that have not been woken: the next event is for somebody else.
                waiting.remove(bell)
                waiting.append(bell)

    def wake_after_commit(self, topics: Iterable[str]) -> None:
        """Wake all who wait for the topics, here and on other replicas. Called in the event loop."""
        topics = tuple(topics)
        for topic in topics:
            self.wake(topic)
        if topics and self.on_commit is not None:
            self.on_commit(topics)


Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


class PostgresBridge:
    """Carries topics between replicas: what commits here is notified, what is notified elsewhere rings the bells here."""

    def __init__(self, bells: Bells, connect: Connect, *, token: str) -> None:
        self._bells = bells
        self._connect = connect
        self._token = token  # our own notifications come back to us, and are known by it
        self._topics: dict[str, None] = {}
        self._news = asyncio.Event()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Bridge until the end of the block."""
        self._bells.on_commit = self._note
        raised: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self._run)
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below, as it is: the group would wrap it up
                raised = error
            finally:
                self._bells.on_commit = None
                group.cancel_scope.cancel()
        if raised is not None:
            raise raised

    def _note(self, topics: Iterable[str]) -> None:
        self._topics.update(dict.fromkeys(topics))
        self._news.set()

    async def _run(self) -> None:
        while True:  # until cancelled; a lost connection is opened again, and the nets of the daemons cover the gap
            try:
                self._connection = await self._connect()
                await self._connection.add_listener(CHANNEL, self._hear)
                await self._tell(self._connection)
            except (asyncpg.PostgresError, *BROKEN):
                await anyio.sleep(RECONNECT_S)
            finally:
                if self._connection is not None:
                    with anyio.CancelScope(shield=True), contextlib.suppress(Exception):  # it may be broken already
                        await self._connection.close(timeout=2)
                    self._connection = None

    async def _tell(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        while True:  # until cancelled, or the connection is lost
            with anyio.move_on_after(5.0):
                await self._news.wait()
            self._news.clear()
            if connection.is_closed():
                raise asyncpg.InterfaceError("the listening connection was closed")
            topics, self._topics = self._topics, {}
            for payload in _cut(topics):
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, f"{self._token} {payload}")
            await anyio.sleep(COALESCE_S)

    def _hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        token, *topics = str(payload).split(" ")
        if token != self._token:
            for topic in topics:
                self._bells.wake(topic)


def _cut(topics: Iterable[str]) -> Iterator[str]:
    """Payloads of topics, each within the limit of NOTIFY."""
    payload = ""
    for topic in topics:
        if payload and len(payload) + len(topic) > PAYLOAD_BYTES_MAX:
            yield payload
            payload = ""
        payload = f"{payload} {topic}" if payload else topic
    if payload:
        yield payload
