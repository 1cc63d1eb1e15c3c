"""Can what `muster up` says to try next be typed, line by line, as it stands?"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from harness.stack import MUSTER, Stack, clean_environment
from muster.cli.up import EXAMPLE, list_next_steps

ROOT = Path(__file__).parents[2]
FLOW = """
tasks:
  - cluster_locations: [local]
    task_image: ""
    task_args: cp {{INFILE}} {{OUTFILE}}
    input_queue_aliases: [in]
    output_queue_aliases: [out]
    infile_ext: json
    outfile_ext: json
public_queue_aliases: [in, out]
finish_when_done: true
"""


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


@pytest.mark.system
@pytest.mark.parametrize("is_led_away", [False, True])
@pytest.mark.parametrize("named_by", ["--dir", "MUSTER_DIR", "nothing"])
def test_typed_in_another_terminal_they_reach_the_service_that_told_them(
    stack: Stack, named_by: str, *, is_led_away: bool
) -> None:
    """Also where that folder has a service of its own, or both terminals know one by variables: the addresses lead nowhere."""
    state = {"nothing": Path(".muster")}.get(named_by, Path("other place") / "muster")
    here = stack.root / ".muster"
    if named_by != "nothing":
        here.mkdir()
        (here / "address").write_text("http://127.0.0.1:1")
        (stack.root / state).parent.mkdir()
    (stack.root / "workflow.yaml").write_text(FLOW)
    (stack.root / "FILE.jsonl").write_text("1\n2\n")
    profile = {"MUSTER_URL": "http://127.0.0.1:1", "MUSTER_TOKEN_FILE": "/nowhere"} if is_led_away else {}
    variables = profile | ({"MUSTER_DIR": str(state)} if named_by == "MUSTER_DIR" else {})
    process = subprocess.Popen(
        [MUSTER, "up", *(["--dir", str(state)] if named_by == "--dir" else [])],
        cwd=stack.root,
        env=clean_environment() | {"MUSTER_TEST_STACK": str(stack.root)} | variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        told = ""
        while "muster --help" not in told:
            line = process.stdout.readline()
            assert line, told
            told += line
        head, _, steps = told.partition("What to try next, in another terminal, in this folder:")
        lines = [
            line.strip() for line in steps.replace("ALIAS > results", "out > results").splitlines() if line.strip()
        ]

        typed = subprocess.run(
            "set -e\n" + "\n".join(lines).replace("ALIAS", "in"),
            shell=True,
            cwd=stack.root,
            env=clean_environment() | profile | {"PATH": f"{MUSTER.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

        assert ("unset" in steps) == is_led_away
        assert (typed.returncode, "Muster is up" in head) == (0, True), typed.stderr
        assert (stack.root / "results.jsonl").read_text() in {"1\n2\n", "2\n1\n"}
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.system
@pytest.mark.parametrize("is_led_away", [False, True])
def test_what_a_command_with_a_typed_folder_says_to_type_next_reaches_the_same_service(
    stack: Stack, *, is_led_away: bool
) -> None:
    stack.start_up()
    (stack.root / "workflow.yaml").write_text(FLOW)
    (stack.root / "FILE").write_text("1\n")
    terminal = clean_environment() | {"PATH": f"{MUSTER.parent}:{os.environ['PATH']}"}
    if is_led_away:
        terminal |= {"MUSTER_URL": "http://127.0.0.1:1", "MUSTER_TOKEN": "anothers"}

    def type_(command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, shell=True, cwd=stack.root, env=terminal, capture_output=True, text=True, timeout=100, check=False
        )

    submitted = type_("muster workflow submit workflow.yaml --dir muster")
    explained = type_("muster workflow explain latest --dir muster").stdout
    _, _, steps = submitted.stderr.partition("next:\n")
    done = type_("set -e\n" + steps)

    lead = f"{'  unset MUSTER_URL MUSTER_TOKEN' + chr(10) if is_led_away else ''}  export MUSTER_DIR={stack.state}\n"
    assert steps.startswith(lead)
    assert explained.endswith(f"before what is to be typed next:\n{lead}")
    assert done.returncode == 0, done.stderr
    assert "finished: 0 waiting, 0 in work, 1 done" in done.stdout
    assert "export" not in stack.run("workflow", "explain", "latest").stdout


def test_without_the_example_what_is_ones_own_stands_in_capitals() -> None:
    steps = [*list_next_steps(None)]

    assert steps[:2] == ["muster workflow submit workflow.yaml", "muster queue publish latest ALIAS FILE.jsonl --close"]
    assert "muster queue consume latest ALIAS > results.jsonl" in steps
