"""How do the protocol's messages look to the worker? Read into values, written as bytes (see `protocol`)."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

from muster.worker import protocol

T = TypeVar("T")

_KINDS = ("json", "bytes", "file")
STOP_WORDS = ("finish", "abort")
UNREADABLE, UNKNOWN = "unreadable", "unknown"
"""Kinds of an event whose body is damaged, and of one that a newer worker could read."""


class MalformedError(Exception):
    """An answer that the protocol does not know: of a proxy, say."""


@dataclass(frozen=True)
class TaskPlan:
    """How this worker runs its task; the words are those of `protocol.ENROL`."""

    task_id: str
    image: str
    args: str
    env: Mapping[str, str]
    init_image: str
    init_args: str
    init_env: Mapping[str, str]
    timeout_s: Optional[float]
    warm: bool
    max_events: int
    infile_ext: str
    outfile_ext: str
    slots: int
    n_cores: int
    n_outputs: int
    memory_bytes: int = 0
    disk_bytes: int = 0
    """What the tasks of a worker may use together; 0: any number."""
    gpus: int = 0
    """How many GPUs a worker needs."""
    output: str = protocol.OUTPUT_FILE
    """What makes an event of what a task leaves: the whole of it, or each line."""
    outputs: Sequence[str] = ()
    """Aliases of the output queues."""

    @property
    def knows_outputs(self) -> bool:
        """A service of before does not tell the aliases, and sends each result to all `n_outputs` queues."""
        return len(self.outputs) == self.n_outputs


@dataclass(frozen=True)
class Enrolled:
    """A session has begun."""

    session: str
    token: str = field(repr=False)
    lease_s: float
    batch: int
    task: TaskPlan
    takes_usage: bool = False
    takes_output: bool = False
    takes_isolation: bool = False
    """The service knows the fields `usage` and `isolation`, and wants `output`; one of before refuses what it does not know."""
    file_bytes_max: int = 0
    """How large a body may be that is a file; 0: there are none."""


@dataclass(frozen=True)
class Lease:
    """One event on lease. `body`: the very JSON text that was published (UTF-8) for the kind `json`, the bytes for `bytes`, the JSON
    text of a reference for `file`, and for UNREADABLE and UNKNOWN why the body cannot be read.

    `is_alone`: workers died with it, so nothing else is to be held while it is at work.
    `queue`: the alias of the queue where it waited, of a task that reads several; else empty.
    """

    event: str
    fence: int
    attempt: int
    kind: str
    body: bytes = field(repr=False)
    is_alone: bool = False
    queue: str = ""


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed; the tails are the ends of what the task wrote."""

    text: str
    fingerprint: str
    stdout_tail: str = ""
    stderr_tail: str = ""
    exit_code: Optional[int] = None


@dataclass(frozen=True)
class Usage:
    """What an attempt took of its machine.

    Args:
        cpu_s: seconds of all its processes, user and system together; None: not known.
        memory_bytes: at the largest; None: not known.
        bytes_in: the event's body.
    """

    cpu_s: Optional[float]
    memory_bytes: Optional[int]
    bytes_in: int

    def render(self) -> bytes:
        """As an attempt carries it."""
        cpu_s = None if self.cpu_s is None else round(self.cpu_s, 6)
        return json.dumps({"cpu_s": cpu_s, "memory_bytes": self.memory_bytes, "bytes_in": self.bytes_in}).encode()


@dataclass(frozen=True)
class Handed:
    """One attempt to hand in. `result`: rendered by `results`, `n_results` of them; only with `done`. `failure`: only with `failed`, as is
    `is_final`: no other attempt can end better.
    """

    event: str
    fence: int
    outcome: str
    result: Optional[bytes] = field(default=None, repr=False)
    failure: Optional[Failure] = None
    wall_s: float = 0.0
    usage: Optional[Usage] = None
    output: Optional[bytes] = field(default=None, repr=False)
    """Rendered by `printed`; only with `failed`."""
    n_results: int = 1
    is_final: bool = False

    @property
    def has_extras(self) -> bool:
        """Is there anything that a service of before refuses, and can do without?"""
        return self.usage is not None or self.output is not None or self.is_final

    def without_extras(self) -> "Handed":
        """The attempt as a service of before takes it."""
        return replace(self, usage=None, output=None, is_final=False)

    def render(self, *, with_usage: bool = True, with_output: bool = True) -> bytes:
        """As `finished` of a step carries it."""
        error = b"null" if self.failure is None else json.dumps(self.failure.__dict__).encode()
        usage = b',"usage":' + self.usage.render() if with_usage and self.usage is not None else b""
        output = b',"output":' + self.output if with_output and self.output is not None else b""
        return b'{"event":"%s","fence":%d,"outcome":"%s","results":[%s],"error":%s,"wall_s":%.6f%s%s%s}' % (
            self.event.encode(),
            self.fence,
            self.outcome.encode(),
            self.result or b"",
            error,
            max(0.0, self.wall_s),
            usage,
            output,
            b',"final":true' if self.is_final else b"",
        )


