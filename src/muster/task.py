"""How does a task get its events and give its results? With one function: `task.run(handle)`.

    from muster import task

    def handle(event):
        return {"squared": event["n"] ** 2}

    if __name__ == "__main__":
        task.run(handle)

The same program runs once per event, or warm: started once, fed events one after another. This file imports nothing of
Muster, needs Python 3.9, and may be copied beside a task as `task.py`. Described in `docs/reference/task.md`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import sys
import traceback
from typing import Any, Callable, Dict, List, Optional, Tuple

VERSION = 1
"""Of the frames on the descriptors; the worker refuses one that it does not speak."""

RESULT_BYTES_MAX = 1 << 20
"""One result: at most 1 MiB, unless the worker says by MUSTER_RESULT_BYTES_MAX that it takes larger ones, as files."""

_SIZES = struct.Struct(">II")
# Made once: `json.dumps` with options makes an encoder for each call, which takes longer than a small result.
_render_header = json.JSONEncoder(separators=(",", ":")).encode
_render_result = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_READ_BYTES = 1 << 16


def run(handle: Callable[[Any], Any]) -> None:
    """Give events to `handle` and its results to the worker; returns when there are no more events.

    Args:
        handle: gets the event's body: the JSON value, or `bytes` where bytes were published. Returns the result, a JSON value
            or bytes, or None for no result. What it raises is the event's error, with its traceback; a warm task goes on with
            the next event.

    Raises:
        RuntimeError: neither a worker nor the variables EWMS_TASK_INFILE and EWMS_TASK_OUTFILE are there.
    """
    if _descriptors is not None:
        _run_warm(handle, *_descriptors)
    else:
        _run_once(handle)


class Addressed:
    """A result for one of the task's output queues; made by `to`."""

    def __init__(self, queue: str, result: Any) -> None:
        self.queue = queue
        self.result = result


def to(queue: str, result: Any) -> Addressed:
    """A result that goes to one output queue of the task alone: `return task.to("hits", {"n": 1})`.

    Args:
        queue: its alias in the workflow.
        result: what `handle` would return without it. With the output `lines` the items of a list may be such.

    Raises:
        ValueError: the task has no such output queue.
        RuntimeError: the worker, or its service, is of an older version, and would send the result to all of them.
    """
    known = os.environ.get("MUSTER_TASK_OUTPUTS")
    if known is None and "MUSTER_ATTEMPT" in os.environ:
        raise RuntimeError(
            f"a result for {queue!r} alone: the worker, or its service, is of a version that sends results to all queues"
        )
    if known is not None and queue not in known.split():
        raise ValueError(f"{queue!r} is no output queue of this task; it has: {', '.join(known.split()) or 'none'}")
    return Addressed(queue, result)


def input_queue() -> Optional[str]:
    """The alias of the queue where the event in hand waited, of a task that reads several; None of one that reads one."""
    return _input_queue if _descriptors is not None else os.environ.get("MUSTER_EVENT_QUEUE")


_input_queue: Optional[str] = None
"""Of a warm task."""


def _take_descriptors() -> Optional[Tuple[int, int]]:
    """Move the worker's descriptors out of the way of user code: high numbers, closed in children, no variable left.

    In a container that has none of them there are pipes of these names, beside the input file.
    """
    named, pipes = os.environ.pop("MUSTER_TASK_FDS", None), os.environ.pop("MUSTER_TASK_PIPES", None)
    if named is not None:
        given = [int(number) for number in named.split(",")]
    elif pipes is not None:
        folder = os.path.dirname(os.environ["EWMS_TASK_INFILE"])
        paths = (os.path.join(folder, name) for name in pipes.split(","))
        # Without waiting for the other end: where there is none, the worker has died.
        given = [os.open(path, mode | os.O_NONBLOCK) for path, mode in zip(paths, (os.O_RDONLY, os.O_WRONLY))]
        for number in given:
            os.set_blocking(number, True)
    else:
        return None
    events, answers = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for number in given)
    for number in given:
        os.close(number)
    os.register_at_fork(after_in_child=_forget_descriptors)
    return events, answers


def _forget_descriptors() -> None:
    """A forked child of user code must neither hold the descriptors nor answer on them."""
    global _descriptors
    if _descriptors is not None:
        for number in _descriptors:
            with contextlib.suppress(OSError):
                os.close(number)
    _descriptors = None


_descriptors = _take_descriptors()


# -- warm: frames of two sizes (u32, big endian), a JSON header and a body ------------------------------------------------


