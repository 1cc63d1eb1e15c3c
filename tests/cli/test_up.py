"""Does `muster up` start, keep what it has, and leave nothing behind?"""

import json
import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from harness.processes import attempts_alive, workers_alive
from harness.stack import Stack
from harness.waiting import wait_for

pytestmark = pytest.mark.system

STUBBORN = "sh -c 'trap \"\" TERM INT; while :; do sleep 1; done'"
"""A task that neither ends nor can be asked to."""


LOOKS_AROUND = """
import json, os, pathlib, sys

def read(path):
    try:
        return pathlib.Path(path).read_text()[:10]
    except OSError as error:
        return type(error).__name__

state, cluster = pathlib.Path(sys.argv[1]), pathlib.Path(os.environ["EWMS_TASK_DATA_HUB_DIR"]).parents[3]
seen = [read(state / "token"), read(state / "muster.db"), read(cluster / "enrol.json"), read(cluster / "cluster.json")]
seen += [os.environ["MUSTER_TASK_ISOLATION"], pathlib.Path("table.txt").read_text()]
pathlib.Path(os.environ["EWMS_TASK_OUTFILE"]).write_text(json.dumps(seen))
"""


def _submit(stack: Stack, command: str, *events: object, **more: object) -> str:
    """Submit a workflow of one plain command with these events, closed. Returns its id. `more`: of the task."""
    flow = stack.root / "flow.json"
    task = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": command,
        "input_queue_aliases": ["in"],
        "output_queue_aliases": ["out"],
        "infile_ext": "json",
        "outfile_ext": "json",
        **more,
    }
    flow.write_text(json.dumps({"tasks": [task], "public_queue_aliases": ["in", "out"], "finish_when_done": True}))
    submitted = stack.run("workflow", "submit", str(flow))
    assert submitted.returncode == 0, submitted.stderr
    workflow = submitted.stdout.strip()
    lines = "".join(json.dumps(one) + "\n" for one in events)
    published = stack.run("queue", "publish", workflow, "in", "-", "--close", stdin=lines)
    assert published.returncode == 0, published.stderr
    return workflow


def _log(stack: Stack) -> str:
    return stack.parts["up"].log.read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_and_the_next_start_goes_on_with_port_token_and_state(
    stack: Stack, how: signal.Signals
) -> None:
    stack.start_up()
    url, token = stack.url, stack.token
    workflow = _submit(stack, "cp {{INFILE}} {{OUTFILE}}", 1, 2, 3)
    assert stack.run("workflow", "watch", workflow).returncode == 0

    assert stack.stop("up", how=how) == 0

    assert workers_alive(stack.root) == {}
    assert "Traceback" not in _log(stack)
    assert f"The next `muster up --dir {stack.state}` goes on from here" in _log(stack)
    stack.start_up()
    assert (stack.url, stack.token) == (url, token)
    assert stack.run_json("workflow", "account", "latest", "--recount")["done"] == 3
    results = stack.run("queue", "consume", "latest", "out").stdout.split()
    assert sorted(results) == ["1", "2", "3"]


def test_the_token_is_only_for_its_owner(stack: Stack) -> None:
    stack.start_up()

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (stack.state, stack.state / "token", stack.state / "logs")]

    assert modes == [0o700, 0o600, 0o700]
    assert stack.token not in _log(stack)
    assert stack.token not in (stack.state / "logs" / "muster.log").read_text()


def _list_open(folder: Path, root: Path) -> list[str]:
    """What others can read or write: what is open to them and stands in no folder that is closed to them."""
    if not folder.stat().st_mode & 0o077:
        return []
    found = [] if folder == root else [str(folder.relative_to(root))]
    for entry in folder.iterdir():
        if entry.is_symlink():
            continue
        if entry.is_dir():
            found += _list_open(entry, root)
        elif entry.stat().st_mode & 0o077:
            found.append(str(entry.relative_to(root)))
    return sorted(found)


@pytest.mark.parametrize("makes_folder", [True, False])
def test_nothing_that_holds_a_secret_or_a_body_is_open_to_others(stack: Stack, *, makes_folder: bool) -> None:
    if not makes_folder:  # somebody's own folders, open as folders are
        for folder in (stack.state, stack.state / "site", stack.state / "logs"):
            folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        stack.start_up()
    finally:
        os.umask(before)
    workflow = _submit(stack, "sh -c 'cat {{INFILE}}; pwd >&2; touch mine; exit 3'", "a secret body")
    assert stack.run("workflow", "watch", workflow).returncode == 1
    kept = [one for one in stack.state.rglob("stdoutfile") if b"a secret body" in one.read_bytes()]

    assert kept  # the folders of failed attempts are there
    of_nobody = [".gitignore", "address", "lock", "logs", "site", "site/agent.lock", "site/next-cluster.lock"]
    assert _list_open(stack.state, stack.state) == ([] if makes_folder else of_nobody)


