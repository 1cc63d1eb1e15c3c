"""A task that tells the outside world of each of its runs, then does what its event says, most of it bad. Run per event."""

import json
import os
import sys
import time
from pathlib import Path


def tell(event: dict[str, object]) -> None:
    """Append a line to the file that TALLY names."""
    descriptor = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, (json.dumps({"n": event["n"]}) + "\n").encode())
    os.close(descriptor)


def hang() -> None:
    """Never end, and do not listen either."""
    while True:
        time.sleep(3600)


def flood() -> None:
    """Write 1 GiB to stdout, then end well."""
    block = b"x" * (1 << 20)
    for _ in range(1024):
        sys.stdout.buffer.write(block)


def escape() -> None:
    """Leave a grandchild behind that has a session of its own and holds nothing open."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in range(3):
                os.close(descriptor)
            time.sleep(3600)
        os._exit(0)
    os.wait()


def main() -> None:
    """Read the event, behave accordingly, write a result unless that is the point."""
    with Path(os.environ["EWMS_TASK_INFILE"]).open() as file:
        event = json.load(file)
    tell(event)
    match event["do"]:
        case "fail":
            raise RuntimeError(f"point {event['n']} is outside the detector")
        case "hang":
            hang()
        case "flood":
            flood()
        case "escape":
            escape()
        case "kill-worker":
            os.kill(os.getppid(), 9)
            time.sleep(60)
        case "crash":
            os.kill(os.getpid(), 11)
        case "no-output":
            return
        case "need":
            Path(event["file"]).read_bytes()
        case "no-json":
            with Path(os.environ["EWMS_TASK_OUTFILE"]).open("w") as file:
                file.write("{not json")
            return
        case _:
            pass
    with Path(os.environ["EWMS_TASK_OUTFILE"]).open("w") as file:
        json.dump({"n": event["n"], "squared": event["n"] ** 2}, file)


main()
