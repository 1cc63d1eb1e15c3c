"""How does a warm task get its events? Its process stays up; each event is one frame to it and one back."""

from __future__ import annotations

import os
import time
from typing import Callable, Optional, Sequence

from muster.worker.addressing import address
from muster.worker.child import CANCELLED as CHILD_CANCELLED
from muster.worker.child import EXITED, READY, TIMED_OUT, Cancel, Child, StartError
from muster.worker.courier import BrokenOffError, BroughtNothingError
from muster.worker.fingerprint import clip, extract_cause, make_fingerprint
from muster.worker.folders import AttemptFolder
from muster.worker.frames import Answer, Answered, FrameError, FrameReader, parse_answer, read_hello, render_event
from muster.worker.infile import count_bytes, place_input
from muster.worker.lines import split_list
from muster.worker.messages import Failure, Lease, Usage
from muster.worker.outfile import read_results, tell_of_results
from muster.worker.printed import render_printed
from muster.worker.protocol import OUTPUT_LINES
from muster.worker.results import ResultError, render_bytes, render_json
from muster.worker.runtime import (
    FAILED,
    Ended,
    describe_status,
    end_cancelled,
    make_complaint,
    make_done,
    make_failure,
    make_timeout,
)
from muster.worker.spent import Spent
from muster.worker.usage import Meter, make_usage
from muster.worker.ways import open_inherited, open_named
from muster.worker.workshop import Workshop, make_mark

END_S = 5.0
"""Seconds that a process may take to end after its last event."""
PRINTS_S = 0.3
"""Seconds in which what a container prints comes to its tool's client."""
REPEATED_MAX = 100
"""Answers to earlier events that a process may give again while it works at one: beyond that it does nothing else."""
_CHUNK = 1 << 16
NO_FILES = (
    "its body is over 1 MiB, and this task's copy of muster.task is of before such bodies: take the one that workers lend "
    "(`from muster import task`), or run it per event (warm: false)"
)


class _StoppedError(Exception):
    """The process did not do what was waited for. `happened`: EXITED, TIMED_OUT, CANCELLED of `child`, or `frame`."""

    def __init__(self, happened: str, text: str = "") -> None:
        super().__init__(happened)
        self.happened = happened
        self.text = text


class _WarmProcess:
    """One process with its two pipes and its folder."""

    def __init__(self, shop: Workshop, mark: str) -> None:
        """Start it. Raises StartError, ExecutionPointError."""
        self.folder: AttemptFolder = shop.folders.make(shop.plan.infile_ext, shop.plan.outfile_ext)
        self.n_events = 0
        self.takes_files = False
        self._frames = FrameReader()
        self._answered = Answered()
        self._log = shop.log
        self._launcher = shop.launcher
        self._is_told = False
        self._ways = open_inherited() if shop.launcher.hands_on_descriptors else open_named(self.folder)
        launch = shop.launcher.render(self.folder, mark, {**self._ways.told, **tell_of_results(shop)})
        try:
            self.child = launch.start(
                folder=self.folder.scratch, mark=mark, reaper=shop.reaper, pass_fds=self._ways.handed
            )
        except Exception:
            self._ways.close()
            self.folder.remove()
            raise
        finally:
            self._ways.hand_over()
        self.meter = Meter(self.child.pid)

    def greet(self, *, until: float, cancel: Cancel) -> None:
        """Wait until it asks for events. Raises _StoppedError, FrameError."""
        header, _ = self._receive(until, cancel)
        self.takes_files = read_hello(header)
        self._ways.note_hello()
        self.meter.start()

    def ask(self, lease: Lease, *, content: str, until: Optional[float], cancel: Cancel) -> Answer:
        """Give it one event, and take its answer. Raises _StoppedError, FrameError. `content`: see `render_event`.

        Answers that it has given before are passed over, before and behind the one that is due: they say nothing of this event.
        """
        self._send(render_event(lease, content=content), until, cancel)
        key = (lease.event, lease.fence)
        n_repeated = 0
        while (answer := parse_answer(*self._receive(until, cancel))).key != key:
            self._pass_over(answer)
            n_repeated += 1
            if n_repeated > REPEATED_MAX:
                raise FrameError("the task gives answers that it has given before, again and again")
        self._answered.add(key)
        while not self._frames.is_empty and (frame := self._frames.next_frame()) is not None:
            self._pass_over(parse_answer(*frame))
        return answer

    def _pass_over(self, answer: Answer) -> None:
        self._answered.check_repeated(answer)
        if not self._is_told:
            self._is_told = True
            event, fence = answer.key
            self._log.tell("answer given before", event=event, fence=fence, pid=self.child.pid)

    def _send(self, data: bytes, until: Optional[float], cancel: Cancel) -> None:
        view = memoryview(data)
        while view:
            view = view[self._send_some(view, until, cancel) :]

    def _send_some(self, view: memoryview, until: Optional[float], cancel: Cancel) -> int:
        try:
            return os.write(self._ways.write, view)
        except BlockingIOError:
            self._wait(until, cancel, write=self._ways.write)
            return 0
        except BrokenPipeError:
            # It reads no more: either it has ended, or it never will again.
            latest = time.monotonic() + END_S
            self._wait(latest if until is None else min(until, latest), cancel)
            raise _StoppedError("frame", "the task has closed its way for events") from None

    def _receive(self, until: Optional[float], cancel: Cancel) -> "tuple[bytes, bytes]":
        while (frame := self._frames.next_frame()) is None:
            # Waiting comes first: a task has hardly ever answered by now, and a read in vain costs more than the wait.
            self._wait(until, cancel, read=self._ways.read)
            data = os.read(self._ways.read, _CHUNK)
            if not data:
                self._wait(time.monotonic() + END_S, cancel)
                raise _StoppedError("frame", "the task has closed its way for answers")
            self._frames.add(data)
        return frame

    def take_in_prints(self) -> None:
        """What was printed before an answer. It is in the pipes by then, unless somebody carries it from a container to them."""
        if not self._launcher.hands_on_descriptors:
            self.child.watch(until=time.monotonic() + PRINTS_S)
        self.child.drain()

    def end(self) -> int:
        """Ask it to end, wait a little, and see that nothing is left of it. Returns its status."""
        self._ways.close()
        if self.child.watch(until=time.monotonic() + END_S) == EXITED:
            return self.child.finish()
        return self.kill()

    def kill(self) -> int:
        """See that nothing is left of it. Returns its status."""
        self._ways.close()
        status = self.child.kill()
        self._launcher.end(self.folder)
        return status

    def _wait(
        self, until: Optional[float], cancel: Cancel, *, read: Optional[int] = None, write: Optional[int] = None
    ) -> None:
        happened = self.child.watch(until=until, cancel=cancel, read=read, write=write)
        if happened != READY:
            raise _StoppedError(happened)


