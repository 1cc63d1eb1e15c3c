"""The empty task of the benchmarks: warm under Muster, or a bare loop over the number of events given as its argument."""

import json
import sys
import time


def square(event: dict[str, int]) -> dict[str, int]:
    """Next to nothing."""
    return {"n": event["n"], "squared": event["n"] ** 2}


def loop(count: int) -> None:
    """Print how many a second a loop without Muster does, JSON in and out."""
    began = time.monotonic()
    for n in range(count):
        json.dumps(square(json.loads(f'{{"n": {n}}}')))
    print(count / (time.monotonic() - began))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        loop(int(sys.argv[1]))
    else:
        from muster import task

        task.run(square)
