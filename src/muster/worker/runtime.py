"""What does the pilot need of a way to run tasks? One event in, one end out; a slot has a runtime of its own."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import Optional, Protocol, Sequence, Tuple

from muster.worker.child import Cancel, Child
from muster.worker.fingerprint import NO_STDERR, clip, extract_cause, make_fingerprint
from muster.worker.messages import UNKNOWN, UNREADABLE, Failure, Lease, Usage

DONE, FAILED, CANCELLED = "done", "failed", "cancelled"


@dataclass(frozen=True)
class Ended:
    """What came of one event.

    Args:
        outcome: DONE, FAILED or CANCELLED.
        result: rendered by `results`, several with commas between; None for a task that left none.
        n_results: how many these are.
        failure: with FAILED only.
        wall_s: how long the task worked at it, a process's start not counted for a warm one.
        usage: what it took.
        output: what it printed, rendered by `printed`; with FAILED only.
        is_final: no other attempt can end better; with FAILED only.
    """

    outcome: str
    result: Optional[bytes] = field(default=None, repr=False)
    failure: Optional[Failure] = None
    wall_s: float = 0.0
    usage: Optional[Usage] = None
    output: Optional[bytes] = field(default=None, repr=False)
    n_results: int = 1
    is_final: bool = False

    def with_usage(self, usage: Usage, output: Optional[bytes] = None) -> "Ended":
        """The same, and what it took and printed. As `replace`, at a quarter of its time: each event comes here."""
        return Ended(self.outcome, self.result, self.failure, self.wall_s, usage, output, self.n_results, self.is_final)


def make_done(results: Sequence[bytes], *, wall_s: float) -> Ended:
    """The end of an attempt that left these results, each rendered by `results`."""
    return Ended(DONE, b",".join(results) if results else None, wall_s=wall_s, n_results=len(results))


def end_unreadable(lease: Lease) -> Optional[Ended]:
    """The end of an attempt whose event's body cannot be read: here, or by nobody; None where it can."""
    if lease.kind not in (UNREADABLE, UNKNOWN):
        return None
    return Ended(FAILED, failure=make_complaint("body", lease.body.decode()), is_final=lease.kind == UNREADABLE)


class Runtime(Protocol):
    """Runs the task of one slot. For one thread."""

    def run(self, lease: Lease, cancel: Cancel) -> Ended:
        """Run the task on one event; returns when nothing of the attempt is left running.

        Raises ExecutionPointError when this machine cannot run tasks; then the event is not to blame.
        """

    def close(self) -> None:
        """End what is kept running between events."""


def describe_status(status: int) -> "tuple[str, str]":
    """An exit status in two lengths: for a person, and for a fingerprint."""
    if status >= 0:
        return f"exit code {status}", f"exit {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"killed by signal {-status}, {name}", name


def make_failure(status: int, stderr: str, *, stdout_tail: str, stderr_tail: str, alias: str = "task") -> Failure:
    """The error of a task that ended badly, by what it wrote to stderr."""
    long, short = describe_status(status)
    cause = extract_cause(stderr)
    return Failure(
        text=clip(f"{alias} failed ({long}): {cause}"),
        fingerprint=make_fingerprint(short, cause),
        stdout_tail=stdout_tail,
        stderr_tail=stderr_tail,
        exit_code=status,
    )


def make_timeout(timeout_s: float, *, stdout_tail: str, stderr_tail: str) -> Failure:
    """The error of a task that was stopped because it took too long."""
    return Failure(
        text=f"task failed: [Timeout-Error] timed out after {timeout_s:g}s",
        fingerprint="timeout",
        stdout_tail=stdout_tail,
        stderr_tail=stderr_tail,
    )


def make_complaint(how: str, text: str, *, stdout_tail: str = "", stderr_tail: str = "") -> Failure:
    """An error that the worker found itself. `how`: its kind, for the fingerprint."""
    return Failure(
        text=clip(f"task failed: {text}"),
        fingerprint=make_fingerprint(how, text or NO_STDERR),
        stdout_tail=stdout_tail,
        stderr_tail=stderr_tail,
    )


def end_cancelled(child: Child, excess: "Optional[Tuple[str, str]]", *, wall_s: float) -> Ended:
    """The end of an attempt that was stopped, its processes gone. `excess`: see `Cancel`; None: it was not its own fault."""
    if excess is None:
        return Ended(CANCELLED, wall_s=wall_s)
    failure = make_complaint(*excess, stdout_tail=child.stdout.tail_text(), stderr_tail=child.stderr.tail_text())
    return Ended(FAILED, failure=failure, wall_s=wall_s)
