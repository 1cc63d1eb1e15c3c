"""How does one process of a task live? Started in a session of its own, its output taken in, watched, ended for certain."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from muster.worker.capture import Capture
from muster.worker.reaper import Reaper
from muster.worker.spent import Spent

EXITED, TIMED_OUT, CANCELLED, READY = "exited", "timed out", "cancelled", "ready"
EXCEEDED = "exceeded"

_CHUNK = 1 << 16
_TICK_S = 0.01
"""Where the kernel knows no pidfds: seconds between two looks whether the process has ended."""
_DRAIN_S = 1.0
_TASKS_FAULT = frozenset({errno.E2BIG, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR, errno.ETXTBSY})
_SIGNALLED = range(128 + 1, 128 + signal.NSIG)
"""The status by which a shell, and bwrap, tell that a program was killed by a signal."""
_IN, _OUT = select.POLLIN | select.POLLHUP | select.POLLERR, select.POLLOUT | select.POLLERR


class ExecutionPointError(Exception):
    """No task can be run on this machine, whatever the task: no disk, no memory, no processes."""


class StartError(Exception):
    """The task's program cannot be started; the text says why, to its author."""


class Cancel:
    """Tells one slot, from any thread, that its task is to be stopped."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self.reason: Optional[str] = None
        self.excess: Optional[Tuple[str, str]] = None
        """Why the task itself is to blame for it, if it is: of what it took too much, and the text."""

    def fileno(self) -> int:
        return self._read

    def set(self, reason: str) -> None:
        """Stop what runs. The first reason counts."""
        if self.reason is None:
            self.reason = reason
            os.write(self._write, b"x")

    def exceed(self, kind: str, text: str) -> None:
        """Stop what runs, since it takes more than it may: its attempt has failed for this text. `kind`: for the fingerprint."""
        if self.reason is None:
            self.excess = (kind, text)
            self.set(EXCEEDED)

    def clear(self) -> None:
        """Ready for the next task."""
        if self.reason is not None:
            os.read(self._read, 16)
            self.reason = self.excess = None


class Child:
    """One process and what it prints. For one thread."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: str,
        mark: str,
        reaper: Reaper,
        program: Optional[str] = None,
        pass_fds: Sequence[int] = (),
        is_wrapped: bool = False,
    ) -> None:
        """Start it. Raises StartError, ExecutionPointError.

        Args:
            program: what to run for `argv[0]`; looked for when None.
            is_wrapped: it only awaits another, and tells that one's status as a shell does.
        """
        self.mark = mark
        self.stdout, self.stderr = Capture(), Capture()
        self.spent = Spent()
        """What it took, and all that came of it; known once it was awaited."""
        self._reaper = reaper
        self._streams: Dict[int, Capture] = {}
        self._poll = select.poll()
        self._is_reaped = False
        self._is_wrapped = is_wrapped
        opened: List[int] = []
        try:
            for capture in (self.stdout, self.stderr):
                opened.extend(os.pipe2(os.O_CLOEXEC))
                os.set_blocking(opened[-2], False)
                self._streams[opened[-2]] = capture
            self._process = subprocess.Popen(
                argv,
                executable=program,
                stdin=subprocess.DEVNULL,
                stdout=opened[1],
                stderr=opened[3],
                env=environment,
                cwd=folder,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except (OSError, ValueError) as error:
            for number in opened:
                os.close(number)
            raise _judge_start(error, argv, folder) from None
        os.close(opened[1])
        os.close(opened[3])
        self.pid = self._process.pid
        reaper.note_start(mark, self.pid)
        self._pidfd = _open_pidfd(self.pid)
        for number in (*self._streams, *(() if self._pidfd is None else (self._pidfd,))):
            self._poll.register(number, _IN)

    def watch(
        self,
        *,
        until: Optional[float] = None,
        cancel: Optional[Cancel] = None,
        read: Optional[int] = None,
        write: Optional[int] = None,
    ) -> str:
        """Take in what it prints until something happens.

        Args:
            until: monotonic time; None waits without limit.
            read, write: descriptors; READY as soon as one can be read or written.

        Returns:
            READY (before all others), CANCELLED, EXITED or TIMED_OUT.
        """
        extra = [(number, flags) for number, flags in ((read, _IN), (write, _OUT)) if number is not None]
        if cancel is not None:
            extra.append((cancel.fileno(), _IN))
        for number, flags in extra:
            self._poll.register(number, flags)
        try:
            while True:
                seen = self._look(until)
                if read in seen or write in seen:
                    return READY
                if cancel is not None and cancel.fileno() in seen:
                    return CANCELLED
                if self._pidfd in seen if self._pidfd is not None else self._has_ended():
                    return EXITED
                if until is not None and time.monotonic() >= until:
                    return TIMED_OUT
        finally:
            for number, _ in extra:
                self._poll.unregister(number)

    def finish(self) -> int:
        """After EXITED: stop what it left behind and take in the rest. Returns the status; negative for a signal.

        Raises ExecutionPointError when something would not die.
        """
        # Before the process is awaited its number is still its own, so this reaches its group and nobody else's.
        self._signal_group()
        status = self._await()
        self._is_reaped = True
        left = self._reaper.clear_up(self.mark, is_wrapped=self._is_wrapped)
        self.drain()
        self._close()
        _check_gone(left)
        return status

    def kill(self) -> int:
        """Stop it and all that came of it. Returns its status. Raises ExecutionPointError when something would not die."""
        if not self._is_reaped:
            left = self._reaper.kill(self.mark, self.pid, reap=self._poll_end, is_wrapped=self._is_wrapped)
            self._is_reaped = self._poll_end() is not None
            self.drain()
            self._close()
            _check_gone(left)
        return self._await()

    def _look(self, until: Optional[float]) -> "set[Optional[int]]":
        wait_s = None if until is None else max(0.0, until - time.monotonic())
        if self._pidfd is None:
            wait_s = _TICK_S if wait_s is None else min(wait_s, _TICK_S)
        found = self._poll.poll(None if wait_s is None else wait_s * 1000)
        seen: "set[Optional[int]]" = set()
        for number, _ in found:
            if number in self._streams:
                self._take_in(number)
            else:
                seen.add(number)
        return seen

    def _take_in(self, number: int) -> bool:
        """Read once. False at the stream's end, and when there is nothing now."""
        try:
            data = os.read(number, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._poll.unregister(number)
            del self._streams[number]
            os.close(number)
            return False
        self._streams[number].add(data)
        return True

    def forget_prints(self) -> None:
        """What was printed so far is of no more interest."""
        if any(number in self._streams for number, _ in self._poll.poll(0)):
            self.drain()
        self.stdout.clear()
        self.stderr.clear()

    def drain(self) -> None:
        """Take in what is there. Somebody may write on and on: so not for ever."""
        end = time.monotonic() + _DRAIN_S
        for number in list(self._streams):
            while self._take_in(number) and time.monotonic() < end:
                pass

    def _has_ended(self) -> bool:
        """Without awaiting it."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _await(self) -> int:
        while (status := self._poll_end(0)) is None:
            pass
        return status

    def _poll_end(self, options: int = os.WNOHANG) -> Optional[int]:
        """Its status if it has ended: awaited here, and not by `subprocess`, for the kernel tells only once what it took."""
        if self._process.returncode is None:
            try:
                pid, status, told = os.wait4(self.pid, options)
            except ChildProcessError:  # who started the worker does not want children awaited
                self._process.returncode = 0
                return 0
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._process.returncode = 128 - code if self._is_wrapped and code in _SIGNALLED else code
                self.spent.add(told)
        returncode: Optional[int] = self._process.returncode
        return returncode

    def _signal_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # the group is empty, or what is in it is found by its mark

    def _close(self) -> None:
        self.spent.add_spent(self._reaper.note_end(self.mark))
        for number in self._streams:
            os.close(number)
        self._streams.clear()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def _open_pidfd(pid: int) -> Optional[int]:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None  # a kernel before 5.3


def _check_gone(left: Sequence[int]) -> None:
    if left:
        raise ExecutionPointError(f"processes {', '.join(map(str, left[:20]))} would not die")


def _judge_start(error: Exception, argv: Sequence[str], folder: str) -> Exception:
    """Whose fault is it that a process could not be started: the task's or this machine's?"""
    if isinstance(error, FileNotFoundError) and os.path.isdir(folder):
        return StartError(f"command not found: {argv[0]!r}")
    is_no_program = isinstance(error, OSError) and error.errno in (errno.EACCES, errno.ENOEXEC)
    if is_no_program and os.access(folder, os.X_OK):
        return StartError(f"not an executable program: {argv[0]!r} (chmod +x, or put its interpreter before it)")
    if isinstance(error, ValueError):
        return StartError(f"cannot be started: {error}")
    if isinstance(error, OSError) and error.errno in _TASKS_FAULT:
        return StartError(f"cannot be started: {argv[0]!r}: {error.strerror}")
    return ExecutionPointError(f"no process can be started here: {error}")
