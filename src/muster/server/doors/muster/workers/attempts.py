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


def _parse_stream(message: StreamMessage | None, path: str, findings: list[Finding]) -> Stream | None:
    if message is None:
        return None
    try:
        packed = base64.b64decode(message.data, validate=True)
    except ValueError:
        findings.append(Finding(f"{path}.data", "is not base64"))
        return None
    if len(packed) > protocol.OUTPUT_BYTES_MAX:
        findings.append(
            Finding(f"{path}.data", f"is {len(packed)} bytes; at most {protocol.OUTPUT_BYTES_MAX} are kept")
        )
    return Stream(packed, message.size_bytes)
