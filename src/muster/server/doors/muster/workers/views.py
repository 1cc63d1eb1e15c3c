"""How do a worker's messages look? The shapes of `muster.worker.protocol`, read and written.

Bodies stay text: a step of a thousand events makes no object of what is inside them. Results come as raw JSON, which msgspec hands over
unread; events go as strings that hold JSON text, because a worker has Python's `json` only and could not take one out unread.
"""

import base64
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from muster.client.shapes.message import Request
from muster.domain.attempt import AttemptError, Outcome
from muster.domain.errors import Finding, InvalidError, TooLargeError
from muster.domain.ids import parse_event_id, render_event_id
from muster.domain.lease import goes_alone
from muster.domain.queue import PUBLISH_EVENTS_MAX
from muster.server.doors.broken_text import parse_message
from muster.server.doors.muster.workers.attempts import (
    OutputMessage,
    Seconds,
    TailMessage,
    UsageMessage,
    parse_output,
    parse_tail,
    parse_usage,
)
from muster.server.doors.muster.workers.results import ResultMessage, list_routes, parse_results
from muster.server.ports.queue_engine import BodyKind, Finished, Leased
from muster.server.services.enrol_worker import Enrolled, Enrolment
from muster.server.services.event_body import render_kind
from muster.server.services.live_tails import Tail
from muster.server.services.step_worker import Renewed, Stop, WorkerAnswer, WorkerCall
from muster.worker import protocol

_INT31 = (1 << 31) - 1
_INT53 = 1 << 53
ERROR_CHARS_MAX = 4096
FINGERPRINT_CHARS_MAX = 200
TAIL_CHARS_MAX = 8192
ISOLATION_CHARS_MAX = 300

Name = Annotated[str, Meta(max_length=200)]
Fence = Annotated[int, Meta(ge=0, le=_INT31)]
Exit = Annotated[int, Meta(ge=-_INT31, le=_INT31)]


class EnrolRequest(Request):
    """POST /muster/v1/worker/enrol"""

    protocol: int
    taskforce: Name
    secret: Annotated[str, Meta(max_length=400)]
    cluster: Name
    proc: Annotated[int, Meta(ge=0, le=_INT31)]
    start: Annotated[int, Meta(ge=0, le=_INT31)]
    host: Name = ""
    site: Name = ""
    worker_version: Name = ""


class TaskMessage(msgspec.Struct):
    """How a worker runs its task."""

    task_id: str
    image: str
    args: str
    env: dict[str, str]
    init_image: str
    init_args: str
    init_env: dict[str, str]
    timeout_s: float | None
    warm: bool
    max_events: int
    infile_ext: str
    outfile_ext: str
    slots: int
    n_cores: int
    n_outputs: int
    outputs: list[str]
    memory_bytes: int
    disk_bytes: int
    gpus: int
    output: str


class EnrolAnswer(msgspec.Struct):
    """What a worker needs to know."""

    protocol: int
    session: str
    token: str
    token_ttl_s: float
    lease_s: float
    batch: int
    file_bytes_max: int
    task: TaskMessage
    takes_usage: bool
    takes_output: bool
    takes_isolation: bool


class ErrorMessage(Request):
    """Why an attempt failed."""

    text: str
    fingerprint: str = ""
    stdout_tail: str = ""
    stderr_tail: str = ""
    exit_code: Exit | None = None


class FinishedMessage(Request):
    """One attempt handed in. `final`: it failed, and no other attempt can end better."""

    event: str
    fence: Fence
    outcome: Literal["done", "failed", "released"]
    results: list[ResultMessage] = msgspec.field(default_factory=list)
    error: ErrorMessage | None = None
    wall_s: Seconds = 0.0
    usage: UsageMessage | None = None
    output: OutputMessage | None = None
    final: bool = False


class StepRequest(Request):
    """POST /muster/v1/worker/step"""

    call: Annotated[int, Meta(ge=1, le=_INT53)]
    finished: list[FinishedMessage] = msgspec.field(default_factory=list)
    want: Annotated[int, Meta(ge=0, le=_INT31)] = 0
    wait_s: Seconds = 0.0
    isolation: str = ""


class EventMessage(msgspec.Struct):
    """An event on lease. `body`: JSON text (for `file`, of a reference) or base64, as `kind` says; a string either way.

    `alone`: hold nothing else beside it. `queue`: where it waited; only of a task that reads several.
    """

    event: str
    fence: int
    attempt: int
    limit: int
    kind: str
    body: str
    key: str | None
    alone: bool
    queue: str | UnsetType = UNSET