@dataclass(frozen=True)
class Stop:
    """The service says to end. `how`: one of `STOP_WORDS`. `grace_s`: how long tasks may go on, in seconds."""

    how: str
    grace_s: float


@dataclass(frozen=True)
class StepAnswer:
    """What a step brought."""

    verdicts: Sequence[str]
    leases: Sequence[Lease]
    come_back_s: Optional[float]
    stop: Optional[Stop]
    is_held: bool = False


@dataclass(frozen=True)
class Renewal:
    """What a renewal said."""

    lease_s: float
    lost: Sequence[str]
    stop: Optional[Stop]
    token: Optional[str] = field(repr=False)
    is_held: bool = False
    watched: Sequence[str] = ()


def render_enrolment(
    *, taskforce: str, secret: str, cluster: str, proc: int, start: int, host: str, site: str, version: str
) -> bytes:
    """The request of `protocol.ENROL`."""
    return json.dumps(
        {
            "protocol": protocol.VERSION,
            "taskforce": taskforce,
            "secret": secret,
            "cluster": cluster,
            "proc": proc,
            "start": start,
            "host": host,
            "site": site,
            "worker_version": version,
        }
    ).encode()


def render_step(
    call: int,
    finished: Sequence[Handed],
    *,
    want: int,
    wait_s: float,
    with_usage: bool = True,
    with_output: bool = True,
    isolation: str = "",
) -> bytes:
    """The request of `protocol.STEP`. `isolation`: empty says nothing of it."""
    attempts = b",".join(one.render(with_usage=with_usage, with_output=with_output) for one in finished)
    told = b',"isolation":' + json.dumps(isolation).encode() if isolation else b""
    return b'{"call":%d,"finished":[%s],"want":%d,"wait_s":%.3f%s}' % (call, attempts, want, wait_s, told)


def render_renewal(held: Sequence[Tuple[str, int]], tails: Sequence[Mapping[str, object]] = ()) -> bytes:
    """The request of `protocol.RENEW`. `tails`: of `live`; where there are none, the word is left out, as a service of before wants it."""
    return json.dumps({"held": held, "tails": tails} if tails else {"held": held}).encode()


def render_leave(reason: str) -> bytes:
    """The request of `protocol.LEAVE`."""
    return json.dumps({"reason": reason}).encode()


def parse_enrolled(raw: bytes) -> Enrolled:
    """Raises MalformedError."""
    answer = _parse_object(raw)
    task = _get(answer, "task", dict)
    plan = TaskPlan(
        task_id=_get(task, "task_id", str),
        image=_get(task, "image", str),
        args=_get(task, "args", str),
        env=_parse_variables(_get(task, "env", dict)),
        init_image=_get(task, "init_image", str),
        init_args=_get(task, "init_args", str),
        init_env=_parse_variables(_get(task, "init_env", dict)),
        timeout_s=_parse_seconds(task.get("timeout_s")),
        warm=_get(task, "warm", bool),
        max_events=_get(task, "max_events", int),
        infile_ext=_get(task, "infile_ext", str).lstrip("."),
        outfile_ext=_get(task, "outfile_ext", str).lstrip("."),
        slots=max(1, _get(task, "slots", int)),
        n_cores=max(1, _get(task, "n_cores", int)),
        n_outputs=_get(task, "n_outputs", int),
        memory_bytes=max(0, _get(task, "memory_bytes", int)) if "memory_bytes" in task else 0,
        disk_bytes=max(0, _get(task, "disk_bytes", int)) if "disk_bytes" in task else 0,
        output=_get(task, "output", str) if "output" in task else protocol.OUTPUT_FILE,
        outputs=tuple(str(alias) for alias in _get(task, "outputs", list)) if "outputs" in task else (),
        gpus=max(0, _get(task, "gpus", int)) if "gpus" in task else 0,
    )
    return Enrolled(
        session=_get(answer, "session", str),
        token=_get(answer, "token", str),
        lease_s=_parse_lease(answer),
        batch=max(1, _get(answer, "batch", int)),
        task=plan,
        takes_usage=answer.get("takes_usage") is True,
        takes_output=answer.get("takes_output") is True,
        takes_isolation=answer.get("takes_isolation") is True,
        file_bytes_max=max(0, _get(answer, "file_bytes_max", int)) if "file_bytes_max" in answer else 0,
    )


