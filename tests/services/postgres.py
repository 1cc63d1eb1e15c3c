"""Where does a test's PostgreSQL come from? An installed one, or one fetched into the cache; started for this run, with fsync on.

`postgres_url` is the address of a fresh database with our schema, `empty_postgres_url` of one with nothing in it; `own_postgres` is a
server that one test may kill.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import anyio
import asyncpg
import pytest

from harness.addresses import take_address
from harness.waiting import wait_for
from muster.server.adapters.sql.database import open_database
from services.fetching import NotFetchedError, fetch

PORT = 5432
START_S = 60.0
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class Programs:
    """The folder of PostgreSQL's programs, and where those of their libraries are that the system lacks."""

    folder: Path
    libraries: Path | None = None

    def environment(self) -> dict[str, str]:
        """For the programs: nothing of ours that could lead them astray."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | ({"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else {})


def find_programs() -> Programs:
    """The newest installed PostgreSQL, or the fetched one. Raises NotFetchedError."""
    installed = _newest(Path("/usr/lib/postgresql"))
    if installed is not None:
        return Programs(installed)
    on_path = shutil.which("postgres")
    if on_path is not None and (Path(on_path).resolve().parent / "initdb").exists():
        return Programs(Path(on_path).resolve().parent)
    return _fetch()


def _newest(folder: Path) -> Path | None:
    versions = sorted(
        (int(path.parts[-3]), path.parent) for path in folder.glob("*/bin/initdb") if path.parts[-3].isdecimal()
    )
    return versions[-1][1] if versions else None


def _fetch() -> Programs:
    root = fetch("PostgreSQL", Path(__file__).with_name("fetch-postgres.sh"), "postgres")
    folder = _newest(root / "usr/lib/postgresql")
    if folder is None:
        raise NotFetchedError(f"there is no PostgreSQL in {root}, though it was fetched")
    return Programs(folder, next((root / "usr/lib").glob("*-linux-gnu*")))


@dataclass
class PostgresServer:
    """One server with a folder of its own. As root it runs as `nobody`, for PostgreSQL refuses root."""

    programs: Programs
    address: str
    folder: Path
    names: Iterator[int] = field(default_factory=lambda: count(1))
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Raises AssertionError, with the end of its log, when it is not ready in time."""
        data, log = self.folder / "data", self.folder / "log"
        program = [
            *_as_nobody("--pdeathsig", "INT"),
            str(self.programs.folder / "postgres"),
        ]  # it ends with us, however we end
        if not data.exists():
            self._run(
                "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"
            )
        settings = SETTINGS | {"listen_addresses": self.address, "unix_socket_directories": str(self.folder)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*program, "-D", str(data), "-p", str(PORT), *arguments],
                stdout=output,
                stderr=output,
                env=self.programs.environment(),
                cwd=self.folder,
            )
        process = self.process

        def is_ready() -> bool:
            assert process.poll() is None, f"PostgreSQL ended: {log.read_text()[-2000:]}"
            pid_file = data / "postmaster.pid"
            lines = pid_file.read_text().splitlines() if pid_file.exists() else []
            return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready"

        wait_for(is_ready, "PostgreSQL is ready", deadline_s=START_S)

    def stop(self) -> None:
        """End it in good order; its sessions are broken off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash of the machine would: nothing is written any more. `start` brings it back."""
        self._end(signal.SIGQUIT)

    def make_database(self, *, like: str | None = None) -> str:
        """A fresh database, empty or as the one whose URL is `like`, to which nobody may be connected; returns its URL."""
        name = f"muster_{next(self.names)}"
        self._psql(f"CREATE DATABASE {name}" + (f" TEMPLATE {like.rpartition('/')[2]}" if like else ""))
        return f"postgresql://postgres@{self.address}:{PORT}/{name}"

    def drop_database(self, url: str) -> None:
        """Also when somebody is connected to it."""
        self._psql(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _end(self, signal_number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal_number)
            self.process.wait(timeout=START_S)
        self.process = None

    def end_sessions(self) -> None:
        """End every session of the databases that were made, in whatever it is doing, as an operator may."""
        self._psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname <> 'postgres'"
        )

    def _psql(self, statement: str) -> None:
        url = f"postgresql://postgres@{self.address}:{PORT}/postgres"
        subprocess.run(
            [self.programs.folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement],
            check=True,
            capture_output=True,
            timeout=START_S,
            env=self.programs.environment(),
        )

    def _run(self, program: str, *arguments: object) -> None:
        made = subprocess.run(
            [*_as_nobody(), self.programs.folder / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
            env=self.programs.environment(),
            cwd=self.folder,
        )
        assert made.returncode == 0, f"{program}: {made.stderr[-2000:]}"


def _as_nobody(*options: str) -> list[str]:
    """What to put in front of a program. Without options, nothing unless we are root."""
    if os.getuid() == 0:
        options = (*options, "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    return ["setpriv", *options] if options else []


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """A server that is stopped, and whose folder is deleted, at the end. Raises NotFetchedError."""
    programs = find_programs()
    with ExitStack() as stack:
        # Not pytest's folder: that is for its owner alone, and as root the server is somebody else.
        folder = Path(tempfile.mkdtemp(prefix="muster-postgres-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if os.getuid() == 0:
            programs = _within_reach(programs, folder)
            shutil.chown(folder, "nobody", "nogroup")
        server = PostgresServer(programs, stack.enter_context(take_address()), folder)
        stack.callback(server.stop)
        server.start()
        yield server


def _within_reach(programs: Programs, folder: Path) -> Programs:
    """The programs where `nobody` can run them: a copy when they lie under a folder that is root's alone."""
    looked = subprocess.run(
        [*_as_nobody(), "test", "-x", programs.folder / "postgres"],
        check=False,
    )
    if looked.returncode == 0:
        return programs
    assert programs.libraries is not None, f"nobody cannot run {programs.folder}"
    root = programs.libraries.parents[2]
    shutil.copytree(root / "usr", folder / "usr", symlinks=True)
    return Programs(folder / programs.folder.relative_to(root), folder / programs.libraries.relative_to(root))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run."""
    try:
        with run_postgres() as server:
            yield server
    except NotFetchedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_server: PostgresServer) -> str:
    """A database with our schema, for copying: a copy is made sooner than it is migrated."""
    url = postgres_server.make_database()

    async def migrate() -> None:
        async with open_database(url):
            pass
        connection = await asyncpg.connect(url)
        await connection.execute(
            "DELETE FROM era"
        )  # else each copy would be taken for a restored database, which it is
        await connection.close()

    with ThreadPoolExecutor(1) as elsewhere:  # the test may have an event loop of its own here
        elsewhere.submit(anyio.run, migrate).result()
    return url


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated_postgres_url: str) -> Iterator[str]:
    """The address of a fresh database with our schema and nothing in it."""
    url = postgres_server.make_database(like=migrated_postgres_url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a fresh database without tables."""
    url = postgres_server.make_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, to be killed and started again."""
    try:
        with run_postgres() as server:
            yield server
    except NotFetchedError as error:
        pytest.skip(str(error))
