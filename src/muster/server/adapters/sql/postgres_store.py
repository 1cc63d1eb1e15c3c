"""How does the store run on PostgreSQL? Each transaction is a plain function on SQLAlchemy's asyncpg connection."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import anyio
import anyio.lowlevel
import structlog
from sqlalchemy import Connection, func, literal, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from muster.domain.errors import UnavailableError
from muster.domain.ids import EventIds
from muster.server.adapters.sql import eras, replicas
from muster.server.adapters.sql.faults import database_errors, is_lock_not_available, is_lost, is_worth_another_try
from muster.server.adapters.sql.partitions import make_coming_partitions
from muster.server.adapters.sql.postgres_groups import TOO_LONG, WAIT_S_MAX, GroupCommitter
from muster.server.adapters.sql.rows import AloneError, Session, ask_postgres_clock
from muster.server.adapters.sql.sqlite_store import find_or_make_secret
from muster.server.adapters.sql.transaction import do, do_together
from muster.server.adapters.sql.waking import Bells
from muster.server.ports.store import Transaction

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import IsolationLevel
    from sqlalchemy.ext.asyncio import AsyncEngine

log = structlog.get_logger()

T = TypeVar("T")
Work: TypeAlias = Callable[[Transaction], object]

TRIES = 8
"""A transaction that others keep undoing is given up after so many tries."""
ALONE_MAX = 2
"""Works of spoilt groups that are carried out at a time: the others need connections, too."""
_SECRET_LOCK = 0x73656372


class PostgresStore:
    """See `muster.server.ports.store.Store`.

    A transaction that has begun is ended: a caller that is cancelled meanwhile goes when it is over. Breaking off in the middle of a
    statement costs the connection. What a transaction may take is bounded by the connections' settings.
    """

    def __init__(self, engine: "AsyncEngine", ids: EventIds, bells: Bells, *, token: str) -> None:
        self._engine = engine
        self._ids = ids
        self._bells = bells
        self._token = token
        self.retries = 0
        """Transactions that were undone because of others, and tried again."""
        self.lock_timeouts = 0
        """Those that were given up because others held a lock for too long."""
        self._groups = GroupCommitter(self._commit_group, self._write_alone)
        self._alone = anyio.CapacityLimiter(ALONE_MAX)

    @property
    def waiting(self) -> int:
        """Works of groups that wait."""
        return self._groups.waiting

    @property
    def connections_busy(self) -> int:
        """Connections in use."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout()

    async def write(self, work: Callable[[Transaction], T], *, group: str | None = None) -> T:
        if group is None:
            return await self._write(work)
        await anyio.lowlevel.checkpoint_if_cancelled()
        with anyio.CancelScope(shield=True):
            value: T = await self._groups.carry_out(group, work)
        return value

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        def run(connection: Connection) -> tuple[T, dict[str, None]]:
            session = Session(connection, self._ids, ask_postgres_clock)
            return do(session, work), session.topics

        value, topics = await self._run(run)
        self._bells.wake_after_commit(topics)
        return value

    async def _commit_group(self, works: Sequence[Work]) -> Sequence[object]:
        """Give what each work returned or raised. Those of a transaction that one of them spoilt go their own ways. Where the database did
        not answer, or a row was not to be had, which is the same one for all of them, all are told.
        """
        has_begun = False

        def run(connection: Connection) -> tuple[Sequence[object], dict[str, None]]:
            nonlocal has_begun
            session = Session(connection, self._ids, ask_postgres_clock, is_shared=True)
            session.now()
            has_begun = True
            return do_together(session, works), session.topics

        try:
            try:
                outcomes, topics = await self._try(run)
            except UnavailableError as error:
                if has_begun or not is_lost(error.__cause__):
                    raise
                # The connection had gone while nobody used it, so nothing was done.
                outcomes, topics = await self._try(run)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - whose it is, each one's own transaction tells
            log.debug("works go their own ways", works=len(works), reason=type(error).__name__)
            return [AloneError() for _ in works]
        self._bells.wake_after_commit(topics)
        return outcomes

    async def _write_alone(self, work: Work) -> object:
        with anyio.move_on_after(WAIT_S_MAX) as scope:
            await self._alone.acquire()
        if scope.cancelled_caught:
            raise UnavailableError(TOO_LONG)
        try:
            return await self._write(work)
        finally:
            self._alone.release()

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._read(work, isolation_level="REPEATABLE READ")

    async def look(self, work: Callable[[Transaction], T]) -> T:
        return await self._read(work, isolation_level="AUTOCOMMIT")

    async def _read(self, work: Callable[[Transaction], T], *, isolation_level: "IsolationLevel") -> T:
        await anyio.lowlevel.checkpoint_if_cancelled()
        with anyio.CancelScope(shield=True), database_errors():
            async with self._engine.connect() as connection:
                reading = await connection.execution_options(isolation_level=isolation_level, postgresql_readonly=True)
                value = await reading.run_sync(lambda core: do(Session(core, self._ids, ask_postgres_clock), work))
        return value

    async def check(self) -> None:
        await self.look(lambda tx: tx.now())

    async def get_secret(self, name: str) -> bytes:
        def run(connection: Connection) -> bytes:
            connection.execute(select(func.pg_advisory_xact_lock(literal(_SECRET_LOCK))))
            return find_or_make_secret(connection, name)

        return await self._run(run)

    async def begin_service(self, *, lease_s: float) -> None:
        def run(connection: Connection) -> None:
            replicas.prolong_sessions(
                connection, token=self._token, lease_s=lease_s, now=ask_postgres_clock(connection)
            )

        await self._run(run)

    async def heartbeat(self) -> None:
        def run(connection: Connection) -> None:
            now = ask_postgres_clock(connection)
            replicas.keep_node(connection, token=self._token, now=now)
            make_coming_partitions(connection, now=now)
            known = eras.find_era(connection)
            if known is None or known.identity != eras.find_identity(connection):  # a standby took over, for one
                replicas.lock(connection)
                eras.keep_era(connection, now=now)

        await self._run(run)

    async def _run(self, work: Callable[[Connection], T]) -> T:
        await anyio.lowlevel.checkpoint_if_cancelled()
        with anyio.CancelScope(shield=True):
            value = await self._try(work)
        return value  # noqa: RET504 - for mypy, a scope may swallow what it is left by

    async def _try(self, work: Callable[[Connection], T]) -> T:
        """Commit the work, again where the database undid it because of others."""
        with database_errors():
            for tried in range(1, TRIES):
                try:
                    return await self._commit(work)
                except DBAPIError as error:
                    self.lock_timeouts += is_lock_not_available(error)
                    if not is_worth_another_try(error):
                        raise
                    self.retries += 1
                await anyio.sleep(0.002 * 2**tried)  # the other one ends meanwhile
            return await self._commit(work)

    async def _commit(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)
