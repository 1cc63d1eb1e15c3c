"""Who runs the tasks? One thread a slot: takes an event, runs the task, brings what came of it."""

from __future__ import annotations

import threading
import time
import traceback
from queue import SimpleQueue
from typing import Callable, Optional

from muster.worker.calls import Fault, Ready
from muster.worker.child import EXITED, Cancel, ExecutionPointError, StartError
from muster.worker.crash_points import reach
from muster.worker.desk import Desk
from muster.worker.launch import Launcher
from muster.worker.log_lines import LogLines
from muster.worker.outfit import IMAGE_MARK
from muster.worker.plain import PlainCommand
from muster.worker.runtime import CANCELLED, FAILED, Ended, Runtime, end_unreadable, make_failure
from muster.worker.warm import WarmCommand
from muster.worker.workshop import Workshop

INIT_MARK = "init/0"


def make_runtime(shop: Workshop) -> Runtime:
    """The runtime of one slot."""
    return WarmCommand(shop) if shop.plan.warm else PlainCommand(shop)


class Preparation:
    """What comes before a worker's first event, once: images, and the init command. For all slots.

    Args:
        init: starts the init command; None where there is none.
        timeout_s: seconds that it may take; None: any time.
        on_init: called when it is due.
    """

    def __init__(
        self, shop: Workshop, *, init: Optional[Launcher], timeout_s: Optional[float], on_init: Callable[[], None]
    ) -> None:
        self._shop = shop
        self._init = init
        self._timeout_s = timeout_s
        self._on_init = on_init
        self._turns = threading.Lock()
        self._is_done = False

    def run(self) -> None:
        """See to it, unless that was done. Raises ExecutionPointError when it fails: no event is to blame."""
        with self._turns:
            if not self._is_done:
                if self._init is not None:
                    self._on_init()
                    self._init.prepare()
                    self._run_init(self._init)
                self._shop.launcher.prepare()
                self._is_done = True

    def stop(self) -> None:
        """The worker ends: what is under way comes to nothing. For any thread."""
        for mark in (IMAGE_MARK, INIT_MARK):
            self._shop.reaper.kill(mark, 0)

    def _run_init(self, launcher: Launcher) -> None:
        shop = self._shop
        folder = shop.folders.make(shop.plan.infile_ext, shop.plan.outfile_ext)
        launch = launcher.render(folder, INIT_MARK, {})
        try:
            child = launch.start(folder=folder.scratch, mark=INIT_MARK, reaper=shop.reaper)
        except StartError as error:
            raise ExecutionPointError(f"init command: {error}") from None
        until = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        has_ended = child.watch(until=until) == EXITED
        status = child.finish() if has_ended else child.kill()
        if not has_ended:
            launcher.end(folder)
        shop.folders.settle(folder, is_good=status == 0, stdout=child.stdout, stderr=child.stderr)
        if not has_ended:
            raise ExecutionPointError(f"init command failed: [Timeout-Error] timed out after {self._timeout_s:g}s")
        if status != 0:
            failure = make_failure(status, child.stderr.text(), stdout_tail="", stderr_tail="", alias="init command")
            raise ExecutionPointError(failure.text)


class Slot(threading.Thread):
    """One slot of the worker."""

    def __init__(
        self,
        number: int,
        *,
        desk: Desk,
        runtime: Runtime,
        prepare: Callable[[], None],
        inbox: "SimpleQueue[object]",
        log: LogLines,
    ) -> None:
        super().__init__(name=f"slot-{number}", daemon=True)
        self._desk = desk
        self._runtime = runtime
        self._prepare = prepare
        self._inbox = inbox
        self._log = log
        self._cancel = Cancel()

    def run(self) -> None:
        at_work: Optional[str] = None
        try:
            self._prepare()
            self._inbox.put(Ready())
            while (lease := self._desk.take(self._cancel)) is not None:
                at_work = lease.event
                ended = end_unreadable(lease) or self._runtime.run(lease, self._cancel)
                reach("worker.task.ended")
                if ended.outcome == FAILED and ended.failure is not None:
                    self._log.tell(
                        "attempt failed", event=lease.event, fence=lease.fence, exit_code=ended.failure.exit_code
                    )
                at_work = None
                self._desk.bring(lease.event, ended)
            self._runtime.close()
        except ExecutionPointError as error:
            self._fail(str(error), "", at_work)
        except BaseException as error:
            self._fail(f"{type(error).__name__}: {error}", traceback.format_exc(), at_work)
            raise

    def _fail(self, why: str, trace: str, at_work: Optional[str]) -> None:
        if at_work is not None:
            self._desk.bring(at_work, Ended(CANCELLED))
        self._inbox.put(Fault(why, trace))
