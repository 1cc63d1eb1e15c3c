"""Which loopback address may a service of this test run have? One that no other run on this machine has."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FIRST, _LAST = 20, 250


@contextmanager
def take_address() -> Iterator[str]:
    """A `127.0.0.N`, ours until the end: the lock on its file goes with the process, however that ends.

    Any port below the ephemeral range is free there, also for a service that is started again at once.
    Raises RuntimeError when every address is taken.
    """
    folder = Path(tempfile.gettempdir()) / f"muster-test-addresses.{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for number in range(_FIRST, _LAST):
        with (folder / str(number)).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"127.0.0.{number}"
            return
    raise RuntimeError(f"no loopback address is free: {folder}")
