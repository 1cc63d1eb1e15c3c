"""How does `muster` begin? Ctrl-C ends it quietly from the first moment on, also while its modules are still being read."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """The `muster` command."""
    was_heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if was_heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from muster.cli.main import main as run

    if was_heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
