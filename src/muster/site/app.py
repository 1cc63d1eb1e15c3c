"""How do the agent's parts come together? The composition root of `muster site`."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from muster.client.asynchronous import AsyncClient
from muster.client.patience import Patience
from muster.domain.errors import ConflictError, Finding, InvalidError, UnavailableError
from muster.settings.parts import SiteSettings
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.journal.files import FileJournal
from muster.site.adapters.processes.cluster import WorkerSettings
from muster.site.adapters.processes.pool import ProcessPool
from muster.site.adapters.processes.restart import RestartPolicy
from muster.site.daemons.claimer import Claimer
from muster.site.daemons.keeper import TaskforceKeeper
from muster.site.daemons.reconciler import Reconciler
from muster.site.daemons.reporter import StatusReporter
from muster.site.daemons.trouble import TroubleLog
from muster.site.daemons.watcher import PoolWatcher
from muster.site.ports.journal import Remembered
from muster.site.services.parts import Parts
from muster.site.services.stop import LEAVE_S
from muster.site.sign_in import find_token
from muster.worker import settings as worker_settings
from muster.worker.bundle import build_bundle
from muster.worker.tools import find_tool

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
) -> None:
    """Run the agent until it is cancelled or, with `handle_signals`, until SIGTERM or SIGINT.

    Args:
        on_ready: called once the agent has taken over what it left and claims orders; the service need not answer yet.
        stop_workers: at the end stop every worker and see that none is left; the next start goes on with them.
            Without it they work on, and the next start takes them over.
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
        pool = await ProcessPool.open(directory, await anyio.to_thread.run_sync(_describe_workers, settings, directory))
        try:
            journal = FileJournal(directory / "journal")
            remembered = await journal.read()
            async with (
                AsyncClient(settings.url, token, patience=PATIENCE, token_from=token_from) as client,
                anyio.create_task_group() as tasks,
            ):
                if handle_signals:
                    tasks.start_soon(_cancel_on_signal, tasks.cancel_scope)
                _tell_damaged(pool, remembered)
                parts = Parts(
                    pool,
                    journal,
                    client,
                    agent=settings.name,
                    workers_max=settings.workers_max,
                    has_containers=find_container_tool(settings) is not None,
                )
                await _run_daemons(settings, parts, remembered, on_ready)
        finally:
            if stop_workers:
                with anyio.CancelScope(shield=True):
                    await _stop_workers(pool, settings.stop_grace_s + LEAVE_S, hurry, handle_signals=handle_signals)
            pool.close()


def _tell_damaged(pool: ProcessPool, remembered: Remembered) -> None:
    for path in pool.damaged:
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
    async with anyio.create_task_group() as tasks:
        await tasks.start(keeper.run, remembered.records)
        await tasks.start(claimer.run)
        await tasks.start(PoolWatcher(parts.pool, keeper, trouble).run)
        await tasks.start(StatusReporter(parts, keeper, trouble, interval_s=settings.report_interval_s).run)
        await tasks.start(Reconciler(parts, keeper, trouble).run)
        log.info("ready", agent=settings.name, url=settings.url, taskforces=len(remembered.records))
        if on_ready is not None:
            on_ready()


def find_container_tool(settings: SiteSettings) -> str | None:
    """The program with which the workers of this machine run images; None: they run none."""
    found = find_tool(settings.containers, os.environ)
    return None if found is None else found[1]


def _describe_workers(settings: SiteSettings, directory: Path) -> WorkerSettings:
    """What workers are told; the bundle is built here, once, so that a start costs nothing but the process."""
    tool = find_container_tool(settings) or worker_settings.NONE
    bwrap = shutil.which(worker_settings.BWRAP)
    images = {} if settings.image_dir is None else {worker_settings.IMAGE_DIR: str(settings.image_dir.resolve())}
    return WorkerSettings(
        command=(sys.executable, "-I", "-S", str(_place_bundle(directory / "bundle"))),
        environment={
            worker_settings.URL: settings.url,
            worker_settings.SITE: settings.name,
            worker_settings.OFFLINE_S: f"{settings.worker_offline_s:g}",
            worker_settings.GRACE_S: f"{settings.stop_grace_s:g}",
            worker_settings.CONTAINERS: tool,
            worker_settings.MOUNTS_ALLOWED: ",".join(settings.mounts),
            worker_settings.ISOLATION: settings.isolation,
            worker_settings.HIDDEN: ",".join(_list_hidden(settings, directory)),
            worker_settings.WRITABLE: ",".join(settings.writable) or worker_settings.NONE,
            worker_settings.IMAGES_KEPT_S: f"{settings.images_kept_s:g}",
            **images,
        },
        restart=RestartPolicy(
            starts_max=settings.worker_starts_max,
            first_s=settings.worker_restart_s,
            delay_s_max=settings.worker_restart_s_max,
            healthy_s=settings.worker_healthy_s,
        ),
        programs=() if bwrap is None else (str(Path(bwrap).absolute().parent),),
    )


def _list_hidden(settings: SiteSettings, directory: Path) -> list[str]:
    """What isolated tasks do not see."""
    own = [directory, settings.token_file, *filter(None, [settings.oidc_client_secret_file])]
    hidden = dict.fromkeys([*settings.hidden, *(str(path.resolve()) for path in own)])
    for path in hidden:
        if "," in path:  # the worker is told the list with commas in between
            log.warning("isolated tasks will see this path, for there is a comma in it", path=path)
    return [path for path in hidden if "," not in path]


def _place_bundle(folder: Path) -> Path:
    """Build the worker's file under a name of its content: running workers go on reading the one they began with."""
    with disk_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / "draft.pyz"
        build_bundle(draft)
        place = folder / f"muster-worker-{hashlib.sha256(draft.read_bytes()).hexdigest()[:16]}.pyz"
        draft.replace(place)
        return place


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
        lock = (directory / "agent.lock").open("a+")
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


async def _cancel_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        async for signum in received:
            log.info("asked to end", signal=signum.name)
            scope.cancel()
            return


async def _stop_workers(pool: ProcessPool, grace_s: float, hurry: anyio.Event, *, handle_signals: bool) -> None:
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


async def _pause(pool: ProcessPool, grace_s: float) -> UnavailableError | None:
    try:
        await pool.pause(grace_s=grace_s)
    except UnavailableError as error:
        return error  # raised once it is outside of the task group, which would wrap it
    return None