class StopMessage(msgspec.Struct):
    """The worker is to end. `grace_s`: how long its tasks may go on, in seconds."""

    how: Literal["finish", "abort"]
    grace_s: float


class StepAnswerMessage(msgspec.Struct):
    """The answer of a step."""

    call: int
    verdicts: list[str]
    events: list[EventMessage]
    come_back_s: float | None
    stop: StopMessage | None
    held: bool


class RenewRequest(Request):
    """POST /muster/v1/worker/renew"""

    held: list[tuple[str, Fence]] = msgspec.field(default_factory=list)
    tails: list[TailMessage] = msgspec.field(default_factory=list)


class RenewAnswer(msgspec.Struct):
    """The answer of a renewal."""

    lease_s: float
    lost: list[str]
    stop: StopMessage | None
    token: str | None
    held: bool
    watched: list[str]


class LeaveRequest(Request):
    """POST /muster/v1/worker/leave"""

    reason: str = ""


def parse_enrolment(raw: bytes) -> Enrolment:
    """Raises UnreadableError, InvalidError."""
    message = parse_message(raw, EnrolRequest)
    names = {name: getattr(message, name) for name in ("cluster", "host", "site")}
    if findings := [Finding(name, "holds the character NUL") for name, text in names.items() if "\0" in text]:
        raise InvalidError(findings)
    return Enrolment(
        protocol=message.protocol,
        taskforce_uuid=message.taskforce,
        secret=message.secret,
        cluster=message.cluster,
        proc=message.proc,
        start=message.start,
        host=message.host,
        site=message.site,
    )


def render_enrolled(enrolled: Enrolled) -> bytes:
    """The answer of `enrol`."""
    directive = enrolled.directive
    task = TaskMessage(
        task_id=directive.task_id,
        image=directive.task_image,
        args=directive.task_args,
        env=dict(directive.task_env),
        init_image=directive.init_image,
        init_args=directive.init_args,
        init_env=dict(directive.init_env),
        timeout_s=directive.timeout_s,
        warm=directive.warm,
        max_events=directive.max_events,
        infile_ext=directive.infile_ext,
        outfile_ext=directive.outfile_ext,
        slots=directive.slots,
        n_cores=enrolled.n_cores,
        n_outputs=len(enrolled.outputs),
        outputs=list(enrolled.outputs),
        memory_bytes=enrolled.memory_bytes,
        disk_bytes=enrolled.disk_bytes,
        gpus=enrolled.gpus,
        output=directive.output,
    )
    answer = EnrolAnswer(
        protocol=protocol.VERSION,
        session=str(enrolled.session),
        token=enrolled.token,
        token_ttl_s=enrolled.token_ttl_s,
        lease_s=enrolled.lease_s,
        batch=enrolled.batch,
        file_bytes_max=enrolled.file_bytes_max,
        task=task,
        takes_usage=True,
        takes_output=enrolled.takes_output,
        takes_isolation=True,
    )
    return msgspec.json.encode(answer)


def parse_step(raw: bytes) -> WorkerCall:
    """Raises UnreadableError, InvalidError, TooLargeError (a body over 1 MiB, too many results)."""
    message = parse_message(raw, StepRequest)
    findings: list[Finding] = []
    oversized: list[Finding] = []
    finished = [
        _parse_finished(one, f"finished[{index}]", findings, oversized) for index, one in enumerate(message.finished)
    ]
    outputs = [
        parse_output(one.output, place, f"finished[{index}].output", findings)
        for index, (one, place) in enumerate(zip(message.finished, finished, strict=True))
        if one.output is not None
    ]
    if findings:
        raise InvalidError(findings)
    if oversized:
        raise TooLargeError("; ".join(map(str, oversized[:20])))
    results = sum(len(one.results) for one in finished)
    if max(results, len(finished)) > PUBLISH_EVENTS_MAX:
        raise TooLargeError(f"finished: {len(finished)} attempts with {results} results; at most {PUBLISH_EVENTS_MAX}")
    routes = list_routes([one.results for one in message.finished])
    isolation = _clip(message.isolation, ISOLATION_CHARS_MAX)
    return WorkerCall(message.call, finished, message.want, message.wait_s, outputs, routes, isolation)


