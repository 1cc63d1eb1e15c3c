"""How do the workers of one cluster live? Started, seen to end, started again, taken away; plain calls that may block.

The pool calls these from a thread, one at a time for a cluster. Everything learnt is written down before it is relied upon.
"""

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from muster.domain.errors import UnavailableError
from muster.site.adapters.processes.exits import Exits
from muster.site.adapters.processes.folder import COMPLETED, REMOVED, ClusterFile, ClusterFolder, ProcFile
from muster.site.adapters.processes.marks import Marks, find_workers, kill_covered, signal_exactly
from muster.site.adapters.processes.procfs import Process, find_process, read_boot_id
from muster.site.adapters.processes.restart import Exit, Finished, judge_exit
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.adapters.processes.sights import observe
from muster.site.adapters.processes.spawn import make_environment, spawn
from muster.site.ports.pool import Observation
from muster.worker import crash_points
from muster.worker import settings as worker_settings

_NO_ROOM = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT)
"""The machine's trouble, and no fault of the worker's."""
KILL_S = 10.0
"""Seconds that killed processes may take to vanish."""


@dataclass
class Worker:
    """One proc. `handle`: a pidfd while it runs and is watched. `due`: monotonic time of its next start, if it waits for one;
    `kill_at`: when one is killed that was asked to end, alone.
    """

    number: int
    state: ProcFile
    handle: int | None = None
    due: float | None = None
    kill_at: float | None = None


