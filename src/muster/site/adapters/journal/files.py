"""Where does the agent write down what it intends? One JSON file a taskforce, 0600 for the secret that it may hold."""

import re
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from muster.domain.errors import RejectedError
from muster.site.adapters.durable import TEMPORARY, disk_errors, sync_folder, write_file
from muster.site.ports.journal import Record, Remembered

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")
_SUFFIX = ".json"


class FileJournal:
    """A folder of records. Damaged files go to its subfolder `damaged`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns = anyio.Lock()  # writers of one file share its temporary name

    async def put(self, record: Record) -> None:
        content = msgspec.json.encode(record)
        path = self._path(record.taskforce_uuid)
        async with self._turns:
            await anyio.to_thread.run_sync(self._put, path, content)

    async def delete(self, taskforce_uuid: str) -> None:
        path = self._path(taskforce_uuid)
        async with self._turns:
            await anyio.to_thread.run_sync(self._delete, path)

    async def read(self) -> Remembered:
        async with self._turns:
            return await anyio.to_thread.run_sync(self._read)

    def _path(self, taskforce_uuid: str) -> Path:
        if not _NAME.fullmatch(taskforce_uuid):
            raise RejectedError(
                f"taskforce uuid {taskforce_uuid!r} cannot name a file: letters, digits, '-' and '_' only"
            )
        return self._folder / f"{taskforce_uuid}{_SUFFIX}"

    def _put(self, path: Path, content: bytes) -> None:
        with disk_errors(path):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(path, content)

    def _delete(self, path: Path) -> None:
        with disk_errors(path):
            if path.exists():
                path.unlink()
                sync_folder(self._folder)

    def _read(self) -> Remembered:
        records: list[Record] = []
        damaged: list[str] = []
        with disk_errors(self._folder):
            if not self._folder.exists():
                return Remembered([], [])
            for path in sorted(self._folder.iterdir()):
                if path.name.startswith(TEMPORARY):
                    path.unlink()
                elif path.suffix == _SUFFIX and path.is_file():
                    try:
                        record = msgspec.json.decode(path.read_bytes(), type=Record)
                        if record.taskforce_uuid != path.stem:
                            raise msgspec.ValidationError(f"it is about {record.taskforce_uuid}")
                        records.append(record)
                    except msgspec.DecodeError:
                        damaged.append(str(self._set_aside(path)))
        return Remembered(records, damaged)

    def _set_aside(self, path: Path) -> Path:
        aside = self._folder / "damaged"
        aside.mkdir(mode=0o700, exist_ok=True)
        number = 1
        while (place := aside / f"{path.stem}.{number}{_SUFFIX}").exists():
            number += 1
        path.replace(place)
        sync_folder(self._folder)
        return place


def peek_records(folder: Path) -> list[Record]:
    """What an agent, that may be writing there at this moment, has in its journal, by uuid. Nothing is mended. Raises UnavailableError."""
    records = []
    with disk_errors(folder):
        for path in sorted(folder.glob(f"[!.]*{_SUFFIX}")):
            try:
                records.append(msgspec.json.decode(path.read_bytes(), type=Record))
            except (
                FileNotFoundError,
                msgspec.DecodeError,
            ):  # forgotten meanwhile, or damaged: the agent's start tells of it
                continue
    return records
