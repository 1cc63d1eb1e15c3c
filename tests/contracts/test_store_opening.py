"""What does opening a database promise? One service a SQLite file, a lease clock that stands still, numbers that go on."""

import os
import sqlite3
import stat
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

import anyio
import asyncpg
import pytest

from contracts.store_bench import LEASE_S, Bench, a_workflow, open_bench
from muster.domain.errors import ConflictError, InvalidError, UnavailableError
from muster.domain.ids import EPOCH_MS
from muster.domain.queue import Counts
from muster.server.adapters.sql import upkeep
from muster.server.adapters.sql.database import connect_once, open_database
from muster.server.adapters.sql.partitions import SPAN_MS, drop_unwanted_partition, make_coming_partitions

pytestmark = pytest.mark.anyio

Reopen = Callable[[], AbstractAsyncContextManager[Bench]]
FAR_FUTURE = 1 << 62


def modes_in(folder: Path) -> dict[str, int]:
    """The mode of a folder (`.`) and of each file in it."""
    return {one.name if one != folder else ".": stat.S_IMODE(one.stat().st_mode) for one in (folder, *folder.iterdir())}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the drivers know no other loop


class OpeningContract:
    async def test_everything_is_there_after_a_restart(self, reopen: Reopen) -> None:
        async with reopen() as bench:
            queue = await bench.add_queue()
            [event] = await bench.publish(queue, b"1")
            secret = await bench.store.get_secret("worker")

        async with reopen() as bench:
            await bench.store.check()
            assert await bench.counts(queue) == Counts(published=1, waiting=1)
            assert (await bench.read(lambda tx: tx.events.get(event))).body.data == b"1"
            assert await bench.store.get_secret("worker") == secret

    async def test_sessions_get_a_full_lease_when_the_first_service_starts(self, reopen: Reopen) -> None:
        async with reopen() as bench:
            now = await bench.read(lambda tx: tx.now())
            expired = await bench.enrol(proc=0, until=now - 1000)
            longer = await bench.enrol(proc=1, until=now + 1000)
            ended = await bench.enrol(proc=2, until=now - 1000)
            await bench.write(lambda tx: tx.holders.end([ended], reason="left"))

        async with reopen() as bench:
            await bench.store.begin_service(lease_s=LEASE_S)

            async def until(number: int) -> float:
                return (await bench.read(lambda tx: tx.holders.get(number))).until

            assert now + LEASE_S <= await until(expired) <= now + LEASE_S + 60
            assert await until(longer) == now + 1000
            assert await until(ended) == now - 1000
            assert (await bench.engine.reap(limit=9)).holders == 0

    async def test_numbers_go_on_above_every_one_there_is_also_when_the_clock_went_back(self, reopen: Reopen) -> None:
        # A restart whose clock is years behind: what was made last has the highest numbers.
        async with reopen() as bench:
            queue = await bench.add_queue()
            bench.database.store._ids.last = 0  # type: ignore[attr-defined]
            bench.database.store._ids._tick = FAR_FUTURE >> 10  # type: ignore[attr-defined]
            await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-1"), []))
            [event] = await bench.publish(queue, b"1")
            holder = await bench.enrol()

        async with reopen() as bench:
            await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-2"), []))
            newest = await bench.read(lambda tx: tx.workflows.list_page(owner=None, active=None, after=None, limit=9))
            assert [one.workflow_id for one in newest] == ["WF-2", "WF-1"]
            [later] = await bench.publish(queue, b"2")
            assert await bench.enrol() > later > holder > event > FAR_FUTURE - (1 << 60)

    async def test_an_error_of_the_one_who_opened_it_is_passed_on_as_it_is(self, reopen: Reopen) -> None:
        with pytest.raises(FileNotFoundError, match="mine"):
            async with reopen():
                raise FileNotFoundError("mine")


