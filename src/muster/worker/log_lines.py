"""What does the worker tell its operators? JSON lines on stderr, few of a kind, without bodies and secrets."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from typing import Callable, Dict, TextIO, Union

Field = Union[str, int, float, bool, None]

BURST = 10
"""Lines of one kind that may come at once; then one in `EVERY_S` seconds."""
EVERY_S = 6.0


class LogLines:
    """Writes lines; of those left out, the next one of the kind says how many."""

    def __init__(self, stream: TextIO = sys.stderr, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._turns = threading.Lock()
        self._budgets: Dict[str, _Budget] = {}

    def tell(self, what: str, **fields: Field) -> None:
        """Write one line. `what` names its kind: a short fixed text."""
        with self._turns:
            budget = self._budgets.setdefault(what, _Budget(self._clock()))
            if not budget.spend(self._clock()):
                return
            left_out, budget.left_out = budget.left_out, 0
            line: Dict[str, Field] = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "what": what, **fields}
            if left_out:
                line["left_out"] = left_out
            with contextlib.suppress(OSError):  # a full disk, or nobody who reads: no reason to end
                self._stream.write(json.dumps(line) + "\n")
                self._stream.flush()


class _Budget:
    def __init__(self, now: float) -> None:
        self._lines = float(BURST)
        self._at = now
        self.left_out = 0

    def spend(self, now: float) -> bool:
        self._lines = min(float(BURST), self._lines + (now - self._at) / EVERY_S)
        self._at = now
        if self._lines < 1:
            self.left_out += 1
            return False
        self._lines -= 1
        return True