def parse_step_answer(raw: bytes) -> StepAnswer:
    """Raises MalformedError."""
    answer = _parse_object(raw)
    return StepAnswer(
        verdicts=[str(word) for word in _get(answer, "verdicts", list)],
        leases=[_parse_lease_of_event(one) for one in _get(answer, "events", list)],
        come_back_s=_parse_seconds(answer.get("come_back_s")),
        stop=_parse_stop(answer),
        is_held=answer.get("held") is True,
    )


def parse_renewal(raw: bytes) -> Renewal:
    """Raises MalformedError."""
    answer = _parse_object(raw)
    token = answer.get("token")
    return Renewal(
        lease_s=_parse_lease(answer),
        lost=[str(event) for event in _get(answer, "lost", list)],
        stop=_parse_stop(answer),
        token=token if isinstance(token, str) and token else None,
        is_held=answer.get("held") is True,
        watched=[str(event) for event in answer.get("watched") or ()],
    )


def parse_problem(raw: bytes) -> Tuple[str, str]:
    """Word and text of an error's body; empty and the body's begin for one of somebody else."""
    try:
        problem = _parse_object(raw)
    except MalformedError:
        return "", raw[:200].decode("utf-8", "replace").strip()
    findings = problem.get("findings") or []
    reasons = [f"{one.get('field')}: {one.get('reason')}" for one in findings[:5] if isinstance(one, dict)]
    text = "; ".join([str(problem.get("error", "")), *reasons])
    return str(problem.get("code", "")), text[:1000]


def _parse_lease_of_event(message: object) -> Lease:
    if not isinstance(message, dict):
        raise MalformedError("an event is no object")
    kind = _get(message, "kind", str)
    try:
        body = _parse_body(kind, _get(message, "body", str))
    except MalformedError as error:  # that event's trouble: its neighbours in the answer are to be worked on
        kind, body = UNREADABLE if kind in _KINDS else UNKNOWN, str(error).encode("utf-8", "replace")
    return Lease(
        event=_get(message, "event", str),
        fence=_get(message, "fence", int),
        attempt=_get(message, "attempt", int),
        kind=kind,
        body=body,
        is_alone=_get(message, "alone", bool),
        queue=_get(message, "queue", str) if "queue" in message else "",
    )


def _parse_body(kind: str, text: str) -> bytes:
    """JSON text is never parsed here: a number such as 1.10 would not come out of it as it went in."""
    try:
        if kind in ("json", "file"):
            return text.encode()
        if kind == "bytes":
            return base64.b64decode(text, validate=True)
    except ValueError as error:  # no base64, or half of a surrogate pair
        raise MalformedError(f"a body: {error}") from None
    raise MalformedError(f"a body of the kind {kind[:40]!r}")


def _parse_object(raw: bytes) -> Dict[str, Any]:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedError(str(error)) from None
    if not isinstance(value, dict):
        raise MalformedError("not a JSON object")
    return value


def _get(message: Mapping[str, Any], name: str, kind: Type[T]) -> T:
    value = message.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MalformedError(f"{name} is no {kind.__name__}")
    return value


def _parse_seconds(value: Union[object, None]) -> Optional[float]:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e10:
        raise MalformedError("not a number of seconds")
    return float(value)


def _parse_lease(answer: Mapping[str, Any]) -> float:
    lease_s = _parse_seconds(answer.get("lease_s"))
    if not lease_s:
        raise MalformedError("lease_s is no length")
    return lease_s


def _parse_stop(answer: Mapping[str, Any]) -> Optional[Stop]:
    if answer.get("stop") is None:
        return None
    stop = _get(answer, "stop", dict)
    how, grace_s = _get(stop, "how", str), _parse_seconds(stop.get("grace_s"))
    if how not in STOP_WORDS or grace_s is None:
        raise MalformedError("stop is no word that we know")
    return Stop(how, grace_s)


def _parse_variables(given: Mapping[str, Any]) -> Mapping[str, str]:
    texts: List[Tuple[str, str]] = [(name, str(value)) for name, value in given.items()]
    return dict(texts)
