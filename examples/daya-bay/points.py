"""Which points are scanned? Writes a grid as JSON lines, one event a line."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

SIN2_2THETA13 = (0.075, 0.096)
DM2_32 = (2.25e-3, 2.70e-3)  # eV^2


def grid(side: int) -> Iterator[dict[str, float]]:
    """Give side x side evenly spaced points, the corners of the plane included."""
    for column in range(side):
        for row in range(side):
            yield {
                "sin2_2theta13": _between(SIN2_2THETA13, column / (side - 1)),
                "dm2_32": _between(DM2_32, row / (side - 1)),
            }


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] * (1 - share) + ends[1] * share


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a grid of points as JSON lines.")
    parser.add_argument("file", nargs="?", type=Path, help="where to write them; to the terminal if not given")
    parser.add_argument("--side", type=int, default=100, help="points along each axis (default: 100)")
    arguments = parser.parse_args()
    if arguments.side < 2:
        parser.error("--side must be 2 or more")
    lines = "".join(json.dumps(point) + "\n" for point in grid(arguments.side))
    if arguments.file is None:
        sys.stdout.write(lines)
    else:
        arguments.file.write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
