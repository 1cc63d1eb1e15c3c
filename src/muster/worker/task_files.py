"""How does the worker open files where a task can write? None that is a link or no file: the worker can reach what its task cannot."""

from __future__ import annotations

import contextlib
import errno
import os
import stat


class NotRegularError(Exception):
    """A link, a pipe, a device or a folder stands in the place of a file."""


def open_regular(path: str) -> int:
    """A descriptor to read a file; never waits for a pipe. Raises NotRegularError, OSError. Only the path's last part is the task's."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotRegularError from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError
    return descriptor


def create(path: str) -> int:
    """A descriptor to write a new file, in the place of what stood there. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
