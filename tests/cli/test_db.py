"""Do the commands for operators say how the database stands, and what to do?"""

import json
import os
from pathlib import Path

import pytest

from muster.cli.main import run
from muster.server.adapters.sql.migrate import list_migrations
from muster.server.adapters.sql.sqlite_lock import _LOCKS, find_holder, lock_file


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name == "CI" or (name.startswith("MUSTER_") and not name.startswith("MUSTER_TEST_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_a_database_that_is_not_there_is_told_with_the_ways_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["db", "status"]) == 3
    told = capsys.readouterr().err
    assert ".muster/muster.db" in told
    assert "MUSTER_DATABASE_URL" in told
    assert "--dir" in told


def test_from_nothing_to_a_restored_database(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/a.db")
    assert run(["db", "upgrade", "--json"]) == 0
    revisions = [one.revision for one in list_migrations()]
    assert json.loads(capsys.readouterr().out) == {"made": revisions}
    assert run(["db", "upgrade"]) == 0
    assert "nothing to do" in capsys.readouterr().err

    assert run(["db", "status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["revision"], told["is_current"], told["services"]) == (revisions[-1], True, [])
    assert told["process"] is None
    assert [one["revision"] for one in told["migrations"] if one["is_made"]] == revisions

    assert run(["db", "backup", "b.db", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == (tmp_path / "b.db").stat().st_size
    copy = (tmp_path / "b.db").read_bytes()
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/b.db")
    assert run(["db", "status"]) == 0
    capsys.readouterr()
    assert (tmp_path / "b.db").read_bytes() == copy
    assert [one.name for one in tmp_path.glob("b.db*")] == ["b.db"]
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/a.db")
    assert run(["db", "backup", "b.db"]) == 4
    assert "b.db is there" in capsys.readouterr().err
    assert run(["db", "restore", "c.db", "--dir", "up"]) == 3
    assert "there is no backup c.db" in capsys.readouterr().err
    assert run(["db", "restore", "b.db", "--dir", "up"]) == 0
    assert "schema" in capsys.readouterr().err
    assert (tmp_path / "up" / "muster.db").stat().st_mode & 0o777 == 0o600
    assert run(["db", "restored", "--dir", "up"]) == 0
    assert "a new era begins" in capsys.readouterr().err
    assert run(["db", "status", "--dir", "up"]) == 0
    assert f"{revisions[-1]}, that of this program" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgresql_is_left_to_its_own_programs(
    command: str, program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", "postgresql://muster:secret@db.example.org/muster")
    assert run(["db", command, "b.db"]) == 4
    told = capsys.readouterr().err
    assert told.startswith("muster: MUSTER_DATABASE_URL: ")
    assert program in told
    assert "secret" not in told


def test_links_that_lead_in_a_round_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.db").symlink_to(tmp_path / "b.db")
    (tmp_path / "b.db").symlink_to(tmp_path / "a.db")
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/a.db")

    assert run(["db", "upgrade"]) == 4
    assert "Too many levels of symbolic links" in capsys.readouterr().err


def test_the_process_that_has_the_file_is_named_while_it_has_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/a.db")
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    assert run(["db", "upgrade"]) == 0
    capsys.readouterr()

    def read() -> tuple[int | None, bool]:
        assert run(["db", "status", "--json"]) == 0
        process = json.loads(capsys.readouterr().out)["process"]
        assert run(["db", "status"]) == 0
        return process, f"process {os.getpid()}" in capsys.readouterr().out

    with lock_file(tmp_path / "a.db"):
        held = read()
        monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/link.db")
        by_link = read()
    assert held == by_link == (os.getpid(), True)
    assert read() == (None, False)


def test_a_lock_on_another_file_system_is_not_taken_for_that_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    with lock_file(path):
        inode = (tmp_path / "a.db.lock").stat().st_ino
        [ours] = [line for line in _LOCKS.read_text().splitlines() if f":{inode} " in line]
        device = ours.split()[5].rpartition(":")[0]
        locks = tmp_path / "locks"
        monkeypatch.setattr("muster.server.adapters.sql.sqlite_lock._LOCKS", locks)

        locks.write_text(ours.replace(device, "00:fe").replace(str(os.getpid()), "1") + f"\n{ours}\n")
        both = find_holder(path)
        locks.write_text(ours.replace(device, "00:fe") + "\n")

        assert both == os.getpid()
        assert find_holder(path) is None
