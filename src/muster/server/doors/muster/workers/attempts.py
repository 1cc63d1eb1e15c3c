"""How does it look what an attempt took, and what a failed one printed?"""

import base64
from typing import Annotated

from msgspec import Meta

from muster.client.shapes.message import Request
from muster.domain.attempt import Outcome
from muster.domain.attempt_output import AttemptOutput, Stream
from muster.domain.errors import Finding
from muster.domain.usage import NO_USAGE, Usage
from muster.server.ports.attempt_logs import NewLog
from muster.server.ports.queue_engine import Finished
from muster.server.services.live_tails import LiveStream, Tail
from muster.worker import protocol

Size = Annotated[int, Meta(ge=0, le=1 << 53)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class UsageMessage(Request):
    """What an attempt took; null: not known."""

    cpu_s: Seconds | None = None
    memory_bytes: Size | None = None
    bytes_in: Size | None = None


class StreamMessage(Request):
    """What an attempt printed to one stream. `data`: base64 of zlib; `size_bytes`: of all of it."""

    data: str
    size_bytes: Size


class OutputMessage(Request):
    """What a failed attempt printed; null: nothing there."""

    stdout: StreamMessage | None = None
    stderr: StreamMessage | None = None


class TailMessage(Request):
    """What a task at work has printed: of each stream the end, base64, and how much it was in all."""

    event: str
    fence: Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
    stdout: StreamMessage
    stderr: StreamMessage


def parse_usage(message: UsageMessage | None) -> Usage:
    """Nothing is known where there is none."""
    return NO_USAGE if message is None else Usage(message.cpu_s, message.memory_bytes, message.bytes_in)


def parse_output(message: OutputMessage, attempt: Finished, path: str, findings: list[Finding]) -> NewLog:
    """What an attempt printed; faults go into `findings`."""
    if attempt.outcome is not Outcome.FAILED:
        findings.append(Finding(path, f"goes with the outcome `failed` only, not with `{attempt.outcome}`"))
    stdout = _parse_stream(message.stdout, f"{path}.stdout", findings)
    stderr = _parse_stream(message.stderr, f"{path}.stderr", findings)
    return NewLog(attempt.event, attempt.fence, AttemptOutput(stdout, stderr))


def parse_tail(message: TailMessage, event: int, path: str, findings: list[Finding]) -> Tail:
    """What a task at work has printed; faults go into `findings`."""
    stdout, stderr = (
        LiveStream(_parse_data(one, f"{path}.{name}", findings, bytes_max=protocol.TAIL_BYTES_MAX), one.size_bytes)
        for name, one in (("stdout", message.stdout), ("stderr", message.stderr))
    )
    return Tail(event, message.fence, stdout, stderr)


def _parse_stream(message: StreamMessage | None, path: str, findings: list[Finding]) -> Stream | None:
    if message is None:
        return None
    return Stream(_parse_data(message, path, findings, bytes_max=protocol.OUTPUT_BYTES_MAX), message.size_bytes)


def _parse_data(message: StreamMessage, path: str, findings: list[Finding], *, bytes_max: int) -> bytes:
    try:
        data = base64.b64decode(message.data, validate=True)
    except ValueError:
        findings.append(Finding(f"{path}.data", "is not base64"))
        return b""
    if len(data) > bytes_max:
        findings.append(Finding(f"{path}.data", f"is {len(data)} bytes; at most {bytes_max} are kept"))
    return data
