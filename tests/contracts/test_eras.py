"""Does a restored database know that it was restored, and does nothing of its former life get in the way of the new one?"""

import asyncio
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from contracts.store_bench import AN_ENTRY, Bench, a_taskforce, a_workflow, open_bench, until
from muster.domain.attempt import Outcome, Verdict
from muster.domain.errors import ConflictError, InvalidError, NotFoundError
from muster.domain.outbox import BEGINNING, Cursor, Notice
from muster.domain.taskforce_phase import Phase
from muster.server.adapters.sql import eras, upkeep
from muster.server.ports.queue_engine import Finished, SessionEndedError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        f"sqlite:///{tmp_path / 'muster.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )


def names_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


async def find_era(url: str) -> int | None:
    return (await upkeep.look(url)).era


async def tell(bench: Bench, kind: str) -> None:
    await bench.write(lambda tx: tx.outbox.insert(Notice("WF-1", kind, 0.5, {})))


async def list_told(bench: Bench, cursor: Cursor = BEGINNING) -> list[tuple[Cursor, str]]:
    found = await bench.read(lambda tx: tx.outbox.list_after(cursor, subject="WF-1", limit=100))
    newest = await bench.read(lambda tx: tx.outbox.list_newest("WF-1", limit=100))
    assert not newest.is_held_back
    assert [one for one in newest.notices if one[0] > cursor] == list(found)
    return [(at, notice.kind) for at, notice in found]


async def test_an_era_goes_on_over_starts_and_ends_when_it_is_said_that_the_database_was_restored(url: str) -> None:
    for _ in range(2):
        async with open_bench(url):
            pass
        assert await find_era(url) == 0

    await upkeep.mark_as_restored(url)
    for _ in range(2):
        async with open_bench(url):
            pass
        assert await find_era(url) == 1


async def test_what_sessions_held_goes_back_uncounted_and_their_results_still_count_once(url: str) -> None:
    async with open_bench(url) as bench:
        queue = await bench.add_queue()
        events = await bench.publish(queue, b"1", b"2")
        before = await bench.enrol()
        first, second = (await bench.step(before, queue, want=2)).leased
    await upkeep.mark_as_restored(url)

    async with open_bench(url) as bench:
        with pytest.raises(SessionEndedError):
            await bench.engine.renew(before, [(first.event, first.fence)], lease_s=30)
        counts = await bench.counts(queue)
        assert (counts.waiting, counts.in_work, counts.failed) == (2, 0, 0)
        after = await bench.enrol()
        late = [Finished(first.event, first.fence, Outcome.DONE)]
        answer = await bench.step(after, queue, finished=late, want=2)
        assert answer.verdicts == [Verdict.LATE]
        assert [(one.event, one.attempt) for one in answer.leased] == [(second.event, 1)]
        assert (await bench.counts(queue)).done == 1
    assert events == [first.event, second.event]


async def test_a_taskforce_that_waits_to_be_started_is_nobodys_and_its_claims_are_numbered_higher(url: str) -> None:
    """Higher than any that was given after the backup: the restored database knows of none of those."""
    given_since = 500  # an agent that claims it again every 30 s, for four hours
    claim = {"claim_agent": "site", "claim_until": 9e9, "claim_fence": 3}
    async with open_bench(url) as bench:
        await bench.write(lambda tx: tx.workflows.insert(a_workflow("WF-1"), []))
        for uuid, phase in (("TF-1", Phase.PENDING_STARTER), ("TF-2", Phase.CONDOR_SUBMIT)):
            new = a_taskforce(uuid, phase=phase, **claim)
            await bench.write(lambda tx, new=new: tx.taskforces.insert(new, AN_ENTRY))  # type: ignore[misc]
    await upkeep.mark_as_restored(url)

    async with open_bench(url) as bench:
        found = await bench.read(lambda tx: tx.taskforces.find(["TF-1", "TF-2"]))

    claims = {uuid: (one.claim_agent, one.claim_until) for uuid, one in found.items()}
    assert claims == {"TF-1": (None, None), "TF-2": ("site", 9e9)}
    assert found["TF-1"].claim_fence > 3 + given_since
    assert found["TF-2"].claim_fence == 3


async def test_notices_of_the_new_era_come_after_those_of_the_old_one_under_ids_of_their_own(url: str) -> None:
    async with open_bench(url) as bench:
        await tell(bench, "first")
        await tell(bench, "second")
        before = await list_told(bench)
    await upkeep.mark_as_restored(url)

    async with open_bench(url) as bench:
        assert await list_told(bench) == before
        await tell(bench, "third")
        told = await list_told(bench)
        assert told[:2] == before
        assert [(cursor.era, kind) for cursor, kind in told[2:]] == [(1, "third")]
        assert await list_told(bench, before[0][0]) == told[1:]
        assert await list_told(bench, told[2][0]) == []
        lost = Cursor(0, before[1][0].transaction + 1, before[1][0].number + 1)
        assert await bench.read(lambda tx: tx.outbox.find(lost)) is None


