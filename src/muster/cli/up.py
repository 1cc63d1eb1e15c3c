"""`muster up`: everything under one command, for a laptop or CI: service, daemons, site agent, local workers, SQLite.

The site agent speaks to the service over HTTP like any other; only the adapters differ from a production's.
"""

import errno
import os
import shlex
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import anyio
from anyio.abc import TaskStatus
from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.entry import put_off_garbage
from muster.cli.extras import needing
from muster.cli.failure import OK, UsageError
from muster.cli.home import Home
from muster.cli.service import DIRECTORY_DEFAULT, Service, find_directory, list_exports, list_unsets
from muster.cli.settings_faults import read_settings
from muster.cli.variable_names import list_unread
from muster.domain.errors import ConflictError, InvalidError, MusterError
from muster.settings.parts import LocationSettings, ServerSettings, SiteSettings
from muster.settings.sign_in import CredentialSettings, SignIn, SignInSettings, list_defaults
from muster.settings.variables import read_variables
from muster.worker.tools import find_tool

HOST = "127.0.0.1"
LOCATION = "local"
EXAMPLE = Path("examples/daya-bay/workflow.yaml")
OWN_SIGN_IN: Mapping[str, Any] = list_defaults(SignInSettings) | {"sign_in": SignIn.LOCAL}
OWN_CREDENTIALS: Mapping[str, Any] = list_defaults(CredentialSettings)
"""The token of the folder signs in here, whatever the variables of a service elsewhere say."""

app = App(
    name="up",
    help_format="plaintext",
    help_epilogue="""Examples:
  muster up
  muster up --dir /tmp/muster --port 8765""",
)


class Serve(Protocol):
    """`muster.server.app.serve`"""

    def __call__(
        self, settings: ServerSettings, *, on_ready: Callable[[str], None], handle_signals: bool
    ) -> Coroutine[Any, Any, None]: ...


class RunAgent(Protocol):
    """`muster.site.app.run_agent`"""

    def __call__(
        self,
        settings: SiteSettings,
        *,
        on_ready: Callable[[], None],
        handle_signals: bool,
        stop_workers: bool,
        hurry: anyio.Event,
    ) -> Coroutine[Any, Any, None]: ...


