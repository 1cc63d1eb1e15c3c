"""How do a worker and a warm task speak? In frames on two pipes: two sizes (u32, big endian), a JSON header, a body.

To the task: `{"event", "fence", "attempt", "kind"}` with the event's body (`kind`: json or bytes), and `queue` where it reads several.
From the task: first `{"hello": 1, "pid"}`; then for each event `{"event", "fence", "outcome"}`, where the outcome `json` or `bytes` goes
with the result (and perhaps with `to`: the alias of the output queue that it is for), `none` with nothing, and `failed` with the error's
text. One event at a time; the first answer to an event counts.
What is over 1 MiB goes by files: an event with `"file": true` (`kind`: also text) has its body in the input file, for a task that greets
with `"files": true`; the outcome `file` says that the result is in the output file.
The other end is in `muster/task.py`.
"""

from __future__ import annotations

import json
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Optional

from muster.worker.messages import Lease

VERSION = 1
HEADER_BYTES_MAX = 1 << 17
BODY_BYTES_MAX = (1 << 20) + 1
OUTCOMES = frozenset({"json", "bytes", "none", "failed", "file"})

_SIZES = struct.Struct(">II")


ANSWERED_MAX = 1024
"""So many events back a task's answer is known to have been given before."""


class FrameError(Exception):
    """What came is no frame, or not the one that was due."""


@dataclass(frozen=True)
class Answer:
    """What a task said of an event. `key`: event and fence. `to`: queues that it names for its results, see `addressing.address`."""

    key: "tuple[str, int]"
    outcome: str
    body: bytes
    to: "tuple[str, ...]" = ()


class Answered:
    """The events that one process has answered, the last `ANSWERED_MAX` of them: a process may live for millions."""

    def __init__(self) -> None:
        self._keys: "OrderedDict[tuple[str, int], None]" = OrderedDict()

    def add(self, key: "tuple[str, int]") -> None:
        """An event has its answer."""
        self._keys[key] = None
        if len(self._keys) > ANSWERED_MAX:
            self._keys.popitem(last=False)

    def check_repeated(self, answer: Answer) -> None:
        """Raises FrameError when it is an answer to an event that this process was never given."""
        if answer.key not in self._keys:
            raise FrameError("the task answered another event than the one that it was given")


class FrameReader:
    """Puts frames together from what is read. Holds at most one frame."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """Take what was read."""
        self._data += data

    def next_frame(self) -> "Optional[tuple[bytes, bytes]]":
        """Header and body once they are complete. Raises FrameError."""
        data = self._data
        if len(data) < _SIZES.size:
            return None
        header_bytes, body_bytes = _SIZES.unpack_from(data)
        if header_bytes > HEADER_BYTES_MAX:
            raise FrameError("the task did not answer in frames")
        if body_bytes > BODY_BYTES_MAX:
            raise FrameError(f"the task answered with {body_bytes} bytes; a result may have {BODY_BYTES_MAX - 1}")
        begin, end = _SIZES.size, _SIZES.size + header_bytes
        if len(data) < end + body_bytes:
            return None
        frame = bytes(data[begin:end]), bytes(data[end : end + body_bytes])
        del data[: end + body_bytes]
        return frame

    @property
    def is_empty(self) -> bool:
        """Nothing is left over."""
        return not self._data


def render_event(lease: Lease, *, content: str = "") -> bytes:
    """An event for a warm task. `content`: what is in its input file, where its body is there."""
    body = b"" if content else lease.body
    header = b'{"event":"%s","fence":%d,"attempt":%d,"kind":"%s"%s%s}' % (
        lease.event.encode(),
        lease.fence,
        lease.attempt,
        (content or lease.kind).encode(),
        b',"file":true' if content else b"",
        b',"queue":%s' % json.dumps(lease.queue).encode() if lease.queue else b"",
    )
    return b"".join((_SIZES.pack(len(header), len(body)), header, body))


def read_hello(header: bytes) -> bool:
    """Does the task know bodies in files? Raises FrameError when it is no greeting, or one of a version that is not spoken here."""
    hello = _parse(header)
    if hello.get("hello") != VERSION:
        raise FrameError(f"the task speaks version {hello.get('hello')!r} of the frames; this worker speaks {VERSION}")
    return hello.get("files") is True


def parse_answer(header: bytes, body: bytes) -> Answer:
    """Raises FrameError when it is no answer to an event."""
    answer = _parse(header)
    event, fence, outcome = answer.get("event"), answer.get("fence"), answer.get("outcome")
    if (
        not isinstance(event, str)
        or not isinstance(fence, int)
        or not isinstance(outcome, str)
        or outcome not in OUTCOMES
    ):
        raise FrameError("the task answered without an event, a fence or an outcome that we know")
    names = _parse_names(answer["to"]) if "to" in answer else ()
    if names and outcome == "file":
        raise FrameError(
            "the task names queues for a result in the output file: that is done beside it, in the file of extension .to"
        )
    return Answer((event, fence), outcome, body, names)


def _parse_names(to: object) -> "tuple[str, ...]":
    names = [to] if isinstance(to, str) else to
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FrameError("the task answered with a `to` that is neither a queue's alias nor a list of them")
    return tuple(names)


def _parse(header: bytes) -> "dict[str, object]":
    try:
        value = json.loads(header.decode())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FrameError("the task did not answer in frames")
    return value
