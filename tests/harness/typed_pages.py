"""What does a page of the documentation have its reader type, and what does it say comes out?

Blocks of ```sh are typed, one after the other, in one shell; a block of ```text tells what the one before prints, in lines of which `…`
stands for anything, also for lines.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """A block that is typed. `printed`: what the page says of its output; empty: nothing."""

    commands: str
    printed: str = ""


def read_steps(page: str) -> list[Step]:
    """The blocks of a page, in order."""
    steps: list[Step] = []
    for kind, text in _BLOCK.findall(page):
        if kind == "sh":
            steps.append(Step(text))
        elif steps:
            steps[-1] = Step(steps[-1].commands, text)
    return steps


def type_steps(
    steps: list[Step], folder: Path, environment: Mapping[str, str], *, deadline_s: float
) -> Iterator[tuple[Step, str]]:
    """Type them into one shell that ends at the first failure; yields each with what it printed. Raises AssertionError with all of it."""
    mark = "--- the next block ---"
    script = folder / "typed.sh"
    script.write_text("".join(["set -e -o pipefail\n", *(f"{step.commands}echo '{mark}'\n" for step in steps)]))
    output = folder / "typed.out"
    with output.open("wb") as file:  # no pipe: what is left in the background would hold it open
        status = subprocess.run(
            ["bash", script],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            check=False,
            timeout=deadline_s,
        ).returncode
    text = output.read_text()
    printed = text.split(f"{mark}\n")
    assert status == 0, f"block {len(printed)} ended with {status}: {text[-4000:]}"
    yield from zip(steps, printed, strict=False)


def is_as_told(told: str, printed: str) -> bool:
    """Do the lines of the page stand in what was printed, in their order? `…` is anything; a line of it alone, any lines."""
    place = 0
    for line in told.splitlines():
        if line == "…":
            continue
        found = re.compile(rf"^{re.escape(line).replace('…', '.*')}$", re.MULTILINE).search(printed, place)
        if found is None:
            return False
        place = found.end()
    return True
