"""What may a use case touch? The repositories over one transaction."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from sqlalchemy import func, select

from muster.domain.errors import MusterError
from muster.domain.sharing import Share
from muster.server.adapters.sql.answers import SqlAnswers
from muster.server.adapters.sql.askings import SqlAskings
from muster.server.adapters.sql.attempt_logs import SqlAttemptLogs
from muster.server.adapters.sql.census import SqlCensus
from muster.server.adapters.sql.events import SqlEvents
from muster.server.adapters.sql.files import SqlFiles
from muster.server.adapters.sql.finder import SqlFinder
from muster.server.adapters.sql.holders import SqlHolders
from muster.server.adapters.sql.hosts import SqlHosts
from muster.server.adapters.sql.mq import SqlMqGroups, SqlPublishedKeys
from muster.server.adapters.sql.outbox import SqlOutbox
from muster.server.adapters.sql.queues import SqlQueues
from muster.server.adapters.sql.removed import SqlRemoved
from muster.server.adapters.sql.replicas import list_nodes
from muster.server.adapters.sql.retention import SqlRetention
from muster.server.adapters.sql.rounds import SqlRounds
from muster.server.adapters.sql.rows import AloneError, Session
from muster.server.adapters.sql.taskforces import SqlTaskforces
from muster.server.adapters.sql.worker_orders import SqlWorkerOrders
from muster.server.adapters.sql.workflows import SqlWorkflows
from muster.server.ports.store import Transaction

T = TypeVar("T")


class SqlTransaction:
    """See `muster.server.ports.store.Transaction`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def workflows(self) -> SqlWorkflows:
        return SqlWorkflows(self._session)

    @cached_property
    def taskforces(self) -> SqlTaskforces:
        return SqlTaskforces(self._session)

    @cached_property
    def finder(self) -> SqlFinder:
        return SqlFinder(self._session)

    @cached_property
    def queues(self) -> SqlQueues:
        return SqlQueues(self._session)

    @cached_property
    def events(self) -> SqlEvents:
        return SqlEvents(self._session)

    @cached_property
    def attempt_logs(self) -> SqlAttemptLogs:
        return SqlAttemptLogs(self._session)

    @cached_property
    def files(self) -> SqlFiles:
        return SqlFiles(self._session)

    @cached_property
    def holders(self) -> SqlHolders:
        return SqlHolders(self._session)

    @cached_property
    def hosts(self) -> SqlHosts:
        return SqlHosts(self._session)

    @cached_property
    def answers(self) -> SqlAnswers:
        return SqlAnswers(self._session)

    @cached_property
    def askings(self) -> SqlAskings:
        return SqlAskings(self._session)

    @cached_property
    def worker_orders(self) -> SqlWorkerOrders:
        return SqlWorkerOrders(self._session)

    @cached_property
    def outbox(self) -> SqlOutbox:
        return SqlOutbox(self._session)

    @cached_property
    def mq_groups(self) -> SqlMqGroups:
        return SqlMqGroups(self._session)

    @cached_property
    def published_keys(self) -> SqlPublishedKeys:
        return SqlPublishedKeys(self._session)

    @cached_property
    def retention(self) -> SqlRetention:
        return SqlRetention(self._session)

    @cached_property
    def removed(self) -> SqlRemoved:
        return SqlRemoved(self._session)

    @cached_property
    def rounds(self) -> SqlRounds:
        return SqlRounds(self._session)

    @cached_property
    def census(self) -> SqlCensus:
        return SqlCensus(self._session)

    def now(self) -> float:
        return self._session.now()

    def get_share(self) -> Share:
        own = self._session.ids.node
        return Share(own, list_nodes(self._session.core, now=self.now())) if self._session.is_postgres else Share(own)

    def take_turn(self, name: str) -> None:
        if self._session.is_postgres:  # on SQLite there is one writer
            self._session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))

    def wake(self, topic: str) -> None:
        self._session.wake(topic)


def do(session: Session, work: Callable[[Transaction], T]) -> T:
    """Run a work, and every statement that it left for the end."""
    value = work(SqlTransaction(session))
    session.finish()
    return value


def do_together(session: Session, works: Sequence[Callable[[Transaction], object]]) -> Sequence[object]:
    """Run some works, one after the other; gives what each returned, or what it raised before it had any effect: an error of ours, or
    `AloneError`.

    Raises what a work raised that is anything else, or had an effect: then nothing of any may be kept.
    """
    outcomes: list[object] = []
    for work in works:
        effects = session.effects
        try:
            outcomes.append(work(SqlTransaction(session)))
        except (MusterError, AloneError) as error:
            if session.effects != effects:
                raise
            outcomes.append(error)
    session.finish()
    return outcomes
