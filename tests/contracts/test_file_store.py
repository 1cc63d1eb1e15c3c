"""Does every file store keep the contract of the port? And what is each one's own: a folder's modes, its crashes, its full disk."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.file_store_contract import ONE, SMALL, Age, FileStoreContract, list_all, put, read
from harness.namespaces import on_small_disk
from muster.domain.errors import InvalidError, NoRoomError, NotFoundError
from muster.server.adapters.folder.files import DRAFTS, check_folder, open_folder
from muster.server.ports.files import FileStore, StoredFile

pytestmark = pytest.mark.anyio

TESTS = Path(__file__).parents[1]
"""Where a process that is started finds `contracts`."""

DIES = """
import os, signal, sys
from collections.abc import AsyncIterator
from pathlib import Path
import anyio
from muster.server.adapters.folder.files import open_folder

async def chunks() -> AsyncIterator[bytes]:
    yield bytes(4 << 20)
    os.kill(os.getpid(), signal.SIGKILL)

async def main() -> None:
    await open_folder(Path(sys.argv[1])).put(sys.argv[2], chunks(), size_bytes=8 << 20, checksum="sha256:" + 64 * "0")

anyio.run(main)
"""

FILLS = """
import sys
from pathlib import Path
import anyio
from contracts.file_store_contract import LARGE, ONE, SMALL, TWO, list_all, put
from muster.domain.errors import NoRoomError
from muster.server.adapters.folder.files import DRAFTS, check_folder, open_folder

async def main() -> None:
    root = Path(sys.argv[1]) / "files"
    store = open_folder(root)
    await put(store, ONE, SMALL)
    try:
        await put(store, TWO, LARGE)
    except NoRoomError as error:
        print(error)
    print([one.file for one in await list_all(store)] == [ONE], list((root / DRAFTS).iterdir()))
    await put(store, TWO, SMALL)
    print("goes on")

anyio.run(main)
"""

TOO_LARGE = """
import sys
from pathlib import Path
import anyio
from contracts.file_store_contract import LARGE, list_all, put
from muster.domain.errors import TooLargeError
from muster.server.adapters.folder.files import DRAFTS, open_folder

async def main() -> None:
    root = Path(sys.argv[1])
    store = open_folder(root)
    try:
        await put(store, sys.argv[2], LARGE)
    except TooLargeError as error:
        print(error)
    print(await list_all(store), list((root / DRAFTS).iterdir()))