class LocalCluster:
    """One cluster of local processes. `exits` is shown each pidfd, so that somebody waits on it."""

    def __init__(
        self,
        folder: ClusterFolder,
        asked: ClusterFile,
        settings: WorkerSettings,
        exits: Exits,
    ) -> None:
        self.folder = folder
        self.asked = asked
        self.workers: list[Worker] = []
        self.is_removing = folder.has_mark("removing")
        self._settings = settings
        self._exits = exits
        self.is_paused = False
        self._boot = read_boot_id()

    # -- beginning and taking over -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Every worker is due now."""
        self.workers = [Worker(number, ProcFile(start=-1), due=0.0) for number in range(self.asked.n_workers)]

    def take_over(self) -> None:
        """Find the workers that an earlier agent left, alive or dead; those that are missing become due."""
        was_paused = self.folder.has_mark("paused")
        strays: dict[int, tuple[Process, int]] | None = None
        for number in range(self.asked.n_workers):
            state = self.folder.read_proc(number)
            worker = Worker(number, state or ProcFile(start=-1))
            self.workers.append(worker)
            if state is None or (state.end is None and state.pid is None):
                # Perhaps it was started and the crash came before its pid was written down.
                strays = find_workers(self.asked.tag) if strays is None else strays
                if number in strays:
                    process, start = strays[number]
                    worker.state = self._running(worker.state, start, process)
                    self.folder.write_proc(number, worker.state)
            if worker.state.end is None and not self._follow(worker):
                self._take_over_dead(worker, was_paused=was_paused)
            elif worker.state.is_asked or worker.state.is_leaving:
                # Not asked once more: that would tell it to drop what it has in hand.
                worker.kill_at = time.monotonic() + self._settings.leave_s
        self.folder.unmark("paused")

    def _take_over_dead(self, worker: Worker, *, was_paused: bool) -> None:
        state = worker.state
        if self.is_removing or state.is_leaving:
            self.end(worker, REMOVED, None)
        elif state.held is not None:
            return  # until it is released
        elif (
            state.start < 0
            or was_paused
            or state.is_waiting
            or state.is_asked
            or (state.pid and state.boot != self._boot)
        ):
            worker.due = 0.0  # never started, or stopped on purpose, or judged before, or the machine was down
        else:
            self.judge(worker, self._guess_exit(worker))

    def _guess_exit(self, worker: Worker) -> Exit:
        """How a worker ended that was not our child, by what it left."""
        left = self.folder.find_exit(worker.number)
        if left is None or left.exit_code is None:
            return Exit(said=self.folder.read_last_words(worker.number))
        return Exit(code=left.exit_code, said=left.why or self.folder.read_last_words(worker.number))

    # -- starting ----------------------------------------------------------------------------------------------------

    def start_due(self) -> None:
        """Start every worker that is due, and kill each that has had its time to end.

        One for which the machine has no room is tried again later.

        Raises OSError for the first that could not be written down, when all were tried.
        """
        due = [worker for worker in self.workers if worker.due is not None and worker.due <= time.monotonic()]
        self._try_all(due, self._start)
        for worker in self.workers:
            if worker.kill_at is not None and worker.kill_at <= time.monotonic():
                worker.kill_at = None
                self.kill(worker)

    def _try_all(self, workers: Sequence[Worker], do: Callable[[Worker], None]) -> None:
        """One that fails (the disk is full, say) keeps no other waiting, and is not forgotten: it is watched, ended, or due again."""
        failures: list[OSError] = []
        for worker in workers:
            try:
                do(worker)
            except OSError as error:
                failures.append(error)
                if worker.handle is None and not (worker.state.is_over or self.is_removing or self.is_paused):
                    worker.due = worker.due or time.monotonic() + self._settings.restart.first_s
        if failures:
            raise failures[0]

    def _start(self, worker: Worker) -> None:
        before = worker.state
        worker.due = None
        state = ProcFile(start=before.start + 1, failures=before.failures, trouble=before.trouble, began_at=time.time())
        folder = self.folder.prepare_start(worker.number)
        self.folder.write_proc(worker.number, state)  # its number is taken, whatever becomes of it
        worker.state = state
        try:
            pid = spawn(
                self.asked.argv or self._settings.command,
                environment=self._environment(worker),
                folder=folder,
            )
        except OSError as error:
            if error.errno in _NO_ROOM:
                worker.due = time.monotonic() + self._settings.restart.first_s
            else:
                self.judge(worker, Exit(said=f"it could not be started: {error.strerror or error}"))
            return
        if worker.number == 0:
            crash_points.reach("pool.submit.first")
        process = find_process(pid)
        if process is None:
            raise ChildProcessError(f"process {pid} of {self.folder.path} vanished unawaited")
        worker.state = self._running(state, state.start, process)
        try:
            self._follow(worker)  # first: it runs, whether or not that can be written down
        except OSError:  # no handle is left, say: nobody would see it end, and another would be started beside it
            kill_covered([self._marks(worker)], deadline_s=KILL_S)
            os.waitpid(pid, os.WNOHANG)
            raise
        self.folder.write_proc(worker.number, worker.state)

    def _environment(self, worker: Worker) -> dict[str, str]:
        folder = self.folder.proc(worker.number)
        return make_environment(
            os.environ,
            programs=self._settings.programs,
            users=self.asked.environment,
            ours={
                **self._settings.environment,
                "MUSTER_TASKFORCE": self.asked.tag,
                worker_settings.CLUSTER: str(self.asked.cluster),
                worker_settings.PROC: str(worker.number),
                worker_settings.START: str(worker.state.start),
                worker_settings.ENROL_FILE: str(self.folder.enrol_file),
                worker_settings.DIR: str(folder),
                worker_settings.INPUT_DIR: str(self.folder.inputs),
            },
        )

    def _running(self, state: ProcFile, start: int, process: Process) -> ProcFile:
        return msgspec.structs.replace(
            state,
            start=start,
            pid=process.pid,
            started=process.started,
            boot=self._boot,
            began_at=state.began_at or time.time(),
        )

    def _follow(self, worker: Worker) -> bool:
        """Watch a worker's process. False: it is gone, or its pid is another's now."""
        state = worker.state
        if state.pid is None or state.boot != self._boot:
            return False
        try:
            handle = os.pidfd_open(state.pid)
        except ProcessLookupError:
            return False
        now = find_process(state.pid)
        if now is None or now.started != state.started:
            os.close(handle)
            return False
        worker.handle = handle
        self._exits.add(handle, self.asked.cluster, worker.number)
        return True

    # -- ending ------------------------------------------------------------------------------------------------------

    def collect(self, workers: Sequence[Worker]) -> None:
        """Take note of workers whose processes have ended, and kill what they left running.

        Raises UnavailableError when some of that would not die, OSError when something could not be written down; note was taken
        nevertheless.
        """
        ended = [worker for worker in workers if worker.handle is not None]
        marks = [self._marks(worker) for worker in ended]
        try:
            self._try_all(ended, lambda worker: self.judge(worker, self._read_exit(worker)))
        finally:
            self._sweep(marks)

    def _read_exit(self, worker: Worker) -> Exit:
        handle = worker.handle
        if handle is None:
            raise ValueError(f"proc {worker.number} of {self.folder.path} is not running")
        worker.handle = worker.kill_at = None
        self._exits.discard(handle)
        try:
            found = os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG)
        except ChildProcessError:
            found = None  # an earlier agent started it
        finally:
            os.close(handle)
        if found is None:
            return self._guess_exit(worker)
        left = self.folder.find_exit(worker.number)
        said = (left.why if left else "") or self.folder.read_last_words(worker.number)
        if found.si_code == os.CLD_EXITED:
            return Exit(code=found.si_status, said=said)
        return Exit(signum=found.si_status, said=said)

    def judge(self, worker: Worker, ended: Exit) -> None:
        """Decide what follows from an exit, and write it down."""
        state = worker.state
        if self.is_removing or state.is_leaving:
            self.end(worker, REMOVED, None)
            return
        if state.is_asked:
            worker.due = 0.0 if state.held is None else None
            self.note(worker, msgspec.structs.replace(state, is_asked=False, is_waiting=True))
            return
        if self.is_paused:
            return  # it was asked to end, so however it did says nothing: a later agent starts it again
        verdict = judge_exit(
            ended,
            failures=state.failures,
            is_healthy=time.time() - state.began_at >= self._settings.restart.healthy_s
            or self.folder.has_worked(worker.number, state.start),
            policy=self._settings.restart,
            jitter=random.random(),
        )
        if isinstance(verdict, Finished):
            self.end(worker, COMPLETED, verdict.error)
            return
        worker.due = time.monotonic() + verdict.delay_s
        worker.state = msgspec.structs.replace(state, is_waiting=True, failures=verdict.failures, trouble=verdict.error)
        self.folder.write_proc(worker.number, worker.state)

    def end(self, worker: Worker, end: str, error: str | None) -> None:
        """A proc has ended for good."""
        worker.due = None
        self.note(worker, msgspec.structs.replace(worker.state, end=end, ended_at=time.time(), error=error))

    def note(self, worker: Worker, state: ProcFile) -> None:
        """Take a proc to be so, and write it down. Raises OSError."""
        worker.state = state
        self.folder.write_proc(worker.number, state)

    def ask_to_end(self) -> None:
        """Send SIGTERM to every worker; its tasks are its own business."""
        for worker in self.workers:
            self.ask(worker)

    def ask(self, worker: Worker) -> None:
        """Send SIGTERM to one that runs."""
        state = worker.state
        if worker.handle is not None and state.pid is not None:
            signal_exactly(Process(state.pid, state.started, state.pid, is_zombie=False), signal.SIGTERM)

    def ask_alone(self, worker: Worker) -> None:
        """Ask one that runs to end, and have it killed if it does not in time. It is written down that it is asked.

        Once only: a second signal would tell it to drop what it has in hand.
        """
        if worker.handle is not None and worker.kill_at is None:
            worker.kill_at = time.monotonic() + self._settings.leave_s
            self.ask(worker)

    def kill(self, worker: Worker) -> None:
        """Kill whatever is left of one; its end is taken note of as that of any other. Raises UnavailableError."""
        self._sweep([self._marks(worker)])

    def begin_pause(self) -> None:
        """From now on nothing is started, until a later agent takes over; it starts what ended since (OSError: it cannot know)."""
        self.is_paused = True
        for worker in self.workers:
            worker.due = None
        self.folder.mark("paused")

    def begin_removal(self) -> None:
        """From now on, also for later agents, nothing is started."""
        if not self.is_removing:
            self.folder.mark("removing")
            self.is_removing = True
        for worker in self.workers:
            worker.due = None

    def kill_all(self) -> None:
        """Kill whatever is left of the cluster. Raises UnavailableError naming what would not die."""
        self._sweep([self._marks(None)])

    def drop_handles(self) -> None:
        """Stop watching, without touching any process."""
        for worker in self.workers:
            if worker.handle is not None:
                self._exits.discard(worker.handle)
                os.close(worker.handle)
                worker.handle = None

    def running(self) -> list[int]:
        """Pidfds of the workers that were not yet collected."""
        return [worker.handle for worker in self.workers if worker.handle is not None]

    def next_due(self) -> float | None:
        """Monotonic time of the next start, or of the end of somebody's patience."""
        return min((at for one in self.workers for at in (one.due, one.kill_at) if at is not None), default=None)

    def note_removed(self) -> None:
        """Write down that every proc which had not ended was removed. The processes are gone."""
        for worker in self.workers:
            if worker.handle is not None:
                self._read_exit(worker)
            if worker.state.end is None:
                self.end(worker, REMOVED, None)

    def note_paused(self) -> None:
        """Let go of the workers that were asked to end. Their files say where they were, and the mark that it was on purpose."""
        for worker in self.workers:
            if worker.handle is not None:
                self._read_exit(worker)

    def _marks(self, worker: Worker | None) -> Marks:
        of = self.workers if worker is None else [worker]
        leaders = frozenset(
            (one.state.pid, one.state.started)
            for one in of
            if one.state.pid and one.state.boot == self._boot and one.state.end is None
        )
        if worker is None:
            return Marks(self.asked.tag, self.folder.path, leaders=leaders)
        return Marks(self.asked.tag, self.folder.proc(worker.number), worker.number, leaders)

    def _sweep(self, marks: Sequence[Marks]) -> None:
        if left := kill_covered(marks, deadline_s=KILL_S):
            pids = ", ".join(str(process.pid) for process in left[:20])
            raise UnavailableError(
                f"cluster {self.asked.cluster}: processes {pids} would not die within {KILL_S:.0f} s"
            )

    # -- looking -----------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        """Where every worker is."""
        states = [(worker.state, worker.handle is not None) for worker in self.workers]
        return observe(states, healthy_s=self._settings.restart.healthy_s)