def render_step(answer: WorkerAnswer) -> bytes:
    """The answer of `step`."""
    return _ENCODER.encode(
        StepAnswerMessage(
            call=answer.call,
            verdicts=[verdict.value for verdict in answer.verdicts],
            events=[_render_event(leased, answer.queue_names, slots=answer.slots) for leased in answer.leased],
            come_back_s=answer.come_back_s,
            stop=_render_stop(answer.stop),
            held=answer.is_held,
        )
    )


def parse_renewal(raw: bytes) -> tuple[list[tuple[int, int]], list[Tail]]:
    """What a renewal believes to hold, as (event, fence), and what its tasks print. Raises UnreadableError, InvalidError."""
    message = parse_message(raw, RenewRequest)
    findings: list[Finding] = []
    held = [
        (_parse_event(event, f"held[{index}]", findings), fence) for index, (event, fence) in enumerate(message.held)
    ]
    tails = [
        parse_tail(one, _parse_event(one.event, f"tails[{index}].event", findings), f"tails[{index}]", findings)
        for index, one in enumerate(message.tails)
    ]
    if findings:
        raise InvalidError(findings)
    return held, tails


def render_renewed(renewed: Renewed) -> bytes:
    """The answer of `renew`."""
    lost = [render_event_id(event) for event in renewed.lost]
    watched = [render_event_id(event) for event in renewed.watched]
    return _ENCODER.encode(
        RenewAnswer(renewed.lease_s, lost, _render_stop(renewed.stop), renewed.token, renewed.is_held, watched)
    )


def parse_leave(raw: bytes) -> str:
    """The reason. Raises UnreadableError, InvalidError."""
    return _clip(parse_message(raw, LeaveRequest).reason, 200)


_ENCODER = msgspec.json.Encoder()


def _render_event(leased: Leased, queue_names: Mapping[int, str], *, slots: int) -> EventMessage:
    body = leased.body
    return EventMessage(
        event=render_event_id(leased.event),
        fence=leased.fence,
        attempt=leased.attempt,
        limit=leased.limit,
        kind=render_kind(body.kind),
        body=body.data.decode() if body.kind is not BodyKind.BYTES else base64.b64encode(body.data).decode("ascii"),
        key=leased.key,
        alone=goes_alone(leased.deaths, limit=leased.limit, slots=slots),
        queue=queue_names.get(leased.queue, UNSET),
    )


def _render_stop(stop: Stop | None) -> StopMessage | None:
    return None if stop is None else StopMessage(stop.how, stop.grace_s)


def _parse_finished(message: FinishedMessage, path: str, findings: list[Finding], oversized: list[Finding]) -> Finished:
    event = _parse_event(message.event, f"{path}.event", findings)
    outcome = Outcome(message.outcome)
    if message.results and outcome is not Outcome.DONE:
        findings.append(Finding(f"{path}.results", f"go with the outcome `done` only, not with `{outcome}`"))
    if message.error is not None and outcome is not Outcome.FAILED:
        findings.append(Finding(f"{path}.error", f"goes with the outcome `failed` only, not with `{outcome}`"))
    results = parse_results(message.results, path, findings, oversized) if message.results else ()
    if message.final and outcome is not Outcome.FAILED:
        findings.append(Finding(f"{path}.final", f"goes with the outcome `failed` only, not with `{outcome}`"))
    error = None
    if outcome is Outcome.FAILED:
        error = _parse_error(message.error or ErrorMessage(text="the worker gave no reason"))
    usage = parse_usage(message.usage)
    return Finished(event, message.fence, outcome, results, error, message.wall_s, usage, is_final=message.final)


def _parse_error(message: ErrorMessage) -> AttemptError:
    """Cut to size, never refused: the account needs the attempt more than the whole of its text."""
    return AttemptError(
        text=_clip(message.text, ERROR_CHARS_MAX),
        fingerprint=_clip(message.fingerprint or message.text, FINGERPRINT_CHARS_MAX),
        stdout_tail=_clip(message.stdout_tail, TAIL_CHARS_MAX, end=True),
        stderr_tail=_clip(message.stderr_tail, TAIL_CHARS_MAX, end=True),
        exit_code=message.exit_code,
    )


def _clip(text: str, chars_max: int, *, end: bool = False) -> str:
    """The first characters (or the last), without NUL, which PostgreSQL's text cannot hold."""
    kept = text if len(text) <= chars_max else text[-chars_max:] if end else text[:chars_max]
    return kept.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _parse_event(text: str, path: str, findings: list[Finding]) -> int:
    if (event := parse_event_id(text)) is None:
        findings.append(Finding(path, f"{text[:40]!r} is not an event id"))
        return 0
    return event