def test_a_second_one_in_the_same_folder_is_refused(stack: Stack) -> None:
    part = stack.start_up()

    second = stack.run("up", "--dir", str(stack.state))

    assert second.returncode == 4
    assert f"runs already in {stack.state} (process {part.process.pid})" in second.stderr
    assert part.is_alive


def test_a_port_in_use_is_told_with_the_remedy(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        refused = stack.run("up", "--dir", str(stack.state), "--port", str(port))

    assert refused.returncode == 4
    assert f"muster: port {port} of 127.0.0.1 is in use by another program" in refused.stderr


def test_a_folder_that_cannot_be_made_is_told(stack: Stack) -> None:
    (stack.root / "file").touch()

    refused = stack.run("up", "--dir", str(stack.root / "file" / "up"))

    assert refused.returncode == 4
    assert "cannot be used: Not a directory; name another folder with --dir" in refused.stderr


def test_with_json_one_line_tells_where_it_is(stack: Stack) -> None:
    part = stack.start_up("--json")
    said = wait_for(lambda: [one for one in part.log.read_text().splitlines() if one.startswith("{")], "the line")

    assert json.loads(said[0]) == {
        "url": stack.url,
        "token_file": str(stack.state / "token"),
        "dir": str(stack.state),
        "pid": part.process.pid,
    }


def test_the_second_interrupt_kills_what_does_not_end(stack: Stack) -> None:
    part = stack.start_up()
    workflow = _submit(stack, STUBBORN, 1)
    wait_for(lambda: attempts_alive(stack.root), "the task runs")

    part.process.send_signal(signal.SIGINT)
    wait_for(lambda: "stopping" in _log(stack), "the first interrupt is heard")
    assert part.is_alive
    part.process.send_signal(signal.SIGINT)

    assert part.process.wait(timeout=15) == 0
    assert workers_alive(stack.root) == attempts_alive(stack.root) == {}
    stack.start_up()
    counts = stack.run_json("workflow", "account", workflow)
    assert (counts["published"], counts["done"], counts["dead"], counts["lost"]) == (1, 0, 0, 0)


def test_what_was_killed_is_taken_up_by_the_next_start(stack: Stack) -> None:
    stack.start_up()
    gate = stack.root / "gate"
    _submit(stack, f"sh -c 'while [ ! -e {gate} ]; do sleep 0.05; done; cp {{{{INFILE}}}} {{{{OUTFILE}}}}'", 1, 2)
    wait_for(lambda: attempts_alive(stack.root), "the task runs")
    stack.kill("up")

    stack.start_up()
    Path(gate).touch()

    assert stack.run("workflow", "watch", "latest").returncode == 0
    account = stack.run_json("workflow", "account", "latest", "--recount")
    assert (account["done"], account["lost"], account["counted_twice"], account["adds_up"]) == (2, 0, 0, True)


def test_variables_of_a_service_elsewhere_change_nothing_about_who_signs_in(stack: Stack) -> None:
    stack.start_up(
        MUSTER_OIDC_URL="https://idp.example.org",
        MUSTER_SIGN_IN="oidc",
        MUSTER_SITE_OIDC_CLIENT_ID="site-1",
        MUSTER_SITE_OIDC_CLIENT_SECRET_FILE="/none",
        MUSTER_SITE_OIDC_URL="https://idp.example.org",
    )

    workflow = _submit(stack, "cp {{INFILE}} {{OUTFILE}}", 1)

    wait_for(lambda: stack.run_json("workflow", "show", workflow)["state"] == "finished", "it finishes itself")


@pytest.mark.parametrize("hidden", [(), (".", "site", "token", "../by another name")], ids=["by itself", "named too"])
def test_an_isolated_task_reads_nothing_of_the_folder_and_finds_its_input_files(
    stack: Stack, bubblewrap: Path, tmp_path: Path, hidden: tuple[str, ...]
) -> None:
    """Also where its site names what is hidden anyway: the same, what is in it, and the same by a link."""
    (tmp_path / "table.txt").write_text("a table")
    (tmp_path / "task.py").write_text(LOOKS_AROUND)
    (tmp_path / "by another name").symlink_to(stack.state)
    named = {"MUSTER_SITE_HIDDEN": ",".join(os.path.normpath(stack.state / one) for one in hidden)} if hidden else {}
    stack.start_up(MUSTER_SITE_ISOLATION="bwrap", **named)
    workflow = _submit(
        stack,
        f"{sys.executable} {tmp_path / 'task.py'} {stack.state}",
        1,
        input_files=[str(tmp_path / "table.txt")],
        pilot_config={"environment": {"PATH": f"{bubblewrap.parent}:/usr/bin:/bin"}},
    )
    watched = stack.run("workflow", "watch", workflow)
    assert watched.returncode == 0, watched.stderr
    results = stack.run("queue", "consume", workflow, "out")
    assert json.loads(results.stdout) == [*["FileNotFoundError"] * 4, "bwrap", "a table"]
