"""How do the agent's parts come together? The composition root of `muster site`."""

import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import anyio
import structlog

from muster.client.asynchronous import AsyncClient
from muster.client.patience import Patience
from muster.domain.errors import ConflictError, Finding, InvalidError, UnavailableError
from muster.settings.parts import SiteSettings
from muster.site.adapters.journal.files import FileJournal
from muster.site.adapters.standing.file import LOCK, JsonStandingFile
from muster.site.daemons.claimer import Claimer
from muster.site.daemons.explainer import Explainer
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.order_taker import OrderTaker
from muster.site.daemons.reconciler import Reconciler
from muster.site.daemons.reporter import StatusReporter
from muster.site.daemons.standing import Daemons, StandingWriter
from muster.site.daemons.tender import PoolTender
from muster.site.daemons.trouble import TroubleLog
from muster.site.daemons.watcher import PoolWatcher
from muster.site.pools import OpenPool, open_pool
from muster.site.ports.journal import Remembered
from muster.site.ports.pool import Pool
from muster.site.services.parts import Parts
from muster.site.services.stop import LEAVE_S
from muster.site.sign_in import find_token

log = structlog.get_logger("muster.site")

OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What a disk says that is full or broken; any other error means that the folder is not one to be used."""
PATIENCE = Patience(first_s=2.0, later_s=2.0)
"""The agent's loops are patient themselves, each in its way; the client only bridges a dropped connection."""


async def run_agent(
    settings: SiteSettings,
    *,
    on_ready: Callable[[], None] | None = None,
    handle_signals: bool = True,
    stop_workers: bool = False,
    hurry: anyio.Event | None = None,
    on_stopping: Callable[[], None] | None = None,
) -> None:
    """Run the agent until it is cancelled or, with `handle_signals`, until SIGTERM or SIGINT.

    Args:
        on_ready: called once the agent has taken over what it left and claims orders; the service need not answer yet.
        stop_workers: at the end stop every worker and see that none is left; the next start goes on with them.
            Without it they work on, and the next start takes them over.
        on_stopping: called when a signal asks it to end.
        hurry: set it, or send a second signal, to kill workers that are still using their grace.

    Raises:
        ConflictError: another agent uses the directory.
        NotFoundError: the file of the token, or of the secret, is missing.
        InvalidError: one of them, or the directory, cannot be used.
        UnavailableError: the disk refuses; or, with `stop_workers`, a process would not die (the text names it).
    """
    hurry = hurry or anyio.Event()
    directory = settings.directory.resolve()
    token, token_from = find_token(settings)
    with _hold(directory):
        opened = await open_pool(settings, directory)
        try:
            journal = FileJournal(directory / "journal")
            remembered = await journal.read()
            async with (
                AsyncClient(settings.url, token, patience=PATIENCE, token_from=token_from) as client,
                anyio.create_task_group() as tasks,
            ):
                if handle_signals:
                    tasks.start_soon(_cancel_on_signal, tasks.cancel_scope, on_stopping)
                _tell_damaged(opened, remembered)
                parts = Parts(
                    opened.pool,
                    journal,
                    client,
                    agent=settings.name,
                    workers_max=opened.workers_max,
                    has_containers=opened.has_containers,
                )
                await _run_daemons(settings, parts, remembered, on_ready)
        finally:
            with anyio.CancelScope(shield=True):
                if stop_workers:
                    grace_s = settings.stop_grace_s + LEAVE_S
                    await _stop_workers(opened.pool, grace_s, hurry, handle_signals=handle_signals)
                await opened.close()


def _tell_damaged(opened: OpenPool, remembered: Remembered) -> None:
    for path in opened.damaged:
        log.error("a cluster's folder is damaged and was moved aside", path=str(path))
    for name in remembered.damaged:
        log.error("a record of the journal is damaged and was moved aside", path=name)


async def _run_daemons(
    settings: SiteSettings, parts: Parts, remembered: Remembered, on_ready: Callable[[], None] | None
) -> None:
    trouble = TroubleLog()
    keeper = TaskforceKeeper(parts, trouble)
    claimer = Claimer(
        parts.service,
        keeper,
        trouble,
        agent=settings.name,
        locations=settings.locations,
        lease_s=settings.claim_lease_s,
    )
    reporter = StatusReporter(parts, keeper, trouble, interval_s=settings.report_interval_s)
    standing = StandingWriter(
        parts,
        Daemons(keeper, claimer, reporter, trouble),
        JsonStandingFile(settings.directory.resolve()),
        pool=settings.pool,
        url=settings.url,
        locations=settings.locations,
        version=version("muster-compute"),
    )
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run, remembered.records)
        await tasks.start(claimer.run)
        await tasks.start(PoolWatcher(parts.pool, keeper, trouble).run)
        await tasks.start(PoolTender(parts.pool, trouble).run)
        await tasks.start(reporter.run)
        await tasks.start(Explainer(parts, keeper, trouble, find_seen=reporter.find_seen).run)
        await tasks.start(OrderTaker(parts, trouble).run)
        await tasks.start(Reconciler(parts, keeper, trouble).run)
        await tasks.start(standing.run)
        log.info("ready", agent=settings.name, url=settings.url, taskforces=len(remembered.records))
        if on_ready is not None:
            on_ready()


@contextlib.contextmanager
def _hold(directory: Path) -> Iterator[None]:
    """Be the only agent of a directory; the lock goes with the process, however it ends.

    Raises:
        ConflictError: another agent has it.
        InvalidError: it cannot be made, or not be written.
        UnavailableError: its disk is full, or broken: it may do later.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / LOCK).open("a+")
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror or str(error)
        if error.errno in OF_DISK:
            raise UnavailableError(f"{directory}: {reason}") from error
        place = "" if error.filename in (None, str(directory)) else f" ({error.filename})"
        fault = f"{directory} cannot be used: {reason}{place}; name a folder that this user can make and write, on a local disk"
        raise InvalidError([Finding("directory", fault)]) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise ConflictError(
                f"another agent (process {holder}) uses {directory}: stop it, or name another directory with "
                "MUSTER_SITE_DIRECTORY"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


async def _cancel_on_signal(scope: anyio.CancelScope, on_stopping: Callable[[], None] | None = None) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for signum in received:
            log.info("asked to end", signal=signum.name)
            if on_stopping is not None:
                on_stopping()
            scope.cancel()
            return


async def _stop_workers(pool: Pool, grace_s: float, hurry: anyio.Event, *, handle_signals: bool) -> None:
    """Stop every worker; a second signal, or `hurry`, ends the grace."""
    trouble: UnavailableError | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as grace:
            tasks.start_soon(_cancel_on, hurry, grace)
            if handle_signals:
                tasks.start_soon(_cancel_on_signal, grace)
            trouble = await _pause(pool, grace_s)
        if grace.cancelled_caught:
            trouble = await _pause(pool, 0)
        tasks.cancel_scope.cancel()
    if trouble is not None:
        raise trouble
    log.info("no worker is left")


async def _cancel_on(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _pause(pool: Pool, grace_s: float) -> UnavailableError | None:
    try:
        await pool.pause(grace_s=grace_s)
    except UnavailableError as error:
        return error  # raised once it is outside of the task group, which would wrap it
    return None
