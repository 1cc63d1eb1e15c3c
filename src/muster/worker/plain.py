"""How is a plain command run, once per event? A folder, an input file, a process, an output file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import Optional, Sequence, Tuple

from muster.worker.capture import Capture
from muster.worker.child import CANCELLED as CHILD_CANCELLED
from muster.worker.child import TIMED_OUT, Cancel, Child, StartError
from muster.worker.folders import AttemptFolder, Folders
from muster.worker.launch import Launcher
from muster.worker.lines import read_lines
from muster.worker.live import Live
from muster.worker.log_lines import LogLines
from muster.worker.messages import Failure, Lease, TaskPlan
from muster.worker.printed import render_printed
from muster.worker.protocol import OUTPUT_LINES
from muster.worker.reaper import Reaper
from muster.worker.results import ResultError, read_outfile
from muster.worker.runtime import CANCELLED, FAILED, Ended, make_complaint, make_done, make_failure, make_timeout
from muster.worker.spent import Spent
from muster.worker.usage import make_usage
from muster.worker.watched import WatchList


@dataclass(frozen=True)
class Workshop:
    """What the runtimes of all slots share. `log`: for operators."""

    plan: TaskPlan
    launcher: Launcher
    folders: Folders
    reaper: Reaper
    task_start_s: float
    log: LogLines
    watched: WatchList
    live: Live = field(default_factory=Live)


def end_cancelled(child: Child, excess: "Optional[Tuple[str, str]]", *, wall_s: float) -> Ended:
    """The end of an attempt that was stopped, its processes gone. `excess`: see `Cancel`; None: it was not its own fault."""
    if excess is None:
        return Ended(CANCELLED, wall_s=wall_s)
    failure = make_complaint(*excess, stdout_tail=child.stdout.tail_text(), stderr_tail=child.stderr.tail_text())
    return Ended(FAILED, failure=failure, wall_s=wall_s)


def make_mark(lease: Lease) -> str:
    """The value of MUSTER_ATTEMPT."""
    return f"{lease.event}/{lease.fence}"


def render_infile(lease: Lease, extension: str) -> "Tuple[bytes, str]":
    """An event's body as its task reads it, and the kind: `json`, `text` or `bytes`.

    A JSON string is written without quotes unless the extension is json (pilot.md 5.6); any other JSON value as the very text that was
    published, whatever the extension (upstream refuses where it is not json); bytes as they are.
    """
    if lease.kind == "json" and extension.lower() != "json" and lease.body.lstrip().startswith(b'"'):
        text: str = json.loads(lease.body.decode())
        return text.encode("utf-8", "replace"), "text"
    return lease.body, lease.kind


class PlainCommand:
    """Runs a process for each event."""

    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop

    def run(self, lease: Lease, cancel: Cancel) -> Ended:
        """See `Runtime.run`."""
        shop = self._shop
        folder = shop.folders.make(shop.plan.infile_ext, shop.plan.outfile_ext)
        data, kind = render_infile(lease, shop.plan.infile_ext)
        shop.folders.write(folder.infile, data)
        mark = make_mark(lease)
        began = time.monotonic()
        child: Optional[Child] = None
        try:
            child = self._start(folder, mark, kind)
            shop.watched.watch(child.pid, cancel, folder.path)
            shop.live.show(lease.event, lease.fence, child.stdout, child.stderr)
            ended = self._watch(child, folder, cancel, began)
        except StartError as error:
            ended = Ended(FAILED, failure=make_complaint("start", str(error)), wall_s=time.monotonic() - began)
        shop.live.hide(lease.event)
        usage = make_usage(Spent(), bytes_in=len(lease.body))
        if child is not None:
            spent = child.spent if shop.launcher.holds_processes else None
            usage = make_usage(spent, bytes_in=len(lease.body), peak_bytes=shop.watched.take_peak(child.pid))
            shop.watched.forget(child.pid)
        printed = (child.stdout, child.stderr) if child is not None else (Capture(), Capture())
        shop.folders.settle(folder, is_good=ended.outcome != FAILED, stdout=printed[0], stderr=printed[1])
        output = render_printed(*printed) if ended.outcome == FAILED else None
        return replace(ended, usage=usage, output=output)

    def close(self) -> None:
        """Nothing is kept between events."""

    def _start(self, folder: AttemptFolder, mark: str, kind: str) -> Child:
        launch = self._shop.launcher.render(folder, mark, {"MUSTER_EVENT_KIND": kind})
        return Child(
            launch.argv,
            program=launch.program,
            environment=launch.environment,
            folder=folder.scratch,
            mark=mark,
            reaper=self._shop.reaper,
        )

    def _watch(self, child: Child, folder: AttemptFolder, cancel: Cancel, began: float) -> Ended:
        timeout_s = self._shop.plan.timeout_s
        happened = child.watch(until=None if timeout_s is None else began + timeout_s, cancel=cancel)
        if happened == CHILD_CANCELLED:
            excess = cancel.excess
            self._kill(child, folder)
            return end_cancelled(child, excess, wall_s=time.monotonic() - began)
        if happened == TIMED_OUT and timeout_s is not None:
            self._kill(child, folder)
            failure = make_timeout(
                timeout_s, stdout_tail=child.stdout.tail_text(), stderr_tail=child.stderr.tail_text()
            )
            return Ended(FAILED, failure=failure, wall_s=time.monotonic() - began)
        status = child.finish()
        wall_s = time.monotonic() - began
        results, problem = self._read(child, folder, status)
        return make_done(results, wall_s=wall_s) if problem is None else Ended(FAILED, None, problem, wall_s)

    def _kill(self, child: Child, folder: AttemptFolder) -> None:
        child.kill()
        self._shop.launcher.end(folder)

    def _read_results(self, path: str) -> Sequence[bytes]:
        extension = self._shop.plan.outfile_ext
        if self._shop.plan.output == OUTPUT_LINES:
            return read_lines(path, extension)
        result = read_outfile(path, extension)
        return () if result is None else (result,)

    def _read(self, child: Child, folder: AttemptFolder, status: int) -> "Tuple[Sequence[bytes], Optional[Failure]]":
        if status != 0:
            return (), make_failure(
                status,
                child.stderr.text(),
                stdout_tail=child.stdout.tail_text(),
                stderr_tail=child.stderr.tail_text(),
            )
        try:
            return self._read_results(folder.outfile), None
        except ResultError as error:
            return (), make_complaint(
                "result",
                str(error),
                stdout_tail=child.stdout.tail_text(),
                stderr_tail=child.stderr.tail_text(),
            )
