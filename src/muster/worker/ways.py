"""By which two ways do a worker and a warm task speak? Two pipes: inherited, or, where a container has none of those, by their names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Dict, Tuple

from muster.worker.child import ExecutionPointError
from muster.worker.folders import AttemptFolder

EVENTS, ANSWERS = "events", "answers"
"""What the pipes are called in `task-io`, beside the input file."""


@dataclass
class Ways:
    """The worker's ends, neither of which blocks.

    Args:
        write: for events.
        read: for answers.
        told: what the task is told by variables.
        handed: the task's own ends, which it inherits.
        is_named: they have names, and the task may not have opened them yet.
    """

    write: int
    read: int
    told: Dict[str, str]
    handed: Tuple[int, ...] = ()
    is_named: bool = False
    _is_closed: bool = field(default=False, repr=False)

    def hand_over(self) -> None:
        """The task has started, or never will: its own ends are not ours."""
        for number in self.handed:
            os.close(number)
        self.handed = ()

    def note_hello(self) -> None:
        """The task has opened its ends: from now on it is noticed when it closes one."""
        if self.is_named:
            # Not by its name: the task may have put something else there.
            writing = os.open(f"/proc/self/fd/{self.write}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.close(self.write)
            self.write, self.is_named = writing, False

    def close(self) -> None:
        """No more events. Twice is as good as once."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self.write)
            os.close(self.read)


def open_inherited() -> Ways:
    """Pipes that the task's process is started with."""
    events, write = os.pipe()
    read, answers = os.pipe()
    os.set_blocking(write, False)
    os.set_blocking(read, False)
    return Ways(write, read, {"MUSTER_TASK_FDS": f"{events},{answers}"}, (events, answers))


def open_named(folder: AttemptFolder) -> Ways:
    """Pipes in the attempt's folder. Raises ExecutionPointError."""
    events, answers = f"{folder.io}/{EVENTS}", f"{folder.io}/{ANSWERS}"
    try:
        for path in (events, answers):
            os.mkfifo(path)
            os.chmod(path, 0o666)  # noqa: S103 - the container's user is another one, perhaps; the folder above is closed to others
        # For reading as well, though nothing is read: so that neither side waits for the other to open its end.
        write = os.open(events, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        read = os.open(answers, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ExecutionPointError(f"{error.filename}: {error.strerror}") from None
    return Ways(write, read, {"MUSTER_TASK_PIPES": f"{EVENTS},{ANSWERS}"}, is_named=True)
