"""How do tests look on while a workflow is watched? `muster workflow watch` as a process, and what it has printed so far."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.stack import MUSTER, Stack, clean_environment


@dataclass
class Watching:
    """A `muster workflow watch` that goes on, and what it has printed."""

    process: "subprocess.Popen[bytes]"
    output: Path
    errors: Path

    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    def said(self) -> str:
        """On stderr."""
        return self.errors.read_text()

    def notices(self) -> list[Any]:
        return [one for one in map(json.loads, self.lines()) if "kind" in one]

    def wait_for_end(self) -> int:
        return self.process.wait(timeout=60)


@contextmanager
def watching(stack: Stack, workflow: str, *options: str) -> Iterator[Watching]:
    output, said = stack.root / "watched", stack.root / "watched.errors"
    environment = clean_environment() | {"MUSTER_URL": stack.url, "MUSTER_TOKEN_FILE": str(stack.state / "token")}
    with output.open("wb") as out, said.open("wb") as errors:
        command = [str(MUSTER), "workflow", "watch", workflow, *options]
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment, cwd=stack.root)
    try:
        yield Watching(process, output, said)
    finally:
        process.kill()
        process.wait(timeout=30)
        print(said.read_text())  # stands in the report of a failure
