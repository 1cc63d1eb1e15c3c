"""How do the parts of the server come together? Adapters into services, routes into doors, daemons into one task group."""

import gc
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Never, Protocol, Self

import anyio
import structlog
from anyio.abc import TaskStatus
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide

from muster.client.shapes.message import Problem
from muster.domain.errors import Finding, InvalidError
from muster.domain.location import Agent, index_locations
from muster.domain.loopback import is_loopback
from muster.domain.queue_token import Broker
from muster.server.adapters.certificate_files.certificate import RELOAD_S, find_certificate
from muster.server.adapters.folder.files import open_folder
from muster.server.adapters.local_token.identity import LocalToken, read_or_make_token
from muster.server.adapters.no_sign_in.identity import NoSignIn
from muster.server.adapters.sql.database import open_database
from muster.server.check_settings import check_settings
from muster.server.daemons.count import count
from muster.server.daemons.finish import FLOOR_S, finish_those_drained
from muster.server.daemons.launch import FLOOR_S as LAUNCH_FLOOR_S
from muster.server.daemons.launch import activate_those_new, launch_those_activated
from muster.server.daemons.purge import purge_all
from muster.server.daemons.reap import reap_sessions
from muster.server.daemons.retry import FLOOR_S as RETRY_FLOOR_S
from muster.server.daemons.retry import requeue_due
from muster.server.daemons.rhythm import Every, WhenRung
from muster.server.daemons.sweep_files import sweep_all_files
from muster.server.daemons.watch_horizon import watch_horizon
from muster.server.doors import metrics
from muster.server.doors.access import guard
from muster.server.doors.documents import Documents, Door, make_closed_config
from muster.server.doors.errors import HANDLERS, UpstreamError
from muster.server.doors.ewms import routes as ewms
from muster.server.doors.ewms.versions import VERSIONS
from muster.server.doors.front import Front, Meters
from muster.server.doors.mqs import routes as mqs
from muster.server.doors.muster.admin import routes as admin
from muster.server.doors.muster.consumers import routes as consumers
from muster.server.doors.muster.events import routes as events
from muster.server.doors.muster.files import routes as files
from muster.server.doors.muster.health import routes as health
from muster.server.doors.muster.hosts import routes as hosts
from muster.server.doors.muster.limits import routes as limits
from muster.server.doors.muster.locations import routes as locations
from muster.server.doors.muster.queries import routes as queries
from muster.server.doors.muster.queues import routes as queues
from muster.server.doors.muster.sites import routes as sites
from muster.server.doors.muster.taskforces import routes as taskforces
from muster.server.doors.muster.tasks import routes as tasks
from muster.server.doors.muster.worker_orders import routes as worker_orders
from muster.server.doors.muster.workers import routes as workers
from muster.server.doors.muster.workflows import routes as workflows
from muster.server.http_server import HttpServer
from muster.server.listener import bind, render_url
from muster.server.ports.identity import Identity
from muster.server.services.keep_hosts import KEEP_S, keep_hosts
from muster.server.services.measures import MeasuredEngine, MeasuredStore, Measures
from muster.server.services.parts import Parts
from muster.server.services.publish_keys import TOPIC as KEYS
from muster.server.services.publish_keys import expire_keys, store_noted_keys
from muster.server.services.tell_displaced import tell_displaced
from muster.settings.parts import ServerSettings
from muster.settings.sign_in import SignIn, render_open_door

if TYPE_CHECKING:
    from muster.server.adapters.key_files.pair import KeyFiles

log = structlog.get_logger()

MUSTER_PREFIX = "/muster/v1"
START_LEASE_S = 60.0
"""Seconds that live sessions get at least when the first service starts: the lease clock stood still."""
BODY_BYTES_MAX = 1 << 20
"""A request's body where the route says nothing else."""
GARBAGE_MIN = 20_000
"""New objects that may be there before garbage is looked for."""
HEARTBEAT_S = 3.0
EXPIRY_S = 60.0
REFRESH_S = 300.0
"""Seconds between two looks at the keys of identity providers, which may have been withdrawn; new ones are found when they are used."""
HORIZON_S = 10.0

_OURS = (
    health,
    hosts,
    limits,
    locations,
    admin,
    workflows,
    tasks,
    taskforces,
    queries,
    sites,
    queues,
    events,
    consumers,
    workers,
    worker_orders,
    files,
)


class Daemon(Protocol):
    """Something that happens by itself."""

    @property
    def name(self) -> str: ...

    async def run(self, *, task_status: TaskStatus[None]) -> Never: ...


def _make_doors(parts: Parts) -> Mapping[str, Door]:
    """Every door by its name; it is named so in the description that it gives of itself."""
    ours = [handler for resource in _OURS for handler in resource.handlers]
    muster = Door("Muster", parts.version, {"/": health.at_root, MUSTER_PREFIX: ours}, Problem)
    upstream = {
        version.prefix: Door(
            "Muster for clients of the EWMS workflow management service",
            version.number,
            {version.prefix: ewms.make_handlers(version)},
            UpstreamError,
            is_upstream=True,
        )
        for version in VERSIONS
    }
    queues_upstream = {
        version.prefix: Door(
            "Muster for clients of the EWMS message queue service",
            version.number,
            {version.prefix: mqs.make_handlers(version), **version.around},
            UpstreamError,
            is_upstream=True,
        )
        for version in mqs.VERSIONS
    }
    return {health.NAME: muster, **upstream, **queues_upstream}


