"""Can what `muster up` says to try next be typed, line by line, as it stands?"""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from muster.cli.up import EXAMPLE, list_next_steps

ROOT = Path(__file__).parents[2]


def test_every_file_and_queue_that_a_line_names_is_there_by_then(tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    flow = yaml.safe_load((ROOT / EXAMPLE).read_text())
    steps = [*list_next_steps(EXAMPLE)]

    [makes] = [one for one in steps if one.startswith("python ")]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(makes, shell=True, cwd=tmp_path, env=os.environ | {"PATH": path}, check=True, timeout=60)

    publishes = next(one for one in steps if one.startswith("muster queue publish"))
    assert steps.index(makes) < steps.index(publishes)
    assert len((tmp_path / publishes.split()[5]).read_text().splitlines()) == 900
    queues = {match[1] for one in steps if (match := re.match(r"muster queue \w+ latest (\S+)", one))}
    assert queues <= set(flow["public_queue_aliases"])


def test_without_the_example_what_is_ones_own_stands_in_capitals() -> None:
    steps = [*list_next_steps(None)]

    assert steps[:2] == ["muster workflow submit workflow.yaml", "muster queue publish latest ALIAS FILE.jsonl --close"]
    assert "muster queue consume latest ALIAS > results.jsonl" in steps
