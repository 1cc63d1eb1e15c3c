"""Which loopback address may a stack or a service of this test run have? One that no other run on this machine has."""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_FIRST, _LAST = 30, 250


@contextmanager
def take_address() -> Iterator[str]:
    """A `127.0.0.N`, ours until the end. Runs of several users can stand side by side.

    What is locked is a name of the kernel's (an abstract socket): it goes with the process, however that ends, leaves no file, and
    belongs to a network namespace, as loopback addresses do. Any port below the ephemeral range is free there, also for a
    service that is started again at once. Raises RuntimeError when every address is taken.
    """
    for number in range(_FIRST, _LAST):
        with socket.socket(socket.AF_UNIX) as lock:
            try:
                lock.bind(f"\0muster-test-address-{number}")
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            yield f"127.0.0.{number}"
            return
    raise RuntimeError(f"no loopback address is free: {_LAST - _FIRST} are taken")
