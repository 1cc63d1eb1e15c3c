"""How are HTCondor's bindings called without stopping everything else? In a process of their own.

While they wait for a daemon they keep Python's lock, so in a thread of the agent one schedd that hangs would stop all of it, for 20 to
50 s a call: claims would run out, and no log would be read. (Measured with htcondor2 25.14.1 and a schedd that was stopped.)
"""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_process

from muster.domain.errors import UnavailableError

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1


async def call_beside(
    work: Callable[..., T], *arguments: object, limiter: anyio.CapacityLimiter, may_repeat: bool = True
) -> T:
    """Call a function of a module, with arguments and a result that can be pickled, in another process.

    Cancelled, it is killed; and it dies with the agent: what the agent has begun, nobody else ends later, when the next agent has looked
    whether it was done.

    Args:
        may_repeat: called twice it does the same; so it is called again when the process was found dead.

    Raises UnavailableError: the process was killed.
    """
    for is_last in (not may_repeat, True):
        try:
            return await anyio.to_process.run_sync(
                _run, os.getpid(), work, arguments, cancellable=True, limiter=limiter
            )
        except anyio.BrokenWorkerProcess as error:
            if is_last:
                raise UnavailableError("the process that asks HTCondor was killed") from error
    raise AssertionError("the last time returns or raises")


def _run(agent: int, work: Callable[..., T], arguments: tuple[object, ...]) -> T:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != agent:
        os._exit(1)
    return work(*arguments)
