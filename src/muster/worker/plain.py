"""How is a plain command run, once per event? A folder, an input file, a process, an output file."""

from __future__ import annotations

import time
from typing import Optional, Sequence, Tuple

from muster.worker.capture import Capture
from muster.worker.child import CANCELLED as CHILD_CANCELLED
from muster.worker.child import TIMED_OUT, Cancel, Child, StartError
from muster.worker.courier import BrokenOffError, BroughtNothingError
from muster.worker.folders import AttemptFolder
from muster.worker.infile import count_bytes, place_input
from muster.worker.messages import Failure, Lease
from muster.worker.outfile import read_results, tell_of_results
from muster.worker.printed import render_printed
from muster.worker.results import ResultError
from muster.worker.runtime import (
    CANCELLED,
    FAILED,
    Ended,
    end_cancelled,
    make_complaint,
    make_done,
    make_failure,
    make_timeout,
)
from muster.worker.spent import Spent
from muster.worker.usage import make_usage
from muster.worker.workshop import Workshop, make_mark

QUEUE = "MUSTER_EVENT_QUEUE"


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
