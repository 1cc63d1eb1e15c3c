"""Against what does the compatibility suite run? The whole service on a socket of its own, its daemons at work, on both databases.

Who is who is decided by the token alone: its text is the caller's role, so that every party of a workflow's life can call.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest

from harness.addresses import take_address
from harness.waiting import wait_for
from muster.domain.caller import Caller, Role
from muster.domain.errors import UnauthenticatedError
from muster.domain.location import TEST_LOCATIONS, Agent
from muster.server.app import open_parts, run_parts
from muster.server.listener import bind
from muster.settings.parts import LocationSettings, ServerSettings
from server.mqs.keys import Files, pair

OURS = "ours"
"""A location of our own agents."""
COLLECTORS = {"test-alpha": "COLLECTOR1", "test-beta": "COLLECTOR2"}
ROLES = {
    "user": {Role.USER},
    "stranger": {Role.USER},
    "system-tms": {Role.SYSTEM_TMS},
    "system-wms": {Role.SYSTEM_WMS},
    "operator": {Role.USER, Role.OPERATOR},
}


class Parties:
    """An Identity of the parties, whose tokens are their roles' names."""

    async def identify(self, token: str) -> Caller:
        if token not in ROLES:
            raise UnauthenticatedError("this token is not known")
        return Caller(token, frozenset(ROLES[token]))

    async def refresh(self) -> None:
        """They stay who they are."""


@dataclass(frozen=True)
class Service:
    """A running service, and which version of its routes a test is about."""

    url: str
    version: str

    def token(self, role: str) -> str:
        return role


def settings(folder: Path, database_url: str, host: str) -> ServerSettings:
    """The two test locations, with collectors, as upstream's test mode has them, and upstream's own (wms.md 14.4, 17). There is a
    broker, which nobody asks here: tokens are made out to it.
    """
    keys = Files(folder / "keys")
    keys.write(pair(0))
    return ServerSettings(
        database_url=database_url,
        host=host,
        token_file=folder / "token",
        files_dir=folder / "files",
        query_bytes_max=1 << 20,
        park_s_max=0.5,
        broker_url="broker.example.org",
        broker_public_key_file=keys.public,
        broker_private_key_file=keys.private,
        broker_resource_server_id="broker",
        broker_resource_server_type="rabbitmq",
        public_url="https://muster.example.org",
        locations={
            one.name: LocationSettings(schedd=one.schedd, agent=one.agent, collector=COLLECTORS[one.name])
            for one in TEST_LOCATIONS
        }
        | {
            OURS: LocationSettings(schedd="ours"),
            "osg": LocationSettings(
                schedd="grid-submitter.icecube.wisc.edu",
                agent=Agent.UPSTREAM,
                aliases=("OSG", "sub-2"),
                collector="glidein-cm.icecube.wisc.edu",
            ),
        },
    )


class Running:
    """A service in a thread of its own: the suite's clients block, as EWMS's do."""

    def __init__(self, chosen: ServerSettings) -> None:
        self.url = ""
        self._chosen = chosen
        self._stop = anyio.Event()
        self._thread = threading.Thread(target=lambda: anyio.run(self._run), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_for(lambda: self.url or not self._thread.is_alive(), "the service answers", deadline_s=30)
        assert self.url
        return self

    def __exit__(self, *_: object) -> None:
        anyio.from_thread.run_sync(self._stop.set, token=self._token)
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    async def _run(self) -> None:
        self._token = anyio.lowlevel.current_token()
        with bind(self._chosen.host, 0) as listener:
            async with open_parts(self._chosen) as parts, anyio.create_task_group() as group:
                parties = replace(parts, identity=Parties())
                group.start_soon(partial(run_parts, parties, listener, self._tell, handle_signals=False))
                await self._stop.wait()
                group.cancel_scope.cancel()

    def _tell(self, url: str) -> None:
        self.url = url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Over a thousand calls over sockets: not in `make check`."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="module")
def chosen_settings() -> Mapping[str, Any]:
    """Settings of the module's own."""
    return {}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, chosen_settings: Mapping[str, Any]
) -> Iterator[Running]:
    """One service a module and database."""
    folder = tmp_path_factory.mktemp("compat")
    with ExitStack() as stack:
        if request.param == "postgresql":
            server = request.getfixturevalue("postgres_server")
            url = server.make_database()
            stack.callback(server.drop_database, url)
        else:
            url = f"sqlite:///{folder / 'muster.db'}"
        host = stack.enter_context(take_address())
        yield stack.enter_context(Running(settings(folder, url, host).model_copy(update=chosen_settings)))


@pytest.fixture(params=["v1", "v0"])
def service(running: Running, request: pytest.FixtureRequest) -> Service:
    return Service(running.url, request.param)
