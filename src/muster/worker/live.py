"""What are the tasks printing right now? The newest ends, of those events that somebody looks at."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

from muster.worker.capture import Capture
from muster.worker.protocol import TAIL_BYTES_MAX


@dataclass(frozen=True)
class Shown:
    """One event at work, and what takes in what its task prints."""

    fence: int
    stdout: Capture
    stderr: Capture


class Live:
    """Written by the slots, read by whoever renews."""

    def __init__(self) -> None:
        self._shown: Dict[str, Shown] = {}
        self._lock = threading.Lock()

    def show(self, event: str, fence: int, stdout: Capture, stderr: Capture) -> None:
        """A task is at work at an event."""
        with self._lock:
            self._shown[event] = Shown(fence, stdout, stderr)

    def hide(self, event: str) -> None:
        """Not any more."""
        with self._lock:
            self._shown.pop(event, None)

    def read(self, events: Sequence[str]) -> List[Dict[str, object]]:
        """As a renewal carries them: those of the events that are at work."""
        with self._lock:
            found: List[Tuple[str, Shown]] = [(one, self._shown[one]) for one in events if one in self._shown]
        return [
            {"event": event, "fence": one.fence, "stdout": _render(one.stdout), "stderr": _render(one.stderr)}
            for event, one in found
        ]


def _render(capture: Capture) -> Dict[str, object]:
    # The size first: what comes between the two is then told twice, not left out.
    size_bytes = capture.size_bytes
    return {"data": base64.b64encode(capture.newest(TAIL_BYTES_MAX)).decode("ascii"), "size_bytes": size_bytes}
