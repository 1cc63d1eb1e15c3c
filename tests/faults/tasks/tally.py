"""A task that tells the outside world of each of its runs, and squares a number. Warm or per event."""

import json
import os
import time

from muster import task


def square(event: dict[str, float]) -> dict[str, float]:
    """Append a line to the file that TALLY names, then answer; `sleep_s` makes it slow."""
    line = json.dumps({"n": event["n"], "pid": os.getpid(), "at": time.time()}) + "\n"
    descriptor = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    if event.get("kills_worker"):
        os.kill(os.getppid(), 9)
        time.sleep(60)
    time.sleep(event.get("sleep_s", 0))
    return {"n": event["n"], "squared": event["n"] ** 2}


task.run(square)
