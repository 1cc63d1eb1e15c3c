"""A task that tells the outside world of each of its runs, and squares a number. Warm or per event."""

import contextlib
import json
import os
import time
from typing import Any

from muster import task


def square(event: "dict[str, Any]") -> "dict[str, float]":
    """Append a line to the file that TALLY names, then answer; `sleep_s` makes it slow."""
    line = json.dumps({"n": event["n"], "pid": os.getpid(), "at": time.time()}) + "\n"
    descriptor = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    if event.get("kills_worker"):
        os.kill(os.getppid(), 9)
        time.sleep(60)
    if "kills_worker_once" in event:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(event["kills_worker_once"], os.O_CREAT | os.O_EXCL))
            os.kill(os.getppid(), 9)
            time.sleep(60)
    time.sleep(event.get("sleep_s", 0))
    return {"n": event["n"], "squared": event["n"] ** 2}


task.run(square)
