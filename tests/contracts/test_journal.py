"""Does every journal keep the contract of the port? And does the one of files survive what happens to files?"""

# ruff: noqa: ASYNC240  # small local files, in tests

import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.site_fakes import FakeJournal
from muster.client.shapes.sites import StartOrder
from muster.domain.errors import RejectedError, UnavailableError
from muster.site.adapters.journal.files import FileJournal
from muster.site.ports.journal import Journal, Record, Remembered, Stage

pytestmark = pytest.mark.anyio

ORDER = StartOrder(
    taskforce_uuid="TF-1",
    workflow_id="WF-1",
    task_id="TK-1",
    location="local",
    schedd="local",
    fence=3,
    n_workers=2,
    task_image="",
    worker_config={"n_cores": 1},
    pilot_config={"environment": {"A": "ü"}},
    secret="s3cret",
)
INTENDED = Record("TF-1", Stage.INTENDED, fence=3, n_workers=2, order=ORDER)
ENDED = Record("TF-2", Stage.ENDED, fence=1, n_workers=1, cluster=7, ended_at=1.5)

Reopen = Callable[[], Awaitable[Journal]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class JournalContract:
    """The fixtures: `journal`, `reopen` (another object over the same memory), and `damage`, which spoils a stored record."""

    async def test_an_empty_journal_remembers_nothing(self, journal: Journal) -> None:
        assert await journal.read() == Remembered([], [])

    async def test_records_are_remembered_whole_also_by_the_next_agent(self, journal: Journal, reopen: Reopen) -> None:
        await journal.put(ENDED)
        await journal.put(INTENDED)

        assert list((await journal.read()).records) == [INTENDED, ENDED]
        assert list((await (await reopen()).read()).records) == [INTENDED, ENDED]

    async def test_a_record_takes_the_place_of_the_old_one(self, journal: Journal, reopen: Reopen) -> None:
        await journal.put(INTENDED)
        submitted = replace(INTENDED, stage=Stage.SUBMITTED, cluster=9, order=None)

        await journal.put(submitted)

        assert list((await (await reopen()).read()).records) == [submitted]

    async def test_a_deleted_record_is_gone_and_deleting_it_again_is_no_error(
        self, journal: Journal, reopen: Reopen
    ) -> None:
        await journal.put(INTENDED)
        await journal.put(ENDED)

        await journal.delete("TF-1")
        await journal.delete("TF-1")

        assert list((await (await reopen()).read()).records) == [ENDED]

    async def test_a_damaged_record_is_reported_once_and_stops_nobody_elses(
        self, journal: Journal, reopen: Reopen, damage: Callable[[str], None]
    ) -> None:
        await journal.put(INTENDED)
        await journal.put(ENDED)
        damage("TF-1")

        later = await reopen()
        first, second = await later.read(), await later.read()

        assert list(first.records) == list(second.records) == [ENDED]
        assert (len(first.damaged), len(second.damaged)) == (1, 0)
        await later.put(INTENDED)
        assert list((await later.read()).records) == [INTENDED, ENDED]


class TestFakeJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> FakeJournal:
        return FakeJournal()

    @pytest.fixture
    def reopen(self, journal: FakeJournal) -> Reopen:
        async def reopen() -> Journal:
            return FakeJournal(journal.files)

        return reopen

    @pytest.fixture
    def damage(self, journal: FakeJournal) -> Callable[[str], None]:
        def damage(uuid: str) -> None:
            journal.files[uuid] = b'{"taskforce'

        return damage


class TestFileJournal(JournalContract):
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "journal"

    @pytest.fixture
    def journal(self, folder: Path) -> FileJournal:
        return FileJournal(folder)

    @pytest.fixture
    def reopen(self, folder: Path) -> Reopen:
        async def reopen() -> Journal:
            return FileJournal(folder)

        return reopen

    @pytest.fixture
    def damage(self, folder: Path) -> Callable[[str], None]:
        def damage(uuid: str) -> None:
            path = folder / f"{uuid}.json"
            path.write_bytes(path.read_bytes()[:20])

        return damage

    async def test_only_its_owner_can_read_a_record(self, journal: FileJournal, folder: Path) -> None:
        await journal.put(INTENDED)

        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "TF-1.json")}
        assert modes == {folder: 0o700, folder / "TF-1.json": 0o600}

    async def test_a_half_written_file_is_cleared_away(self, journal: FileJournal, folder: Path) -> None:
        await journal.put(ENDED)
        (folder / ".tmp-TF-1.json").write_bytes(b'{"taskforce_uuid":"TF-1","sta')

        assert await journal.read() == Remembered([ENDED], [])
        assert [path.name for path in folder.iterdir()] == ["TF-2.json"]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\0" * 200,
            b"[]",
            b'{"taskforce_uuid":"TF-1","stage":"dancing","fence":1}',
            b"\xff\xfe",
            b'{"fence":1}',
        ],
    )
    async def test_whatever_stands_in_a_file_it_is_not_fatal(
        self, journal: FileJournal, folder: Path, content: bytes
    ) -> None:
        await journal.put(ENDED)
        (folder / "TF-1.json").write_bytes(content)

        remembered = await journal.read()

        assert list(remembered.records) == [ENDED]
        assert [Path(name).read_bytes() for name in remembered.damaged] == [content]

    async def test_a_record_of_another_version_is_read(self, journal: FileJournal, folder: Path) -> None:
        """What 0.1.0 wrote, and a field of some later version. A field that is new needs a default, or an upgrade forgets clusters."""
        await journal.put(ENDED)
        (folder / "TF-1.json").write_text("""{
            "taskforce_uuid": "TF-1", "stage": "intended", "fence": 3, "n_workers": 2, "cluster": null, "grace_s": 0.0,
            "ended_at": null, "colour": "blue",
            "order": {
                "taskforce_uuid": "TF-1", "workflow_id": "WF-1", "task_id": "TK-1", "location": "local", "schedd": "local",
                "fence": 3, "n_workers": 2, "task_image": "", "worker_config": {"n_cores": 1},
                "pilot_config": {"environment": {"A": "ü"}}, "secret": "s3cret", "colour": "blue"
            }
        }""")

        assert await journal.read() == Remembered([INTENDED, ENDED], [])

    async def test_a_record_under_anothers_name_is_damaged(self, journal: FileJournal, folder: Path) -> None:
        await journal.put(ENDED)
        (folder / "TF-2.json").rename(folder / "TF-1.json")

        remembered = await journal.read()

        assert (list(remembered.records), len(remembered.damaged)) == ([], 1)

    @pytest.mark.parametrize("uuid", ["../x", "", ".tmp-a", "a/b", "a\0b", "x" * 300])
    async def test_a_name_that_leads_elsewhere_is_refused(self, journal: FileJournal, folder: Path, uuid: str) -> None:
        with pytest.raises(RejectedError):
            await journal.put(replace(ENDED, taskforce_uuid=uuid))

        assert not folder.exists()

    async def test_a_disk_that_refuses_leaves_the_old_record(self, journal: FileJournal, folder: Path) -> None:
        await journal.put(INTENDED)
        (folder / ".tmp-TF-1.json").mkdir()  # stands in the way of the temporary file

        with pytest.raises(UnavailableError, match="TF-1"):
            await journal.put(replace(INTENDED, fence=4))

        (folder / ".tmp-TF-1.json").rmdir()
        assert list((await journal.read()).records) == [INTENDED]
