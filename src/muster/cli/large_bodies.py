"""How do bodies over 1 MiB pass through the command line? As files, brought to the service and fetched from it."""

import base64
import binascii
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from shlex import quote

import msgspec

from muster.cli.console import put_data, say
from muster.cli.values import is_large
from muster.client.shapes.events import NewEventBody
from muster.client.shapes.files import Content
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError, MusterError
from muster.domain.file import FILE_ID, parse_reference

PIECE_BYTES = 1 << 20


def make_upload(client: Client, workflow_id: str) -> Callable[[Path], str]:
    """What brings a file to the service, and gives its id."""
    return lambda path: client.upload_file(workflow_id, path).file


def bring_large(client: Client, workflow_id: str, values: Iterable[object]) -> Iterator[object]:
    """The same values; an event whose body is too large for a message refers to a file, which the service has by then."""
    number = 0
    for value in values:
        if not isinstance(value, NewEventBody):
            yield value  # a sign for whoever publishes
            continue
        number += 1
        if not is_large(value):
            yield value
            continue
        try:
            yield _bring(client, workflow_id, value)
        except MusterError:
            say(f"event {number} has a body over 1 MiB, and could not be brought to the service")
            raise


def _bring(client: Client, workflow_id: str, event: NewEventBody) -> NewEventBody:
    content: Content = "bytes" if event.kind == "bytes" else "json"
    data = bytes(event.body)
    if content == "bytes":
        try:
            data = base64.b64decode(msgspec.json.decode(data, type=str).encode(), validate=True)
        except (msgspec.MsgspecError, UnicodeError, binascii.Error):
            raise InvalidError([Finding("body", "is of the kind bytes, and no text of base64")]) from None
    with tempfile.NamedTemporaryFile(prefix="muster-body-") as file:
        file.write(data)
        file.flush()
        stored = client.upload_file(workflow_id, Path(file.name), content=content).file
    return NewEventBody(body=msgspec.Raw(msgspec.json.encode(stored)), kind="file", key=event.key)


def say_references(count: int, workflow_id: str, alias: str) -> None:
    """Tell that bodies were written as references to files, and how their bytes are had."""
    if count:
        what = "1 of them is a reference to a file" if count == 1 else f"{count} of them are references to files"
        fetch = f"muster event export {workflow_id} {quote(alias)} --files FOLDER"
        say(
            f"{what}, since a body is over 1 MiB; --files FOLDER fetches such bodies, also of what was written before: {fetch}"
        )


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