class _Routes(Router):
    """Some routes of one app. It is made for that one alone, so it need not be copied when that takes it in: a twentieth of a start."""

    def __deepcopy__(self, _memo: object) -> Self:
        return self


def make_app(parts: Parts) -> Litestar:
    """The routes of all doors over these parts."""
    meters = Meters()
    metrics.register(meters.registry, parts)
    doors = _make_doors(parts)
    app = Litestar(
        route_handlers=[
            _Routes(prefix, route_handlers=list(handlers))
            for door in doors.values()
            for prefix, handlers in door.routes.items()
        ],
        dependencies={"parts": Provide(lambda: parts, sync_to_thread=False)},
        guards=[guard],
        exception_handlers=HANDLERS,
        openapi_config=make_closed_config(),
        request_max_body_size=BODY_BYTES_MAX,
        state=State({"parts": parts, "meters": meters, "documents": Documents(doors)}),
        logging_config=None,
    )
    app.asgi_handler = Front(app.asgi_handler, meters)
    return app


def make_daemons(parts: Parts) -> Sequence[Daemon]:
    """Everything that happens by itself."""
    settings, store, engine, waking = parts.settings, parts.store, parts.engine, parts.waking
    net_s = settings.net_interval_s
    daemons: Sequence[Every | WhenRung] = (
        # A place among the replicas that was lost (the process slept longer than it lasts) is an error that ends the process: its event
        # numbers are no longer its own.
        Every(HEARTBEAT_S, "heartbeat", store.heartbeat),
        WhenRung(waking, "activate", "activation", net_s, partial(activate_those_new, parts), LAUNCH_FLOOR_S),
        WhenRung(waking, "launch", "launch control", net_s, partial(launch_those_activated, parts), LAUNCH_FLOOR_S),
        WhenRung(waking, "drain", "look for drained workflows", net_s, partial(finish_those_drained, parts), FLOOR_S),
        WhenRung(waking, "retry", "end of pauses", net_s, partial(requeue_due, engine), RETRY_FLOOR_S),
        Every(settings.reap_interval_s, "reaper of sessions", partial(reap_sessions, engine, waking)),
        Every(settings.fold_interval_s, "folding of counters", engine.fold),
        Every(settings.tend_interval_s, "tending of hot tables", engine.tend),
        WhenRung(waking, KEYS, "publishing of keys", net_s, partial(store_noted_keys, parts)),
        Every(EXPIRY_S, "expiry of keys", partial(expire_keys, parts)),
        Every(settings.purge_interval_s, "purge", partial(purge_all, parts)),
        Every(settings.file_sweep_interval_s, "sweep of files", partial(sweep_all_files, parts)),
        Every(REFRESH_S, "refresh of sign-in keys", parts.identity.refresh),
        Every(HORIZON_S, "look at the outbox's horizon", partial(watch_horizon, store, parts.horizon)),
        Every(KEEP_S, "keeping of hosts", partial(keep_hosts, parts)),
        Every(settings.count_interval_s, "count for the metrics", partial(count, store, parts.measures)),
    )
    return [_measured(one, parts.measures) for one in daemons]


def _measured(daemon: Every | WhenRung, measures: Measures) -> Daemon:
    """The daemon, whose passes are measured."""
    match daemon:
        case Every(interval_s, name, make_pass):
            return replace(daemon, make_pass=measures.watched(name, make_pass, interval_s=interval_s))
        case WhenRung(_, _, name, net_s, make_rung_pass):
            return replace(daemon, make_pass=measures.watched(name, make_rung_pass, interval_s=net_s))


@asynccontextmanager
async def open_parts(settings: ServerSettings) -> AsyncIterator[Parts]:
    """The parts over a database that is open and of this version's schema.

    Raises:
        UnavailableError: the database does not answer.
        TokenFileError: the token's file cannot be used.
        InvalidError: files of certificates, settings of the broker or its keys that do not do; every fault is a finding.
    """
    broker = settings.read_broker()
    queue_keys = await open_queue_keys(settings, broker)
    async with (
        open_identity(settings) as identity,
        open_database(
            settings.database_url,
            hot_connections=settings.postgres_hot_connections,
            is_upgraded=settings.upgrade_at_start,
        ) as database,
    ):
        measures = Measures()
        store = MeasuredStore(database.store, measures)
        await store.check()
        await store.begin_service(lease_s=START_LEASE_S)
        known = index_locations(settings.all_locations())
        parts = Parts(
            settings=settings,
            store=store,
            engine=MeasuredEngine(database.engine, measures),
            waking=database.waking,
            identity=identity,
            locations=known,
            worker_key=await store.get_secret("worker"),
            version=version("muster-compute"),
            broker=broker,
            queue_keys=queue_keys,
            files=None
            if settings.files_dir is None
            else open_folder(settings.files_dir, reserve_bytes=settings.file_reserve_bytes),
            measures=measures,
            use=database.use,
        )
        upstreams = [name for name, one in known.items() if one.agent is Agent.UPSTREAM]
        await parts.store.write(lambda tx: tx.mq_groups.settle(upstreams))
        await store_noted_keys(parts)
        yield parts


