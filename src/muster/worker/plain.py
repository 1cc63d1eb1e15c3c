"""How is a plain command run, once per event? A folder, an input file, a process, an output file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Dict, Optional, Sequence, Tuple

from muster.worker.addressing import address, check_names, read_names
from muster.worker.capture import Capture
from muster.worker.child import CANCELLED as CHILD_CANCELLED
from muster.worker.child import TIMED_OUT, Cancel, Child, StartError
from muster.worker.courier import (
    BrokenOffError,
    BroughtNothingError,
    Courier,
    find_content,
    find_large,
)
from muster.worker.folders import AttemptFolder, DiskError, Folders
from muster.worker.launch import Launcher
from muster.worker.lines import OUTPUT_BYTES_MAX, read_lines
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

RESULT_BYTES_MAX = "MUSTER_RESULT_BYTES_MAX"
OUTPUTS = "MUSTER_TASK_OUTPUTS"
QUEUE = "MUSTER_EVENT_QUEUE"


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
    courier: Optional[Courier] = None


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


def count_bytes(lease: Lease) -> int:
    """How large an event's body is, wherever it lies."""
    if lease.kind != "file":
        return len(lease.body)
    try:
        return int(json.loads(lease.body)["size_bytes"])
    except (ValueError, KeyError, TypeError):
        return 0  # no reference that can be read: that is told where the body is fetched


def place_input(lease: Lease, infile: str, cancel: Cancel, *, extension: str, shop: Workshop) -> str:
    """Write an event's body where its task reads it, and say what it is.

    Raises BroughtNothingError, BrokenOffError, ExecutionPointError.
    """
    if lease.kind != "file":
        data, kind = render_infile(lease, extension)
        shop.folders.write(infile, data)
        return kind
    courier = shop.courier
    if courier is None:
        raise BroughtNothingError("its body is a file, and this worker cannot bring files")
    try:
        return shop.folders.fill(lambda: courier.bring(lease.body, infile, cancel))
    except DiskError as error:
        # A body may be as large as a disk: so it is to blame, or it would take down one worker after another.
        shop.folders.drop(infile)
        raise BroughtNothingError(
            f"its body of {count_bytes(lease)} bytes cannot be kept here: {error.strerror}"
        ) from None


def read_results(path: str, cancel: Cancel, shop: Workshop) -> Sequence[bytes]:
    """The results in a task's output file, rendered, and addressed to their queues; a large one is sent to the service first.

    Raises ResultError, BrokenOffError.
    """
    names = read_names(path)
    check_names(names, shop.plan)  # before a large result is sent for nothing
    return address(_read_results(path, cancel, shop), names, shop.plan)


def _read_results(path: str, cancel: Cancel, shop: Workshop) -> Sequence[bytes]:
    extension, courier = shop.plan.outfile_ext, shop.courier
    if shop.plan.output == OUTPUT_LINES:
        return read_lines(path, extension)
    if courier is not None and courier.bytes_max and find_large(path):
        return (courier.send(path, find_content(path, extension), cancel),)
    result = read_outfile(path, extension)
    return () if result is None else (result,)


def tell_of_results(shop: Workshop) -> Dict[str, str]:
    """Variables for tasks: the queues that they may name, and how large an output file may be where that is more than 1 MiB."""
    plan, courier = shop.plan, shop.courier
    told = {OUTPUTS: " ".join(plan.outputs)} if plan.knows_outputs else {}
    if plan.output == OUTPUT_LINES:
        told[RESULT_BYTES_MAX] = str(OUTPUT_BYTES_MAX)
    elif courier is not None and courier.bytes_max:
        told[RESULT_BYTES_MAX] = str(courier.bytes_max)
    return told


class PlainCommand:
    """Runs a process for each event."""

    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop
        self._told = tell_of_results(workshop)

    def run(self, lease: Lease, cancel: Cancel) -> Ended:
        """See `Runtime.run`."""
        shop = self._shop
        folder = shop.folders.make(shop.plan.infile_ext, shop.plan.outfile_ext)
        mark = make_mark(lease)
        began = time.monotonic()
        child: Optional[Child] = None
        try:
            kind = place_input(lease, folder.infile, cancel, extension=shop.plan.infile_ext, shop=shop)
            began = time.monotonic()
            child = self._start(lease, folder, mark, kind)
            shop.watched.watch(child.pid, cancel, folder.path)
            shop.live.show(lease.event, lease.fence, child.stdout, child.stderr)
            ended = self._watch(child, folder, cancel, began)
        except StartError as error:
            ended = Ended(FAILED, failure=make_complaint("start", str(error)), wall_s=time.monotonic() - began)
        except BroughtNothingError as error:
            ended = Ended(FAILED, failure=make_complaint("body", str(error)), wall_s=time.monotonic() - began)
        except BrokenOffError:
            ended = Ended(CANCELLED, wall_s=time.monotonic() - began)
        shop.live.hide(lease.event)
        usage = make_usage(Spent(), bytes_in=count_bytes(lease))
        if child is not None:
            spent = child.spent if shop.launcher.holds_processes else None
            usage = make_usage(spent, bytes_in=count_bytes(lease), peak_bytes=shop.watched.take_peak(child.pid))
            shop.watched.forget(child.pid)
        printed = (child.stdout, child.stderr) if child is not None else (Capture(), Capture())
        shop.folders.settle(folder, is_good=ended.outcome != FAILED, stdout=printed[0], stderr=printed[1])
        output = render_printed(*printed) if ended.outcome == FAILED else None
        return ended.with_usage(usage, output)

    def close(self) -> None:
        """Nothing is kept between events."""

    def _start(self, lease: Lease, folder: AttemptFolder, mark: str, kind: str) -> Child:
        told = {"MUSTER_EVENT_KIND": kind, **self._told}
        if lease.queue:
            told[QUEUE] = lease.queue
        launch = self._shop.launcher.render(folder, mark, told)
        return launch.start(folder=folder.scratch, mark=mark, reaper=self._shop.reaper)

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
        results, problem = self._read(child, folder, status, cancel)
        return make_done(results, wall_s=wall_s) if problem is None else Ended(FAILED, None, problem, wall_s)

    def _kill(self, child: Child, folder: AttemptFolder) -> None:
        child.kill()
        self._shop.launcher.end(folder)

    def _read(
        self, child: Child, folder: AttemptFolder, status: int, cancel: Cancel
    ) -> "Tuple[Sequence[bytes], Optional[Failure]]":
        if status != 0:
            return (), make_failure(
                status,
                child.stderr.text(),
                stdout_tail=child.stdout.tail_text(),
                stderr_tail=child.stderr.tail_text(),
            )
        try:
            return read_results(folder.outfile, cancel, self._shop), None
        except ResultError as error:
            return (), make_complaint(
                "result",
                str(error),
                stdout_tail=child.stdout.tail_text(),
                stderr_tail=child.stderr.tail_text(),
            )
