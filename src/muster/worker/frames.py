"""How do a worker and a warm task speak? In frames on two pipes: two sizes (u32, big endian), a JSON header, a body.

To the task: `{"event", "fence", "attempt", "kind"}` with the event's body (`kind`: json or bytes). From the task: first
`{"hello": 1, "pid"}`; then for each event `{"event", "fence", "outcome"}`, where the outcome `json` or `bytes` goes with the result, `none`
with nothing, and `failed` with the error's text. One event at a time. The other end is in `muster/task.py`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Optional

from muster.worker.messages import Lease

VERSION = 1
HEADER_BYTES_MAX = 1 << 14
BODY_BYTES_MAX = (1 << 20) + 1
OUTCOMES = frozenset({"json", "bytes", "none", "failed"})

_SIZES = struct.Struct(">II")


class FrameError(Exception):
    """What came is no frame, or not the one that was due."""


@dataclass(frozen=True)
class Answer:
    """What a task said of an event."""

    outcome: str
    body: bytes


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


def render_event(lease: Lease) -> bytes:
    """An event for a warm task."""
    header = json.dumps(
        {"event": lease.event, "fence": lease.fence, "attempt": lease.attempt, "kind": lease.kind}
    ).encode()
    return b"".join((_SIZES.pack(len(header), len(lease.body)), header, lease.body))


def check_hello(header: bytes) -> None:
    """Raises FrameError when it is no greeting, or one of a version that is not spoken here."""
    version = _parse(header).get("hello")
    if version != VERSION:
        raise FrameError(f"the task speaks version {version!r} of the frames; this worker speaks {VERSION}")


def parse_answer(header: bytes, body: bytes, lease: Lease) -> Answer:
    """Raises FrameError when it is no answer to this event."""
    answer = _parse(header)
    if (answer.get("event"), answer.get("fence")) != (lease.event, lease.fence):
        raise FrameError("the task answered another event than the one that it was given")
    outcome = answer.get("outcome")
    if outcome not in OUTCOMES:
        raise FrameError("the task answered without an outcome that we know")
    return Answer(str(outcome), body)


def _parse(header: bytes) -> "dict[str, object]":
    try:
        value = json.loads(header)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise FrameError("the task did not answer in frames")
    return value