anyio.run(main)
"""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make_older(root: Path, seconds: float) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            found = path.stat()
            os.utime(path, (found.st_atime - seconds, found.st_mtime - seconds))


def list_modes(root: Path) -> tuple[set[int], set[int]]:
    """Of folders and of files."""
    modes: tuple[set[int], set[int]] = (set(), set())
    for path in (root, *root.rglob("*")):
        modes[path.is_file()].add(path.stat().st_mode & 0o777)
    return modes


def put_and_die(root: Path) -> int:
    """Begin to put a file from another process, which is killed in the middle; gives its exit code."""
    return subprocess.run([sys.executable, "-c", DIES, str(root), ONE], check=False).returncode


class TestFolderFileStore(FileStoreContract):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return tmp_path / "state" / "files"

    @pytest.fixture
    def store(self, root: Path) -> FileStore:
        return open_folder(root)

    @pytest.fixture
    def age(self, root: Path) -> Age:
        async def age(seconds: float) -> None:
            make_older(root, seconds)

        return age

    @pytest.fixture
    def drafts(self, root: Path) -> Callable[[], int]:
        return lambda: len(list((root / DRAFTS).iterdir()))

    async def test_nobody_else_may_look(self, store: FileStore, root: Path) -> None:
        before = os.umask(0)
        try:
            await put(store, ONE, SMALL)
        finally:
            os.umask(before)

        assert list_modes(root) == ({0o700}, {0o600})

    async def test_a_link_in_a_files_place_is_not_followed(self, store: FileStore, root: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("of somebody else")
        await put(store, ONE, SMALL)
        place = root / ONE[:2] / ONE[2:4] / ONE
        place.unlink()
        place.symlink_to(secret)

        with pytest.raises(NotFoundError):
            async with store.get(ONE):
                pass

    async def test_a_pipe_in_a_files_place_keeps_nobody_waiting(self, store: FileStore, root: Path) -> None:
        await put(store, ONE, SMALL)
        place = root / ONE[:2] / ONE[2:4] / ONE
        place.unlink()
        os.mkfifo(place)

        with pytest.raises(NotFoundError):
            async with store.get(ONE):
                pass

    async def test_what_else_lies_in_the_folder_is_no_file(self, store: FileStore, root: Path) -> None:
        await put(store, ONE, SMALL)
        (root / "ab").mkdir()
        (root / "ab" / "notes.txt").write_text("of somebody")
        (root / "lost+found").mkdir()
        (root / ONE[:2] / ONE[2:4] / "README").write_text("of somebody")

        assert await list_all(store) == [StoredFile(ONE, len(SMALL))]

    async def test_a_put_that_was_killed_leaves_a_draft_that_goes_after_a_day(
        self, store: FileStore, root: Path, drafts: Callable[[], int]
    ) -> None:
        assert put_and_die(root) == -signal.SIGKILL
        assert await list_all(store) == []
        assert drafts() == 1
        assert await store.sweep(older_s=24 * 3600.0) == 0

        make_older(root, 25 * 3600.0)

        assert await store.sweep(older_s=24 * 3600.0) == 1
        assert drafts() == 0
        await put(store, ONE, SMALL)
        assert await read(store, ONE) == SMALL


def test_a_full_disk_is_told_nothing_is_left_and_the_store_goes_on(tmp_path: Path) -> None:
    disk = on_small_disk(str(tmp_path / "disk"), "size=4m,mode=700")

    ended = subprocess.run(
        [*disk, sys.executable, "-c", FILLS, str(tmp_path / "disk")],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.splitlines() == [
        "the file store has no room: No space left on device",
        "True []",
        "goes on",
    ], ended.stderr


async def test_what_is_reserved_of_the_disk_stays_free(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    store = open_folder(tmp_path / "files", reserve_bytes=found.f_bavail * found.f_frsize * 2)

    with pytest.raises(NoRoomError, match=rf"stay so \(MUSTER_FILE_RESERVE_BYTES\), and {len(SMALL)} were to be"):
        await put(store, ONE, SMALL)

    assert await list_all(store) == []
    assert list((tmp_path / "files" / DRAFTS).iterdir()) == []


def test_a_file_larger_than_its_disk_takes_is_too_large(tmp_path: Path) -> None:
    ended = subprocess.run(
        ["prlimit", f"--fsize={1 << 20}", sys.executable, "-c", TOO_LARGE, str(tmp_path / "files"), ONE],
        cwd=TESTS,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.stdout.splitlines() == ["the file store's disk takes no file of this size", "[] []"], ended.stderr


@pytest.mark.parametrize("look", [open_folder, check_folder])
def test_a_folder_into_which_others_may_look_is_refused_with_the_remedy(
    tmp_path: Path, look: Callable[[Path], object]
) -> None:
    root = tmp_path / "open to all"
    root.mkdir(mode=0o755)
    root.chmod(0o755)

    with pytest.raises(InvalidError, match=r"files_dir: others may look into .*: say `chmod 700 '.*open to all'`"):
        look(root)


@pytest.mark.parametrize("look", [open_folder, check_folder])
def test_a_file_in_the_folders_place_is_refused(tmp_path: Path, look: Callable[[Path], object]) -> None:
    (tmp_path / "files").write_text("")

    with pytest.raises(InvalidError, match=r"files_dir: .*files cannot be used: .*name a folder"):
        look(tmp_path / "files")


def test_looking_at_a_folder_that_is_missing_makes_nothing(tmp_path: Path) -> None:
    check_folder(tmp_path / "files")

    assert list(tmp_path.iterdir()) == []