class TestSqlite(OpeningContract):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "new" / "folder" / "muster.db"

    @pytest.fixture
    def reopen(self, path: Path) -> Reopen:
        return lambda: open_bench(f"sqlite:///{path}")

    async def test_a_second_service_is_refused_also_by_another_name_of_the_file(
        self, path: Path, reopen: Reopen
    ) -> None:
        link = path.with_name("link.db")
        async with reopen():
            link.symlink_to(path)
            with pytest.raises(ConflictError, match="in use by another service"):
                async with open_database(f"sqlite:///{link}"):
                    raise AssertionError("it opened")

    async def test_a_second_service_is_refused_until_the_first_ends(self, path: Path, reopen: Reopen) -> None:
        async with reopen():
            with pytest.raises(ConflictError) as refused:
                async with reopen():
                    pass
        assert str(path) in str(refused.value)
        assert f"process {os.getpid()}" in str(refused.value)
        assert "stop it" in str(refused.value)
        async with reopen() as bench:
            await bench.store.check()

    async def test_settings_are_the_durable_ones(self, path: Path, reopen: Reopen) -> None:
        async with reopen() as bench:
            settings = {
                name: await bench.store._writer.run(lambda raw, name=name: raw.execute(f"PRAGMA {name}").fetchone()[0])  # type: ignore[attr-defined]
                for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "cache_size", "temp_store")
            }
        assert settings == {
            "journal_mode": "wal",
            "synchronous": 2,
            "wal_autocheckpoint": 1000,
            "cache_size": -8192,
            "temp_store": 2,
        }

    async def test_a_file_that_is_no_database_is_refused(self, path: Path, reopen: Reopen) -> None:
        await anyio.Path(path.parent).mkdir(parents=True)
        await anyio.Path(path).write_bytes(b"not a database, by far" * 100)
        await anyio.Path(path).chmod(0o600)
        with pytest.raises(InvalidError, match="is not a SQLite database"):
            async with reopen():
                pass

    @pytest.fixture
    def no_umask(self) -> Iterator[None]:
        """What is made without a mode is anybody's."""
        before = os.umask(0)
        try:
            yield
        finally:
            os.umask(before)

    @pytest.mark.usefixtures("no_umask")
    async def test_folder_and_files_are_their_owners_alone_from_the_start(self, path: Path, reopen: Reopen) -> None:
        async with reopen() as bench:
            await bench.publish(await bench.add_queue(), b"1")

            modes = modes_in(path.parent)

        assert modes == {
            ".": 0o700,
            "muster.db": 0o600,
            "muster.db-wal": 0o600,
            "muster.db-shm": 0o600,
            "muster.db.lock": 0o600,
        }

    @pytest.mark.parametrize("name", ["muster.db", "muster.db-wal", "muster.db-shm"])
    @pytest.mark.parametrize("mode", [0o640, 0o602])
    async def test_a_file_that_others_may_use_is_refused_with_the_remedy(
        self, path: Path, reopen: Reopen, name: str, mode: int
    ) -> None:
        async with reopen() as bench:
            await bench.publish(await bench.add_queue(), b"1")
        opened = path.with_name(name)
        opened.touch()
        opened.chmod(mode)

        with pytest.raises(InvalidError, match=f"`chmod 600 {opened}`"):
            async with reopen():
                pass

        opened.chmod(0o600)
        async with reopen() as bench:
            await bench.store.check()

    async def test_a_folder_that_was_there_is_left_as_it_is(self, tmp_path: Path) -> None:
        await anyio.Path(tmp_path).chmod(0o755)

        async with open_bench(f"sqlite:///{tmp_path}/muster.db"):
            modes = modes_in(tmp_path)

        assert (modes["."], modes["muster.db"]) == (0o755, 0o600)

    async def test_the_file_behind_a_link_is_its_owners_alone_too(self, tmp_path: Path) -> None:
        (tmp_path / "muster.db").symlink_to(tmp_path / "disk.db")

        async with open_bench(f"sqlite:///{tmp_path}/muster.db"):
            modes = modes_in(tmp_path)

        assert (modes["disk.db"], modes["disk.db-wal"]) == (0o600, 0o600)

    async def test_a_folder_that_cannot_be_made_is_unavailable(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(UnavailableError):
            async with open_database(f"sqlite:///{tmp_path}/file/muster.db"):
                pass

    async def test_a_full_disk_keeps_nothing_of_the_call_and_passes(self, reopen: Reopen) -> None:
        async with reopen() as bench:
            queue = await bench.add_queue()

            async def limit(pages: int) -> None:
                await bench.store._writer.run(lambda raw: raw.execute(f"PRAGMA max_page_count={pages}"))  # type: ignore[attr-defined]

            await limit(60)
            with pytest.raises(UnavailableError):
                await bench.publish(queue, *[b"x" * 5000] * 100)
            assert await bench.counts(queue) == Counts()

            await limit(1 << 30)
            await bench.publish(queue, b"1")
            assert await bench.counts(queue) == Counts(published=1, waiting=1)

    async def test_one_who_holds_the_file_from_outside_makes_it_unavailable(self, path: Path, reopen: Reopen) -> None:
        async with reopen() as bench:
            await bench.store._writer.run(lambda raw: raw.execute("PRAGMA busy_timeout=50"))  # type: ignore[attr-defined]
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(UnavailableError):
                    await bench.add_queue()
            assert await bench.add_queue() == 1

    async def test_it_is_closed_afterwards(self, path: Path, reopen: Reopen) -> None:
        async with reopen() as bench:
            queue = await bench.add_queue()
        assert sorted(one.name for one in path.parent.iterdir()) == ["muster.db", "muster.db.lock"]
        with pytest.raises(UnavailableError):
            await bench.publish(queue, b"1")


async def test_a_kind_of_database_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidError, match="mysql"):
        async with open_database("mysql://localhost/muster"):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:s3cret@127.0.0.30:port/x",
        "postgresql://me:s3cret@127.0.0.30:99999/x",
        "postgresql://me:s3cret@[::1/x",
        "postgresql://me:s3c/ret@127.0.0.30/x",
        "postgresql://me:s3c#ret@127.0.0.30/x",
        "postgresql://me:s3cret@127.0.0.30:5432/x?sslmode",
        "postgresql://me:s3cret@127.0.0.30:5432/x?sslmode=perhaps",
    ],
)
async def test_an_address_that_cannot_be_read_is_told_without_its_password(url: str) -> None:
    with pytest.raises(InvalidError) as refused:
        async with open_database(url):
            pass

    assert [one.field for one in refused.value.findings] == ["database_url"]
    assert "s3c" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.server