async def open_queue_keys(settings: ServerSettings, broker: Broker | None) -> "KeyFiles | None":
    """The keys that sign queue tokens; None where no files are named.

    Raises InvalidError when there is a broker and the files do not do; without one that is only told in the log.
    """
    if settings.key_files is None:
        return None
    from muster.server.adapters.key_files.pair import KeyFiles  # its cryptography takes long to load

    public, private = settings.key_files
    keys = KeyFiles(public=public, private=private)
    if broker is None:
        await keys.find_current()
    else:
        await keys.get_current()
    return keys


@asynccontextmanager
async def open_identity(settings: ServerSettings) -> AsyncIterator[Identity]:
    """What callers sign in by. Raises TokenFileError, InvalidError; a provider that does not answer is no error."""
    match settings.way_in:
        case SignIn.OIDC:
            from muster.server.adapters.oidc.identity import (
                open_oidc,
            )  # its cryptography takes a tenth of a second to load

            async with open_oidc(settings.all_issuers(), ca_file=settings.oidc_ca_file) as identity:
                yield identity
        case SignIn.LOCAL:
            yield LocalToken(read_or_make_token(settings.token_file))
        case SignIn.OFF:
            log.warning("sign-in is off: whoever reaches the service may do everything")
            yield NoSignIn()


async def serve(
    settings: ServerSettings,
    *,
    on_ready: Callable[[str], None] | None = None,
    handle_signals: bool = True,
    on_stopping: Callable[[], None] | None = None,
) -> None:
    """Run the service until a signal, or until it is cancelled; either way answers under way are finished first.

    Args:
        on_ready: called with the base URL once requests are answered.
        handle_signals: end at SIGTERM and SIGINT; only ever in the main thread.
        on_stopping: called when one of them came.

    Raises:
        UnavailableError: the database does not answer at the start.
        InvalidError: settings that do not do, or an address that cannot be listened on, which has an OSError as its cause; every fault is
            a finding.
        ExceptionGroup: a daemon met an error that it does not know; the service has stopped.
    """
    for remark in await check_settings(settings):
        log.warning("settings", remark=remark)
    with bind(settings.host, settings.port) as listener:
        if settings.way_in is SignIn.OFF and not is_loopback(listener.getsockname()[0]):  # a name that looked like one
            raise InvalidError([Finding("sign_in", render_open_door(str(listener.getsockname()[0])))])
        async with open_parts(settings) as parts:
            await run_parts(parts, listener, on_ready, handle_signals=handle_signals, on_stopping=on_stopping)


async def run_parts(
    parts: Parts,
    listener: socket.socket,
    on_ready: Callable[[str], None] | None,
    *,
    handle_signals: bool,
    on_stopping: Callable[[], None] | None = None,
) -> None:
    """As `serve`, over parts and a socket that are open. Says from then on when this process looks for garbage, and among what."""
    certificate = find_certificate(parts.settings.tls_certificate_file, parts.settings.tls_key_file)
    server = HttpServer(make_app(parts), certificate)
    is_over = anyio.Event()  # a signal came, or the HTTP server ended by itself
    async with anyio.create_task_group() as group:
        daemons = [*make_daemons(parts)]
        if certificate is not None:
            daemons.append(Every(RELOAD_S, "reload of the certificate", certificate.reload))
        for daemon in daemons:
            await group.start(daemon.run, name=daemon.name)
        if handle_signals and threading.current_thread() is threading.main_thread():
            await group.start(_await_signal, is_over, on_stopping)
        group.start_soon(server.run, listener, is_over)
        try:
            await server.is_ready.wait()
            url = render_url(listener, scheme="http" if certificate is None else "https")
            # Code and routes stay for good: passed over from now on, no search for garbage holds up the answers for long.
            gc.freeze()
            gc.set_threshold(GARBAGE_MIN, *gc.get_threshold()[1:])
            log.info("ready", url=url, version=parts.version)
            if on_ready is not None and server.started:
                on_ready(url)
            group.start_soon(tell_displaced, parts)  # it looks through all that is there, and nobody waits for it
            await is_over.wait()
        finally:  # also when a daemon fell, or the caller cancels
            parts.stopping.asked = True
            parts.waking.wake("stopping")
            server.should_exit = True
            with anyio.CancelScope(shield=True):
                await server.is_closed.wait()
        group.cancel_scope.cancel()
    log.info("stopped")


async def _await_signal(
    is_over: anyio.Event, on_stopping: Callable[[], None] | None, *, task_status: TaskStatus[None]
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        task_status.started()
        async for number in received:
            log.info("stopping", signal=number.name)
            if on_stopping is not None:
                on_stopping()
            is_over.set()
            return
