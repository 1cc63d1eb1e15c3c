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
from muster.worker.body_rules import find_excess

FINDINGS_MAX = 10
"""Bad lines that are named; more are counted."""
LINE_BYTES_MAX = 64 << 20
"""Of one line, which is read whole. A body over 1 MiB goes as a file, which may be larger than this."""
CHUNK_BYTES = 1 << 16
QUIET_S = 0.2
"""What has come from a pipe is sent when nothing more comes for so long."""
_AS_FILE = "write it into a file of its own, and publish that with --bytes"


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

    def read(self, line: bytes, number: int) -> NewEventBody | Finding:
        """The event of a line (numbered from 1), or what is wrong with the line."""
        where = f"{self.name}:{number}"
        if len(line) > LINE_BYTES_MAX:
            return Finding(where, f"is longer than {LINE_BYTES_MAX} bytes: {_AS_FILE}")
        try:
            line.decode()
            body = msgspec.json.decode(line, type=msgspec.Raw)  # the text is the event: 1e400 is JSON, though no float
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Finding(where, f"is not JSON ({str(error)[:100]}): {_show(line)}")
        event = _read_exported(line, where) if self.with_ids else self._make(body, line, where)
        if isinstance(event, NewEventBody) and (reason := _find_fault_of_large(event)) is not None:
            return Finding(where, reason)
        return event

    def _make(self, body: msgspec.Raw, line: bytes, where: str) -> NewEventBody | Finding:
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
    number, rest = 0, bytearray()
    while chunk := os.read(descriptor, CHUNK_BYTES):
        head, *others = chunk.split(b"\n")
        rest += head  # what came of a long line before is not copied for each piece of it
        lines: list[bytes] = []
        if others:
            lines, rest = [bytes(rest), *others[:-1]], bytearray(others[-1])
        if len(rest) > LINE_BYTES_MAX:
            lines, rest = [*lines, bytes(rest)], bytearray()  # too long already: refused below, with its number
        for line in lines:
            number += 1
            if line.strip():
                yield _require(reader.read(line.strip(), number))
        if lines and not select.select([descriptor], [], [], QUIET_S)[0]:
            yield FLUSH
    if rest.strip():
        yield _require(reader.read(bytes(rest.strip()), number + 1))


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
    return NewEventBody(body=exported.body, kind=exported.kind, key=exported.key)


def is_large(event: NewEventBody) -> bool:
    """Is its body, as it stands in the event, too large for a message?"""
    body = bytes(event.body)
    match event.kind:
        case "json":
            return len(body) > BODY_BYTES_MAX
        case "bytes":  # base64 between quotes
            padding = body[-3:].count(b"=")
            return (len(body) - 2) // 4 * 3 - padding > BODY_BYTES_MAX
        case _:
            return False


def _find_fault_of_large(event: NewEventBody) -> str | None:
    """Why a body that goes as a file must not: the service does not look into files, and to whom it is an error is too late."""
    body = bytes(event.body)
    if event.kind != "json" or not is_large(event):
        return None
    if body.startswith(b'"'):  # a small one reaches plain commands without its quotes, a file as it is
        return f"is a text of {len(body)} bytes: over {BODY_BYTES_MAX}, {_AS_FILE}"
    return find_excess(body)


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
