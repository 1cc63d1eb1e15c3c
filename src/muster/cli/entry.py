"""How does `muster` begin? Ctrl-C ends it quietly from the first moment on, also while its modules are still being read."""

import gc
import signal
from typing import NoReturn

GARBAGE_MIN = 200_000
"""New objects that may be there before garbage is looked for. With Python's 700, a fifth of a start goes into looking for it among
modules, of which nothing is ever garbage."""


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
