"""May this be an event's result? What a task wrote or answered, judged before it travels.

The service copies JSON bodies through as text and refuses what some parsers cannot read; one bad result would spoil the call that
carries others too, so the same is refused here, as that event's error. Limits: docs/reference/worker-protocol.md.
"""

from __future__ import annotations

import base64
import json
import os
import re
from typing import NoReturn, Optional, Tuple

from muster.worker.body_rules import find_excess
from muster.worker.task_files import NotRegularError, open_regular

BODY_BYTES_MAX = 1 << 20

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class ResultError(Exception):
    """It cannot be a result; the text says why, to the task's author."""


def render_json(raw: bytes, name: str, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """A result from JSON text, as messages carry it. Raises ResultError; `name` is what the text is called there."""
    _check_size(len(raw), name, bytes_max=bytes_max)
    if raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    try:
        value = _DECODER.decode(raw.decode())
    except json.JSONDecodeError as error:
        raise ResultError(f"{name} promised JSON: line {error.lineno} column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{name} promised JSON: {error}") from None
    if _SURROGATE.search(raw):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ResultError(f"{name} promised JSON: it holds half of a surrogate pair") from None
    excess = find_excess(raw)
    if excess is not None:
        raise ResultError(f"{name} promised JSON: it {excess}")
    return b'{"kind":"json","body":' + raw + b"}"


def render_text(text: str, name: str) -> bytes:
    """A result that is one JSON string. Raises ResultError."""
    raw = json.dumps(text).encode()
    _check_size(len(raw), name)
    return b'{"kind":"json","body":' + raw + b"}"


def render_bytes(data: bytes, name: str) -> bytes:
    """A result of bytes. Raises ResultError."""
    _check_size(len(data), name)
    return b'{"kind":"bytes","body":"' + base64.b64encode(data) + b'"}'


def read_output(path: str, name: str, *, bytes_max: int) -> "Tuple[Optional[bytes], Optional[bytes]]":
    """What a task left as its output, and the word that `muster.task` left beside it; None for what there is not. Raises ResultError."""
    data = read_regular(path, name, bytes_max=bytes_max)
    return data, None if data is None else read_regular(f"{path}.kind", name)


def read_outfile(path: str, extension: str) -> Optional[bytes]:
    """What a task left as its output, as messages carry it; None when it left nothing.

    By the word that `muster.task` leaves beside it, else by the extension: JSON for `json`; else text, or bytes where it is not UTF-8.
    Raises ResultError.
    """
    name = name_outfile(extension)
    data, word = read_output(path, name, bytes_max=BODY_BYTES_MAX)
    if data is None:
        return None
    if word == b"json" or (word is None and extension.lower() == "json"):
        return render_json(data, name)
    if word == b"bytes":
        return render_bytes(data, name)
    try:
        return render_text(data.decode(), name)
    except UnicodeDecodeError:
        return render_bytes(data, name)


def name_outfile(extension: str) -> str:
    """What an output file is called in errors."""
    return f"output file of extension .{extension}"


def read_regular(path: str, name: str, *, bytes_max: int = BODY_BYTES_MAX) -> Optional[bytes]:
    """A file's content; None: there is none. A pipe, a link or a device in its place is an error. Raises ResultError."""
    try:
        descriptor = open_regular(path)
    except FileNotFoundError:
        return None
    except NotRegularError:
        raise ResultError(f"{name} is no regular file") from None
    except OSError as error:
        raise ResultError(f"{name} cannot be read: {error.strerror}") from None
    try:
        _check_size(os.fstat(descriptor).st_size, name, bytes_max=bytes_max)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(bytes_max + 1)
    finally:
        os.close(descriptor)


def _check_size(size_bytes: int, name: str, *, bytes_max: int = BODY_BYTES_MAX) -> None:
    if size_bytes > bytes_max:
        raise ResultError(
            f"{name} is {size_bytes} bytes; a result may have {bytes_max}. Put larger ones where others can "
            "read them and return the place"
        )


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