@app.default
def up(
    *,
    dir: Path | None = None,  # noqa: A002 - the option's name
    port: int | None = None,
    log_level: Literal["debug", "info", "warning", "error"] = "info",
    json: bool = False,
    debug: bool = False,
) -> int:
    """Run service, site agent and local workers in this folder, until Ctrl-C.

    State is kept: the next `muster up` goes on where this one stopped. Ctrl-C lets workers hand in what they have; a second one
    kills them.

    Args:
        dir: folder for state, token and logs. Otherwise MUSTER_DIR, otherwise ./.muster
        port: port to listen on; otherwise that of the last start, or a free one.
        log_level: what goes to the logs.
        json: tell address, token file and process id as one line of JSON when all is up.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    if port is not None and not 0 <= port <= 65535:
        raise UsageError(f"--port {port} is not between 0 and 65535")
    if unread := list(list_unread(read_variables(os.environ))):
        raise InvalidError(unread)
    home = Home(find_directory(dir, os.environ).absolute())
    say(f"starting in {home.directory} …")
    put_off_garbage()
    with needing("server"):
        import structlog

        from muster.cli.logs import logging_to_file
        from muster.server.app import serve
        from muster.site.app import run_agent
    with home.explaining_a_full_disk(), home.hold(), logging_to_file(home.logs / "muster.log", log_level):
        chosen = home.read_port() if port is None else port
        try:
            crew = Crew(home, chosen, log_level, serve, run_agent, lambda url: _tell_ready(home, url, json))
            anyio.run(_run, crew, backend_options={"use_uvloop": True})
        except (ExceptionGroup, OSError, MusterError) as error:
            structlog.get_logger("muster.up").error("ended by an error", exc_info=error)
            raise _explain(error, chosen) from error
    again = "muster up" if dir is None else f"muster up --dir {shlex.quote(str(dir))}"
    say(f"stopped; nothing of it runs any more. The next `{again}` goes on from here")
    return OK


@dataclass(frozen=True)
class Crew:
    """What is started, and with what.

    Args:
        port: to listen on; 0 takes a free one.
        tell: called with the address once all is up.
    """

    home: Home
    port: int
    log_level: str
    serve: Serve
    run_agent: RunAgent
    tell: Callable[[str], None]


async def _run(crew: Crew) -> None:
    await Run(crew).run()


class Run:
    """One life of the crew: started in order, ended in the opposite one."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._service_scope, self._agent_scope = anyio.CancelScope(), anyio.CancelScope()
        self._service_ended, self._hurry = anyio.Event(), anyio.Event()

    async def run(self) -> None:
        """Until the first signal. Workers are stopped while the service can still take what they have."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._follow_signals)
            url = await tasks.start(self._run_service)
            if url is not None:
                self._crew.home.write_address(url)
                with self._agent_scope:
                    await self._run_agent(url)
            self._service_scope.cancel()
            await self._service_ended.wait()
            tasks.cancel_scope.cancel()

    async def _follow_signals(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
            task_status.started()
            async for _ in received:
                if self._agent_scope.cancel_called:
                    say("killing the workers")
                    self._hurry.set()
                else:
                    say("\nstopping: workers hand in what they have (Ctrl-C again kills them)")
                    self._agent_scope.cancel()

    async def _run_service(self, *, task_status: TaskStatus[str | None]) -> None:
        """Starts with the address, or with None when it was ended before it answered."""
        home = self._crew.home
        settings = read_settings(
            ServerSettings,
            database_url=f"sqlite:///{home.database}",
            host=HOST,
            port=self._crew.port,
            **OWN_SIGN_IN,
            tls_certificate_file=None,
            tls_key_file=None,
            token_file=home.token,
            files_dir=home.files,
            locations={LOCATION: LocationSettings(schedd=LOCATION, containers=self._has_containers())},
            log_level=self._crew.log_level,
        )
        is_ready = False

        def tell(url: str) -> None:
            nonlocal is_ready
            is_ready = True
            task_status.started(url)

        with self._service_scope:
            await self._crew.serve(settings, on_ready=tell, handle_signals=False)
        self._agent_scope.cancel()  # also when the service ended by itself
        self._service_ended.set()
        if not is_ready:
            task_status.started(None)

    def _has_containers(self) -> bool:
        """Can the workers of this machine run images?"""
        return find_tool(read_settings(SiteSettings).containers, os.environ) is not None

    async def _run_agent(self, url: str) -> None:
        home = self._crew.home
        settings = read_settings(
            SiteSettings,
            name=LOCATION,
            url=url,
            **OWN_CREDENTIALS,
            token_file=home.token,
            locations=(LOCATION,),
            directory=home.site,
            hidden=(*read_settings(SiteSettings).hidden, *list_hidden(home, Path.cwd())),
            log_level=self._crew.log_level,
        )
        await self._crew.run_agent(
            settings,
            on_ready=lambda: self._crew.tell(url),
            handle_signals=False,
            stop_workers=True,
            hurry=self._hurry,
        )


def list_hidden(home: Home, here: Path) -> list[str]:
    """What isolated tasks do not see: all of the folder, unless the programs that they run are as likely in it as not."""
    own = [home.token, home.database, home.files, home.site, home.logs]
    own += [home.database.with_name(f"{home.database.name}{end}") for end in ("-wal", "-shm")]
    hidden = own if here.resolve().is_relative_to(home.directory.resolve()) else [home.directory]
    return [str(path.resolve()) for path in hidden]


def _tell_ready(home: Home, url: str, as_json: bool) -> None:  # noqa: FBT001 - named where it is bound
    if as_json:
        files = {"token_file": str(home.token), "dir": str(home.directory), "pid": os.getpid()}
        put_json({"url": url, **files}, in_one_line=True)
        return
    leads = list_leads(home.directory, os.environ)
    steps = "\n".join(f"  {one}" for one in (*leads, *list_next_steps(EXAMPLE if EXAMPLE.exists() else None)))
    put(
        f"""Muster is up (Ctrl-C stops it and keeps its state).

  address  {url}
  token    {home.token}
  logs     {home.logs}

What to try next, in another terminal, in this folder:

{steps}"""
    )


def list_leads(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Lines that lead commands in another terminal to the `muster up` of this folder, where they would look elsewhere.

    The folder may be named by a variable here, but not there; what else is exported here probably is there, too.
    """
    here = Service(dir=directory)
    named = environment.get("MUSTER_DIR", DIRECTORY_DEFAULT)
    is_found = {directory} == {DIRECTORY_DEFAULT.absolute(), Path(named).absolute()}
    return list_unsets(here, environment) if is_found else list_exports(here, environment)


def list_next_steps(example: Path | None) -> Iterator[str]:
    """Lines that a person can type, one after the other.

    Args:
        example: the workflow's file of the example; None where that is not here.
    """
    if example is not None:
        yield f"muster workflow submit {example}"
        yield f"python {example.parent}/points.py --side 30 > points.jsonl"
        yield "muster queue publish latest points points.jsonl --close"
    else:
        yield "muster workflow submit workflow.yaml"
        yield "muster queue publish latest ALIAS FILE.jsonl --close"
    yield "muster workflow watch latest"
    yield f"muster queue consume latest {'chi2' if example is not None else 'ALIAS'} > results.jsonl"
    yield "muster workflow account latest"
    yield "muster --help"


def _explain(error: BaseException, port: int) -> BaseException:
    """The error to tell a person: the first one of ours, or what the port or disk says."""
    leaf = error
    while isinstance(leaf, BaseExceptionGroup):
        leaf = next((one for one in leaf.exceptions if isinstance(one, MusterError)), leaf.exceptions[0])
    reason = leaf.__cause__ if isinstance(leaf, InvalidError) else leaf
    if isinstance(reason, OSError) and reason.errno == errno.EADDRINUSE:
        return ConflictError(
            f"port {port} of {HOST} is in use by another program: stop that one, or choose another port with --port "
            "(0 takes a free one)"
        )
    return leaf