async def test_no_event_number_is_given_twice_where_the_clock_stands_still(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service that goes on with the restored database makes its numbers under another node."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    given: list[int] = []
    for _ in range(3):
        async with open_bench(url) as bench:
            queue = await bench.add_queue()
            given += await bench.publish(queue, b"1", b"2")
        await upkeep.mark_as_restored(url)
    assert len({(one >> 12) & 0x3FF for one in given}) == 3
    assert len(set(given)) == len(given)


# -- SQLite --------------------------------------------------------------------------------------------------------------


async def test_a_backup_made_beside_a_writer_is_whole_private_and_begins_a_new_era(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path / 'muster.db'}", tmp_path / "backup.db"
    copied: list[upkeep.Copied] = []
    async with open_bench(url) as bench:
        queue = await bench.add_queue()
        await bench.publish(queue, *(b"x" * 10_000 for _ in range(200)))
        backing_up = threading.Thread(target=lambda: copied.append(upkeep.back_up(url, file)))

        backing_up.start()
        written = 0
        while backing_up.is_alive() or written < 5:
            await bench.publish(queue, b"2", b"3")
            written += 1
        backing_up.join()

        with pytest.raises(ConflictError, match=r"backup\.db is there"):
            upkeep.back_up(url, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert copied[0].size_bytes == file.stat().st_size
    assert [one for one in names_in(tmp_path) if "backup" in one] == ["backup.db"]
    async with open_bench(f"sqlite:///{file}") as bench:
        recount = (await bench.read(lambda tx: tx.queues.recount([queue])))[queue]
        assert recount.kept == recount.counted
        assert recount.kept.published % 2 == 0, "a transaction is in it as a whole, or not at all"
    assert await find_era(f"sqlite:///{file}") == 1


async def test_a_copy_of_the_file_is_known_for_one(tmp_path: Path) -> None:
    async with open_bench(f"sqlite:///{tmp_path / 'muster.db'}"):
        pass
    with (
        closing(sqlite3.connect(tmp_path / "muster.db")) as original,
        closing(sqlite3.connect(tmp_path / "c.db")) as copy,
    ):
        original.backup(copy)
    (tmp_path / "c.db").chmod(0o600)
    async with open_bench(f"sqlite:///{tmp_path / 'c.db'}"):
        pass
    assert await find_era(f"sqlite:///{tmp_path / 'c.db'}") == 1
    assert await find_era(f"sqlite:///{tmp_path / 'muster.db'}") == 0


def copy_database(source: Path, target: Path) -> None:
    """As `sqlite3 muster.db ".backup FILE"` does, also while a service works: the copy says nothing of being one."""
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def put_in_place(backup: Path, file: Path) -> None:
    """As `rm` and `cp` do where the file system gives the same inode again."""
    inode = file.stat().st_ino
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    file.write_bytes(backup.read_bytes())
    assert file.stat().st_ino == inode


@pytest.mark.parametrize("is_killed", [False, True], ids=["that ended", "that was killed"])
async def test_a_backup_in_the_place_of_the_file_is_noticed_under_the_same_inode_after_a_service(
    tmp_path: Path,
    is_killed: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    file, backup, lock = (tmp_path / name for name in ("muster.db", "backup.db", "muster.db.lock"))
    url = f"sqlite:///{file}"
    async with open_bench(url) as bench:
        queue = await bench.add_queue()
        await bench.store.heartbeat()
        copy_database(file, backup)
        await bench.publish(queue, b"1")
        if is_killed:
            await bench.store.heartbeat()
            noted = lock.read_bytes()
    if is_killed:
        lock.write_bytes(noted)

    put_in_place(backup, file)

    for _ in range(2):
        async with open_bench(url):
            pass
        assert await find_era(url) == 1


@pytest.mark.parametrize("step_s", [0.0, -60.0], ids=["stands still", "was set back"])
async def test_a_backup_in_the_place_of_the_file_is_noticed_where_the_clock_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    file, backup, lock = (tmp_path / name for name in ("muster.db", "backup.db", "muster.db.lock"))
    url = f"sqlite:///{file}"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    async with open_bench(url) as bench:
        queue = await bench.add_queue()
        await bench.store.heartbeat()
        copy_database(file, backup)
        now += step_s
        await bench.publish(queue, b"1")
        await bench.store.heartbeat()
        noted = lock.read_bytes()
    lock.write_bytes(noted)  # the service was killed

    put_in_place(backup, file)

    async with open_bench(url):
        pass
    assert await find_era(url) == 1


async def test_a_backup_of_a_future_that_was_given_up_is_noticed_too(tmp_path: Path) -> None:
    """Somebody restores an old backup, thinks again, and restores a newer one."""
    file, older, newer = (tmp_path / name for name in ("muster.db", "older.db", "newer.db"))
    url = f"sqlite:///{file}"
    for backup in (older, newer):
        async with open_bench(url) as bench:
            await bench.add_queue(backup.stem)
            await bench.store.heartbeat()
            copy_database(file, backup)
            await bench.add_queue(f"after {backup.stem}")

    for backup in (older, newer, older):
        put_in_place(backup, file)
        async with open_bench(url):
            pass
        assert await find_era(url) == 1


async def test_an_era_goes_on_where_the_file_lacks_nothing(tmp_path: Path) -> None:
    """Also after a crash between what is written into the database and what is noted beside it."""
    file, backup, lock = (tmp_path / name for name in ("muster.db", "backup.db", "muster.db.lock"))
    url = f"sqlite:///{file}"
    async with open_bench(url) as bench:
        await bench.store.heartbeat()
        noted = lock.read_bytes()
        await bench.add_queue()
        await bench.store.heartbeat()
        assert lock.read_bytes() != noted
        copy_database(file, backup)
        size_bytes = file.with_name("muster.db-wal").stat().st_size
        await bench.store.heartbeat()
        assert file.with_name("muster.db-wal").stat().st_size == size_bytes, (
            "nothing was written where nothing had been"
        )

    put_in_place(backup, file)
    lock.write_bytes(noted)

    async with open_bench(url):
        pass
    assert await find_era(url) == 0


async def test_a_file_beside_which_nothing_is_noted_any_more_begins_a_new_era(tmp_path: Path) -> None:
    """The folder was lost with all that was in it, and made again."""
    url = f"sqlite:///{tmp_path / 'muster.db'}"
    async with open_bench(url):
        pass
    (tmp_path / "muster.db.lock").unlink()

    async with open_bench(url):
        pass
    assert await find_era(url) == 1


async def test_a_file_from_before_times_were_noted_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "muster.db"
    async with open_bench(f"sqlite:///{file}"):
        pass
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("UPDATE era SET identity = ?", (f"file {file.stat().st_ino}",))
        raw.commit()
    (tmp_path / "muster.db.lock").write_text("4711")

    for _ in range(2):
        async with open_bench(f"sqlite:///{file}"):
            pass
    assert await find_era(f"sqlite:///{file}") == 0


@pytest.mark.parametrize("is_replaced", [False, True], ids=["moved away", "replaced"])
async def test_a_service_whose_file_is_taken_away_ends_instead_of_writing_into_nowhere(
    tmp_path: Path,
    is_replaced: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    file = tmp_path / "muster.db"
    async with open_bench(f"sqlite:///{file}") as bench:
        await bench.store.heartbeat()
        file.rename(tmp_path / "away.db")
        if is_replaced:
            copy_database(tmp_path / "away.db", file)
        with pytest.raises(ConflictError, match="moved away or replaced"):
            await bench.store.heartbeat()


async def test_a_restore_leaves_a_database_alone_that_is_still_there_or_in_use(tmp_path: Path) -> None:
    url, file = f"sqlite:///{tmp_path / 'muster.db'}", tmp_path / "backup.db"
    async with open_bench(url):
        upkeep.back_up(url, file)
        with pytest.raises(ConflictError, match="in use by another service"):
            upkeep.restore(file, url)
    with pytest.raises(ConflictError, match=r"mkdir .*before-restore && mv"):
        upkeep.restore(file, url)
    (tmp_path / "muster.db").unlink()
    (tmp_path / "muster.db-wal").write_bytes(b"of the one before")
    with pytest.raises(ConflictError, match=r"muster\.db-wal is there"):
        upkeep.restore(file, url)
    (tmp_path / "muster.db-wal").unlink()

    upkeep.restore(file, url)

    async with open_bench(url):
        pass
    assert await find_era(url) == 1


async def test_what_is_no_backup_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'muster.db'}"
    with pytest.raises(NotFoundError, match="there is no"):
        upkeep.back_up(url, tmp_path / "backup.db")
    (tmp_path / "text").write_text("not a database, and long enough to be read as one" * 20)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE thing (name)")
    for name in ("text", "other.db"):
        with pytest.raises(InvalidError, match="is no database of Muster"):
            upkeep.restore(tmp_path / name, url)
    assert names_in(tmp_path) == ["muster.db.lock", "other.db", "text"]


async def test_a_spoiled_database_is_not_backed_up(tmp_path: Path) -> None:
    file = tmp_path / "muster.db"
    async with open_bench(f"sqlite:///{file}") as bench:
        queue = await bench.add_queue()
        await bench.publish(queue, *(b"%d" % number for number in range(2000)))
    with closing(sqlite3.connect(file)) as raw:
        page_bytes = raw.execute("PRAGMA page_size").fetchone()[0]
        [root] = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ready'").fetchone()
    with file.open("r+b") as raw_file:
        raw_file.seek((root - 1) * page_bytes + page_bytes // 2)
        raw_file.write(b"\xff" * (page_bytes // 2))

    with pytest.raises(InvalidError, match="has faults"):
        upkeep.back_up(f"sqlite:///{file}", tmp_path / "backup.db")
    assert not (tmp_path / "backup.db").exists()


# -- PostgreSQL ----------------------------------------------------------------------------------------------------------

AHEAD = 2**40


@pytest.mark.server
@pytest.mark.parametrize("has_eras", [True, False], ids=["with eras", "from before there were eras"])
async def test_notices_that_are_ahead_of_the_clusters_transactions_hold_nothing_back(
    postgres_url: str,
    has_eras: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """As in a cluster that is new, into which the dump of an old one was restored."""
    async with open_bench(postgres_url) as bench:
        await tell(bench, "first")
    await execute(postgres_url, "UPDATE outbox SET txid = $1", AHEAD)
    await execute(postgres_url, "UPDATE era SET identity = 'elsewhere'" if has_eras else "DELETE FROM era")

    async with open_bench(postgres_url) as bench:
        await tell(bench, "second")
        told = await list_told(bench)

        assert [(cursor.era, kind) for cursor, kind in told] == [(0, "first"), (1, "second")]
        assert await list_told(bench, told[0][0]) == told[1:]


@pytest.mark.server
async def test_a_service_that_runs_notices_that_its_database_stands_elsewhere(postgres_url: str) -> None:
    """A standby took over, for one, which may lack what was committed last."""
    async with open_bench(postgres_url) as bench:
        queue = await bench.add_queue()
        await bench.publish(queue, b"1")
        session = await bench.enrol()
        await bench.step(session, queue, want=1)
        await bench.store.heartbeat()
        assert (await bench.counts(queue)).in_work == 1
        await execute(postgres_url, "UPDATE era SET identity = 'elsewhere'")

        await bench.store.heartbeat()

        assert (await bench.counts(queue)).waiting == 1
        await bench.store.heartbeat()
        assert await find_era(postgres_url) == 1


@pytest.mark.server
async def test_an_ordinary_database_user_may_see_where_it_stands(postgres_url: str) -> None:
    await execute(postgres_url, "DROP ROLE IF EXISTS muster_ordinary")
    await execute(postgres_url, "CREATE ROLE muster_ordinary LOGIN")
    await execute(postgres_url, "GRANT ALL ON ALL TABLES IN SCHEMA public TO muster_ordinary")
    ordinary = postgres_url.replace("postgres@", "muster_ordinary@")
    try:
        seen = [await ask(one) for one in (postgres_url, ordinary)]
    finally:
        await execute(postgres_url, "DROP OWNED BY muster_ordinary")
        await execute(postgres_url, "DROP ROLE muster_ordinary")
    assert seen[0] == seen[1]
    assert len(seen[0].split("/")) == 4


async def ask(url: str) -> str:
    from muster.server.adapters.sql.database import connect_once

    async with connect_once(url) as connection:
        return await connection.run_sync(eras.find_identity)


@pytest.mark.server
async def test_services_that_start_together_on_a_restored_database_begin_one_era(postgres_url: str) -> None:
    async with open_bench(postgres_url):
        pass
    await upkeep.mark_as_restored(postgres_url)
    begun = asyncio.Event()

    async def start() -> None:
        async with open_bench(postgres_url):
            await begun.wait()

    starts = [asyncio.create_task(start()) for _ in range(3)]
    await until(lambda: has_services(postgres_url, 3))
    begun.set()
    await asyncio.wait(starts)
    for one in starts:
        one.result()
    assert await find_era(postgres_url) == 1


async def has_services(url: str, count: int) -> bool:
    return len((await upkeep.look(url)).services) == count


async def execute(url: str, statement: str, *arguments: object) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement, *arguments)
    await connection.close()
