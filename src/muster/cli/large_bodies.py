"""How do bodies over 1 MiB pass through the command line? As files, brought to the service and fetched from it."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from muster.cli.console import put_data
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError
from muster.domain.file import FILE_ID, parse_reference

PIECE_BYTES = 1 << 20


def make_upload(client: Client, workflow_id: str) -> Callable[[Path], str]:
    """What brings a file to the service, and gives its id."""
    return lambda path: client.upload_file(workflow_id, path).file


def fetch_body(client: Client, workflow_id: str, body: msgspec.Raw, folder: Path) -> Path:
    """Write the file to which a body refers into a folder, under its id; one that is there is whole, and stays. Raises InvalidError."""
    file = parse_reference(bytes(body)).file
    if FILE_ID.fullmatch(file) is None:
        raise InvalidError([Finding("file", f"the service names a file {file[:40]!r}, which is no id")])
    place = folder / file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            client.download_file(workflow_id, file, place)
    except OSError as error:
        raise InvalidError(
            [Finding("--files", f"{error.filename or folder} cannot be used: {error.strerror}")]
        ) from None
    return place


def put_large_body(client: Client, workflow_id: str, body: msgspec.Raw) -> None:
    """Write the bytes of the file to which a body refers to the output; checked before the first of them is written."""
    with (
        tempfile.TemporaryDirectory(prefix="muster-body-") as folder,
        fetch_body(client, workflow_id, body, Path(folder)).open("rb") as file,
    ):
        while piece := file.read(PIECE_BYTES):
            put_data(piece)