class TestPostgres(OpeningContract):
    @pytest.fixture
    def reopen(self, empty_postgres_url: str) -> Reopen:
        return lambda: open_bench(empty_postgres_url)

    async def test_sessions_are_left_alone_while_another_service_runs(self, reopen: Reopen) -> None:
        async with reopen() as first:
            await first.store.begin_service(lease_s=LEASE_S)
            past = await first.read(lambda tx: tx.now()) - 1000
            holder = await first.enrol(until=past)

            async with reopen() as second:
                await second.store.begin_service(lease_s=LEASE_S)
                session = await second.read(lambda tx: tx.holders.get(holder))

        assert session.until == past

    async def test_services_that_run_together_have_nodes_of_their_own(self, reopen: Reopen) -> None:
        async with reopen() as first, reopen() as second:
            queue = await first.add_queue()
            numbers = [*(await first.publish(queue, *[b"1"] * 50)), *(await second.publish(queue, *[b"1"] * 50))]
            assert len({number >> 12 & 1023 for number in numbers}) == 2
            await first.store.heartbeat()
            await second.store.heartbeat()
        async with reopen() as third:  # theirs are free again
            [number] = await third.publish(queue, b"1")
            assert number >> 12 & 1023 == 0

    async def test_a_service_that_lost_its_node_is_told_to_start_again(self, reopen: Reopen) -> None:
        async with reopen() as bench:
            await bench.store._run(lambda core: core.exec_driver_sql("DELETE FROM replica"))  # type: ignore[attr-defined]
            with pytest.raises(ConflictError, match="start it again"):
                await bench.store.heartbeat()

    async def test_a_server_that_does_not_answer_and_a_database_that_does_not_exist_say_so(
        self, empty_postgres_url: str
    ) -> None:
        for url, text in (
            (empty_postgres_url.replace(":5432/", ":5431/"), "does not answer"),
            (empty_postgres_url + "_no", "does not exist"),
        ):
            with pytest.raises(UnavailableError, match=text):
                async with open_database(url):
                    pass


@pytest.mark.server
async def test_a_database_user_who_may_not_make_tables_is_refused_with_the_remedy_which_helps(
    empty_postgres_url: str,
) -> None:
    meagre = empty_postgres_url.replace("postgres@", "muster_meagre@")
    await _execute(empty_postgres_url, "DROP ROLE IF EXISTS muster_meagre")
    await _execute(empty_postgres_url, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    await _execute(empty_postgres_url, "CREATE ROLE muster_meagre LOGIN")
    try:
        for is_upgraded_by_command in (True, False):
            with pytest.raises(
                InvalidError, match=r"^database_url: its user .*: permission denied for schema public\. Let"
            ):
                await _open_or_upgrade(meagre, is_upgraded_by_command=is_upgraded_by_command)

        await upkeep.upgrade(empty_postgres_url, tell=print)
        await _execute(empty_postgres_url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO muster_meagre")
        await _execute(empty_postgres_url, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO muster_meagre")
        assert (
            await _drop_partition_of_another(empty_postgres_url, meagre) is not None
        )  # passed over, and the next one is looked at
        await _execute(
            empty_postgres_url, "DROP TABLE event_1, event_2, finished_1, finished_2"
        )  # which fails where it is gone
        async with open_bench(meagre) as bench:  # though the partitions of today are missing, and it may make none
            queue = await bench.add_queue()
            await bench.publish(queue, b"1")
            assert await bench.counts(queue) == Counts(published=1, waiting=1)
    finally:
        await _execute(empty_postgres_url, "DROP OWNED BY muster_meagre")
        await _execute(empty_postgres_url, "DROP ROLE muster_meagre")


async def _open_or_upgrade(url: str, *, is_upgraded_by_command: bool) -> None:
    if is_upgraded_by_command:
        await upkeep.upgrade(url, tell=print)
    else:
        async with open_database(url):
            pass


async def _drop_partition_of_another(owner: str, meagre: str) -> int | None:
    """Of the first months that there are."""
    early, late = ((EPOCH_MS + spans * SPAN_MS) / 1000 + 1 for spans in (1, 9))
    async with connect_once(owner) as connection, connection.begin():
        await connection.run_sync(lambda core: make_coming_partitions(core, now=early))
    await _execute(owner, "GRANT ALL ON ALL TABLES IN SCHEMA public TO muster_meagre")
    async with connect_once(meagre) as connection, connection.begin():
        return await connection.run_sync(lambda core: drop_unwanted_partition(core, after=0, now=late))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
