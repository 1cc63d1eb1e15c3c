"""Which events does the input hold? JSON lines, checked before any of them is sent; or whole files, as bytes."""

import os
import select
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from muster.client.conversations import FLUSH
from muster.client.shapes.events import NewEventBody
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.domain.queue import BODY_BYTES_MAX, KEY_CHARS_MAX

FINDINGS_MAX = 10
"""Bad lines that are named; more are counted."""
CHUNK_BYTES = 1 << 16
QUIET_S = 0.2
"""What has come from a pipe is sent when nothing more comes for so long."""


@dataclass(frozen=True)
class LineReader:
    """Makes an event of each line.

    Args:
        name: of the file, for messages.
        key_field: the field of each line's object that is its dedupe key; None for no keys.
        with_ids: the lines are exported ones, `{"event": …, "key": …, "kind": …, "body": …}`: all but the id is taken.
    """

    name: str
    key_field: str | None = None
    with_ids: bool = False

    @property
    def bytes_max(self) -> int:
        """Of one line. An exported one has the event's id and key besides, and bytes a third longer."""
        return 2 * BODY_BYTES_MAX if self.with_ids else BODY_BYTES_MAX

    def read(self, line: bytes, number: int) -> NewEventBody | Finding:
        """The event of a line (numbered from 1), or what is wrong with the line."""
        where = f"{self.name}:{number}"
        if len(line) > self.bytes_max:
            return Finding(where, f"is longer than {self.bytes_max} bytes")
        try:
            line.decode()
            body = msgspec.json.decode(line, type=msgspec.Raw)  # the text is the event: 1e400 is JSON, though no float
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Finding(where, f"is not JSON ({str(error)[:100]}): {_show(line)}")
        if self.with_ids:
            return _read_exported(line, where)
        key = None
        if self.key_field is not None and (key := _find_key(line, self.key_field)) is None:
            what = f"a text of 1 to {KEY_CHARS_MAX} characters, or a whole number"
            return Finding(where, f"has no field {self.key_field!r} that is {what}: {_show(line)}")
        return NewEventBody(body=body, key=key)


def check_file(path: Path, reader: LineReader) -> int:
    """Read a file to its end and count its events.

    Raises:
        NotFoundError: there is no such file.
        InvalidError: lines that cannot be events, the first ten by name.
    """
    count = 0
    findings: list[Finding] = []
    wrong = 0
    with open_file(path) as file:
        for number, line in _number(file):
            found = reader.read(line, number)
            if isinstance(found, Finding):
                wrong += 1
                if len(findings) < FINDINGS_MAX:
                    findings.append(found)
            else:
                count += 1
    if wrong > FINDINGS_MAX:
        findings.append(Finding(str(path), f"has {wrong - FINDINGS_MAX} more lines that are wrong"))
    if findings:
        raise InvalidError(findings)
    return count


def read_lines(file: BinaryIO, reader: LineReader) -> Iterator[NewEventBody]:
    """The events of a file. Raises InvalidError at the first line that cannot be one."""
    for number, line in _number(file):
        yield _require(reader.read(line, number))


def read_pipe(descriptor: int, reader: LineReader) -> Iterator[object]:
    """The events of a pipe or terminal as they come; `FLUSH` when nothing more is there for the moment."""
    number, rest = 0, b""
    while chunk := os.read(descriptor, CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > reader.bytes_max:
            lines, rest = [*lines, rest], b""  # too long already: refused below, with its number
        for line in lines:
            number += 1
            if line.strip():
                yield _require(reader.read(line.strip(), number))
        if lines and not select.select([descriptor], [], [], QUIET_S)[0]:
            yield FLUSH
    if rest.strip():
        yield _require(reader.read(rest.strip(), number + 1))


def check_whole_files(paths: Sequence[Path], *, with_keys: bool) -> int:
    """Look at files that are to be an event each, with their paths as keys, and count them. Raises NotFoundError, InvalidError."""
    findings = []
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"there is no file {path}")
        if path.is_dir():
            findings.append(Finding(str(path), "is a folder"))
        elif not path.is_file():
            findings.append(
                Finding(str(path), "is no regular file (a pipe or a device): its length is not known before it is read")
            )
        elif with_keys and (reason := _find_fault_of_path(str(path))) is not None:
            findings.append(Finding(str(path), f"{reason}; with --no-keys it is published without"))
    if findings:
        raise InvalidError(findings)
    return len(paths)


def read_whole_files(
    paths: Sequence[Path], *, with_keys: bool, upload: Callable[[Path], str]
) -> Iterator[NewEventBody]:
    """Each file's content as an event; its path, as given, is its key. `upload` brings one that is too large for a message to the
    service, and gives its id.
    """
    for path in paths:
        key = str(path) if with_keys else None
        if path.stat().st_size > BODY_BYTES_MAX:
            yield NewEventBody(body=msgspec.Raw(msgspec.json.encode(upload(path))), kind="file", key=key)
        else:
            yield NewEventBody(body=msgspec.Raw(msgspec.json.encode(path.read_bytes())), kind="bytes", key=key)


def open_file(path: Path) -> BinaryIO:
    """Open for reading. Raises NotFoundError, InvalidError."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise InvalidError(
            [Finding(str(path), "is a folder; name a file of JSON lines, or files with --bytes")]
        ) from None


class _Exported(msgspec.Struct):
    """A line that was exported with ids. Of bytes the body is a base64 text."""

    body: msgspec.Raw
    key: str | None = None
    kind: Literal["json", "bytes", "file"] = "json"


def _read_exported(line: bytes, where: str) -> NewEventBody | Finding:
    try:
        exported = msgspec.json.decode(line, type=_Exported)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Finding(where, f'is no {{"event": …, "key": …, "body": …}} ({str(error)[:100]}): {_show(line)}')
    if exported.key is not None and not 1 <= len(exported.key) <= KEY_CHARS_MAX:
        return Finding(where, f"has a key of {len(exported.key)} characters; 1 to {KEY_CHARS_MAX} are allowed")
    if exported.kind == "json" and len(bytes(exported.body)) > BODY_BYTES_MAX:
        return Finding(where, f"has a body that is longer than {BODY_BYTES_MAX} bytes")
    return NewEventBody(body=exported.body, kind=exported.kind, key=exported.key)


def _find_key(line: bytes, field: str) -> str | None:
    """What stands in a field of an object, as a key; None when it cannot be one."""
    try:
        found = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).get(field, msgspec.Raw(b"null"))
        value = msgspec.json.decode(found, type=str | int)
    except msgspec.MsgspecError:
        return None
    key = str(value)
    return key if 1 <= len(key) <= KEY_CHARS_MAX else None


def _find_fault_of_path(path: str) -> str | None:
    """Why it cannot be a key."""
    if len(path) > KEY_CHARS_MAX:
        return f"is a path of {len(path)} characters; as the event's key it may have {KEY_CHARS_MAX}"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "is a path that is not UTF-8, which a key must be"
    return None


def _number(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1."""
    for number, line in enumerate(file, 1):
        if stripped := line.strip():
            yield number, stripped


def _require(found: NewEventBody | Finding) -> NewEventBody:
    if isinstance(found, Finding):
        raise InvalidError([found])
    return found


def _show(line: bytes) -> str:
    text = line.decode(errors="replace")
    return text if len(text) <= 60 else text[:60] + "…"