class WarmCommand:
    """Runs one process for many events."""

    def __init__(self, workshop: Workshop, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shop = workshop
        self._clock = clock
        self._process: Optional[_WarmProcess] = None

    def run(self, lease: Lease, cancel: Cancel) -> Ended:
        """See `Runtime.run`. A process that crashes or is stopped costs this event's attempt only."""
        began = self._clock()
        try:
            process = self._process or self._start(lease, cancel)
            content = self._place(lease, process, cancel) if lease.kind == "file" else ""
        except StartError as error:
            return self._fail("start", error, lease, began)
        except BroughtNothingError as error:
            return self._fail("body", error, lease, began)
        except (_StoppedError, FrameError, BrokenOffError) as error:
            return self._give_up(_as_stopped(error), lease, began, cancel, is_starting=True)
        began = self._clock()
        try:
            ended = self._work(process, lease, content, cancel, began)
        except (_StoppedError, FrameError, BrokenOffError) as error:
            return self._give_up(_as_stopped(error), lease, began, cancel)
        process.n_events += 1
        if process.n_events >= self._shop.plan.max_events:
            self.close()
        return ended

    def _work(self, process: _WarmProcess, lease: Lease, content: str, cancel: Cancel, began: float) -> Ended:
        """Raises _StoppedError, FrameError, BrokenOffError: the process is not to be used any more."""
        timeout_s = self._shop.plan.timeout_s
        until = None if timeout_s is None else began + timeout_s
        process.child.forget_prints()
        process.meter.begin()
        self._shop.live.show(lease.event, lease.fence, process.child.stdout, process.child.stderr)
        try:
            answer = process.ask(lease, content=content, until=until, cancel=cancel)
        finally:
            self._shop.live.hide(lease.event)
        ended = self._judge(answer, process, self._clock() - began, cancel)
        if content or answer.outcome == "file" or ended.outcome == FAILED:
            self._shop.folders.clear(process.folder)
        peak_bytes = self._shop.watched.take_peak(process.child.pid)
        is_last = process.n_events + 1 >= self._shop.plan.max_events
        usage = self._measure(process.meter.end(is_last=is_last), peak_bytes, lease)
        return ended.with_usage(usage, _render_output(process.child) if ended.outcome == FAILED else None)

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            self._shop.watched.forget(process.child.pid)
            process.end()
            self._shop.folders.settle(
                process.folder, is_good=True, stdout=process.child.stdout, stderr=process.child.stderr
            )

    def _start(self, lease: Lease, cancel: Cancel) -> _WarmProcess:
        process = self._process = _WarmProcess(self._shop, make_mark(lease))
        self._shop.watched.watch(process.child.pid, cancel, process.folder.path)
        process.greet(until=self._clock() + self._shop.task_start_s, cancel=cancel)
        return process

    def _place(self, lease: Lease, process: _WarmProcess, cancel: Cancel) -> str:
        """Bring a body that is a file, and say what is in it. Raises BroughtNothingError, BrokenOffError, ExecutionPointError."""
        if not process.takes_files:
            raise BroughtNothingError(NO_FILES)
        shop = self._shop
        return place_input(lease, process.folder.infile, cancel, extension=shop.plan.infile_ext, shop=shop)

    def _fail(self, how: str, error: Exception, lease: Lease, began: float) -> Ended:
        """The task has seen nothing of the event."""
        usage = make_usage(Spent(), bytes_in=count_bytes(lease))
        return Ended(FAILED, None, make_complaint(how, str(error)), self._clock() - began, usage)

    def _judge(self, answer: Answer, process: _WarmProcess, wall_s: float, cancel: Cancel) -> Ended:
        """Raises BrokenOffError."""
        if answer.outcome == "none":
            return make_done((), wall_s=wall_s)
        name, of_lines = "the task's result", self._shop.plan.output == OUTPUT_LINES
        try:
            if answer.outcome == "file":
                return make_done(self._read_file(process, cancel), wall_s=wall_s)
            if answer.outcome == "json":
                results = split_list(answer.body, name) if of_lines else [render_json(answer.body, name)]
                return make_done(address(results, answer.to, self._shop.plan), wall_s=wall_s)
            if answer.outcome == "bytes":
                results = [render_bytes(answer.body, name)]
                return make_done(address(results, answer.to, self._shop.plan), wall_s=wall_s)
        except ResultError as error:
            return Ended(FAILED, failure=make_complaint("result", str(error)), wall_s=wall_s)
        process.take_in_prints()
        cause = extract_cause(answer.body.decode("utf-8", "replace"))
        failure = Failure(
            text=clip(f"task failed: {cause}"),
            # As a task that is run per event would end with the same exception.
            fingerprint=make_fingerprint("exit 1", cause),
            stdout_tail=process.child.stdout.tail_text(),
            stderr_tail=process.child.stderr.tail_text(),
        )
        return Ended(FAILED, failure=failure, wall_s=wall_s)

    def _read_file(self, process: _WarmProcess, cancel: Cancel) -> Sequence[bytes]:
        """Raises ResultError, BrokenOffError."""
        outfile = process.folder.outfile
        if not os.path.lexists(outfile):
            raise ResultError("the task said that its result is in the output file, and there is none")
        return read_results(outfile, cancel, self._shop)

    def _give_up(
        self, stopped: _StoppedError, lease: Lease, began: float, cancel: Cancel, *, is_starting: bool = False
    ) -> Ended:
        """The process is of no more use: see that nothing is left of it, and say what became of the event."""
        process, self._process = self._process, None
        if process is None:
            raise ValueError(f"{lease.event} has no process")
        child = process.child
        peak_bytes = self._shop.watched.take_peak(child.pid)
        self._shop.watched.forget(child.pid)
        excess = cancel.excess
        status = process.end() if stopped.happened == EXITED else process.kill()
        wall_s = self._clock() - began
        spent = Spent(max(0.0, child.spent.cpu_s - process.meter.cpu_s), child.spent.memory_bytes)
        usage = self._measure(spent, peak_bytes, lease)
        is_cancelled = stopped.happened == CHILD_CANCELLED
        is_good = is_cancelled and excess is None
        self._shop.folders.settle(process.folder, is_good=is_good, stdout=child.stdout, stderr=child.stderr)
        if is_cancelled:
            output = None if is_good else _render_output(child)
            return end_cancelled(child, excess, wall_s=wall_s).with_usage(usage, output)
        tails = {"stdout_tail": child.stdout.tail_text(), "stderr_tail": child.stderr.tail_text()}
        if stopped.happened == TIMED_OUT and not is_starting:
            failure = make_timeout(self._shop.plan.timeout_s or 0.0, **tails)
        elif stopped.happened == EXITED and status != 0:
            failure = make_failure(status, child.stderr.text(), **tails)
        else:
            failure = make_complaint("warm", self._explain(stopped, status, is_starting=is_starting), **tails)
        return Ended(FAILED, failure=failure, wall_s=wall_s, usage=usage, output=_render_output(child))

    def _measure(self, spent: Spent, peak_bytes: int, lease: Lease) -> Usage:
        is_ours = self._shop.launcher.holds_processes
        return make_usage(spent if is_ours else None, bytes_in=count_bytes(lease), peak_bytes=peak_bytes)

    def _explain(self, stopped: _StoppedError, status: int, *, is_starting: bool) -> str:
        hint = "a warm task calls muster.task.run(handle), see docs/reference/task.md"
        if stopped.happened == EXITED:
            how, _ = describe_status(status)
            when = "before it asked for an event" if is_starting else "in the middle of an event"
            return f"it ended ({how}) {when}; {hint}"
        if stopped.happened == TIMED_OUT:
            return f"it did not ask for an event within {self._shop.task_start_s:g} s; {hint}"
        return f"{stopped.text}; {hint}"


def _as_stopped(error: Exception) -> _StoppedError:
    if isinstance(error, BrokenOffError):
        return _StoppedError(CHILD_CANCELLED)
    return error if isinstance(error, _StoppedError) else _StoppedError("frame", str(error))


def _render_output(child: Child) -> Optional[bytes]:
    return render_printed(child.stdout, child.stderr)
