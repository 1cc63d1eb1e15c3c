"""How does `muster` begin? Ctrl-C ends it quietly from the first moment on, also while its modules are still being read."""

import gc
import signal
from typing import NoReturn

GARBAGE_MIN = 200_000
"""New objects that may be there before garbage is looked for. With Python's 700, a fifth of a start goes into looking for it among
modules, of which nothing is ever garbage."""
GARBAGE_MIN_OF_SERVICE = 2_000_000
"""As long as a service reads its modules, of which it has more; it sets its own once it answers."""


def put_off_garbage() -> None:
    """Called before the modules of a service are read, which takes over when it looks for garbage once it answers."""
    gc.set_threshold(GARBAGE_MIN_OF_SERVICE, *gc.get_threshold()[1:])


def main() -> NoReturn:
    """The `muster` command."""
    was_heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if was_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(GARBAGE_MIN, *gc.get_threshold()[1:])
    from muster.cli.main import main as run

    if was_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