def _run_warm(handle: Callable[[Any], Any], events: int, answers: int) -> None:
    global _input_queue
    # What does not fit into a frame goes by these, in both directions.
    infile, outfile = os.environ.get("EWMS_TASK_INFILE", ""), os.environ.get("EWMS_TASK_OUTFILE", "")
    _write_frame(answers, {"hello": VERSION, "pid": os.getpid(), "files": True}, b"")
    while (frame := _read_frame(events)) is not None:
        header, body = frame
        _input_queue = header.get("queue")
        answer: Dict[str, Any] = {"event": header["event"], "fence": header["fence"]}
        try:
            given = handle(_parse(_read_file(infile) if "file" in header else body, header["kind"]))
            names, given = _take_names(given)
            outcome, result = _render(given)
            if len(result) > RESULT_BYTES_MAX:
                _leave(outfile, outcome, names, result)
                outcome, result, names = "file", b"", []
            answer["outcome"] = outcome
            if names:
                answer["to"] = names
        except Exception as error:  # noqa: BLE001 - whatever user code raises is that event's error, and told to its user
            answer["outcome"], result = "failed", _tell(error)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        _write_frame(answers, answer, result)


def _parse(body: bytes, kind: str) -> Any:
    """The event as `handle` gets it."""
    if kind == "json":
        return json.loads(body.decode("utf-8-sig" if body.startswith(b"\xef\xbb\xbf") else "utf-8"))
    if kind == "bytes":
        return body
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def _take_names(given: Any) -> Tuple[List[str], Any]:
    """The output queues that are named, one for all or one for each item, and the result without them."""
    if isinstance(given, Addressed):
        if isinstance(given.result, Addressed):
            raise TypeError(
                "task.to(queue, result): the result is for another queue already; one result goes to one queue"
            )
        return [given.queue], given.result
    if isinstance(given, (list, tuple)) and any(isinstance(item, Addressed) for item in given):
        names = [item.queue if isinstance(item, Addressed) else "" for item in given]
        return names, [item.result if isinstance(item, Addressed) else item for item in given]
    return [], given


def _render(result: Any) -> Tuple[str, bytes]:
    """The outcome's word and the body. Raises TypeError, ValueError for what cannot be a result."""
    if result is None:
        return "none", b""
    if isinstance(result, (bytes, bytearray, memoryview)):
        kind, body = "bytes", bytes(result)
    else:
        kind, body = "json", _render_result(result).encode()
    if len(body) > RESULT_BYTES_MAX and len(body) > (bytes_max := _read_bytes_max()):
        raise ValueError(f"the result is {len(body)} bytes; at most {bytes_max} are allowed")
    return kind, body


def _read_bytes_max() -> int:
    """How large a result may be that goes by a file."""
    return int(os.environ.get("MUSTER_RESULT_BYTES_MAX") or RESULT_BYTES_MAX)


def _tell(error: Exception) -> bytes:
    """The traceback without this module's frame, also on stderr."""
    inner = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, inner or error.__traceback__))
    sys.stderr.write(text)
    return text.encode("utf-8", "backslashreplace")[-RESULT_BYTES_MAX:]


def _read_frame(source: int) -> Optional[Tuple[Dict[str, Any], bytes]]:
    """The next frame; None at the end of events."""
    data = os.read(source, _READ_BYTES)
    if not data:
        return None
    if len(data) < _SIZES.size:
        data += _read_rest(source, _SIZES.size - len(data))
    header_bytes, body_bytes = _SIZES.unpack_from(data)
    begin, end = _SIZES.size, _SIZES.size + header_bytes
    if (missing := end + body_bytes - len(data)) > 0:
        data += _read_rest(source, missing)
    return json.loads(data[begin:end].decode()), data[end : end + body_bytes]


def _read_rest(source: int, wanted: int) -> bytes:
    parts: List[bytes] = []
    while wanted > 0:
        part = os.read(source, min(wanted, 1 << 20))
        if not part:
            raise EOFError("the worker went away in the middle of an event")
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)


def _write_frame(target: int, header: Dict[str, Any], body: bytes) -> None:
    head = _render_header(header).encode()
    data = memoryview(b"".join((_SIZES.pack(len(head), len(body)), head, body)))
    while data:
        data = data[os.write(target, data) :]


# -- once: files, named by variables ---------------------------------------------------------------------------------------


def _run_once(handle: Callable[[Any], Any]) -> None:
    try:
        infile, outfile = os.environ["EWMS_TASK_INFILE"], os.environ["EWMS_TASK_OUTFILE"]
    except KeyError as missing:
        raise RuntimeError(f"{missing.args[0]} is not set: run this with Muster, or name files to try it out") from None
    # Without a worker's word, the file's extension decides.
    said = os.environ.get("MUSTER_EVENT_KIND")
    given = handle(_parse(_read_file(infile), said or ("json" if infile.endswith(".json") else "text")))
    names, given = _take_names(given)
    kind, result = _render(given)
    if kind != "none":
        _leave(outfile, kind if said else "", names, result)


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _leave(outfile: str, kind: str, names: List[str], result: bytes) -> None:
    """Write a result's file. `kind`: what is in it, which its name need not say; empty: nobody would read that. `names`: of queues."""
    for extension in (".kind", ".to"):  # of an earlier event that came to nothing
        with contextlib.suppress(FileNotFoundError):
            os.unlink(outfile + extension)
    with open(outfile, "wb") as file:
        file.write(result)
    if names:
        with open(f"{outfile}.to", "w", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in names)
    if kind:
        with open(f"{outfile}.kind", "w", encoding="ascii") as file:
            file.write(kind)
