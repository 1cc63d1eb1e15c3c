"""Can results be read again, and what died be taken to a new workflow?"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.stack import MUSTER, Stack
from harness.waiting import wait_for

pytestmark = pytest.mark.system

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
    "infile_ext": "json",
    "outfile_ext": "json",
}


def _submit(stack: Stack, **task: Any) -> str:
    flow = stack.root / "flow.json"
    whole = {"tasks": [TASK | task], "public_queue_aliases": ["in", "out"], "finish_when_done": True}
    flow.write_text(json.dumps(whole))
    return str(stack.run_json("workflow", "submit", str(flow))["workflow_id"])


def _work_through(stack: Stack, *files: str, **task: Any) -> str:
    """A workflow that has done all it could with the files. Returns its id."""
    workflow = _submit(stack, **task)
    stack.run("queue", "publish", workflow, "in", *files, "--close")
    stack.run("workflow", "watch", workflow)
    return workflow


def _write(folder: Path, *values: object) -> str:
    file = folder / "values.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in values))
    return str(file)


def _keep(stack: Stack, file: Path, *arguments: str) -> str:
    """Keep what a command writes. Returns the file."""
    file.write_text(stack.run(*arguments).stdout)
    return str(file)


def test_results_are_exported_as_often_as_they_are_wanted(running: Stack, tmp_path: Path) -> None:
    workflow = _work_through(running, _write(tmp_path, *range(9)))

    before = running.run("event", "export", workflow, "out")
    consumed = running.run("queue", "consume", workflow, "out", "--max", "4")
    after = running.run("event", "export", workflow, "out")
    waiting = running.run("event", "export", workflow, "out", "--state", "waiting")
    rows = [json.loads(line) for line in running.run("event", "export", workflow, "out", "--with-ids").stdout.split()]

    assert sorted(map(int, before.stdout.split())) == list(range(9))
    assert (before.stdout, before.stderr) == (after.stdout, "9 exported\n")
    assert consumed.stdout + waiting.stdout == after.stdout
    assert [set(row) for row in rows] == [{"event", "key", "kind", "body"}] * 9
    assert [str(row["body"]) for row in rows] == after.stdout.split()


def test_an_export_of_an_unknown_queue_or_of_nothing(running: Stack) -> None:
    workflow = _submit(running)

    unknown = running.run("event", "export", workflow, "on")
    nothing = running.run("event", "export", workflow, "out")
    running.run("workflow", "abort", workflow)

    assert (unknown.returncode, unknown.stdout) == (3, "")
    assert "its queues: in, out" in unknown.stderr
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "0 exported\n")


def test_what_died_is_taken_to_a_new_workflow(running: Stack, tmp_path: Path) -> None:
    texts = ['{"x": 1.10}', '"ü"', "[1,\t2]"]
    file = tmp_path / "values.jsonl"
    file.write_text("".join(text + "\n" for text in texts))
    wrong = _work_through(running, str(file), task_args="false {{INFILE}} {{OUTFILE}}", attempts=1)
    mended = _submit(running)

    hint = running.run("dead-letter", "list", wrong).stderr
    command = hint[hint.index("muster event export") :].replace("$NEW", mended)

    def take(command: str) -> "subprocess.CompletedProcess[str]":
        told = command.replace("muster ", f'"{MUSTER}" ')
        environment = os.environ | {"MUSTER_DIR": str(running.state)}
        return subprocess.run(
            ["bash", "-c", told], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    astray = take(command.replace(wrong, "WF-nonexistent"))
    still_open = running.run_json("workflow", "show", mended)["queues"][0]["closed_at"]
    taken = take(command)
    watched = running.run("workflow", "watch", mended)

    assert (astray.returncode != 0, astray.stdout, still_open) == (True, "", None)
    assert (taken.returncode, taken.stdout) == (0, "3 published; the queue is closed\n"), command + taken.stderr
    assert watched.returncode == 0
    assert sorted(running.run("event", "export", mended, "out").stdout.splitlines()) == sorted(texts)
    assert running.run_json("workflow", "account", wrong)["dead"] == 3
    assert f"muster event export {wrong} in --state dead" in hint


def test_what_an_aborted_workflow_left_is_taken_to_a_new_one(running: Stack, tmp_path: Path) -> None:
    wrong = _submit(running, task_args="sleep 600", n_workers=1)
    running.run("queue", "publish", wrong, "in", _write(tmp_path, 1, 2, 3))
    wait_for(lambda: running.run_json("workflow", "account", wrong)["in_work"] == 1, "one is in work")
    mended = _submit(running)

    aborted = running.run("workflow", "abort", wrong)
    wait_for(lambda: running.run_json("workflow", "account", wrong)["waiting"] == 3, "all wait")
    told = [running.run(*command, wrong).stderr for command in (("workflow", "watch"), ("dead-letter", "list"))]
    refused = running.run("dead-letter", "replay", wrong, "--all")
    command = told[0][told[0].index("muster event export") : told[0].index("--close") + 7].replace("$NEW", mended)
    taken = subprocess.run(
        ["bash", "-c", command.replace("muster ", f'"{MUSTER}" ')],
        cwd=tmp_path,
        env=os.environ | {"MUSTER_DIR": str(running.state)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "will not be worked on" in aborted.stderr
    assert all(f"muster event export {wrong} in --state dead --state waiting" in one for one in (aborted.stderr, *told))
    assert f"muster dead-letter list {wrong}" in refused.stderr
    assert (taken.returncode, taken.stdout) == (0, "3 published; the queue is closed\n"), command + taken.stderr
    assert running.run("workflow", "watch", mended).returncode == 0


def test_a_file_without_events_closes_nothing(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running)

    refused = running.run("queue", "publish", workflow, "in", _write(tmp_path), "--close")

    assert (refused.returncode != 0, "holds no events, so in is left open" in refused.stderr) == (True, True)
    assert running.run_json("workflow", "show", workflow)["queues"][0]["closed_at"] is None


def test_one_queues_dead_letters_are_replayed(running: Stack, tmp_path: Path) -> None:
    wrong = _work_through(running, _write(tmp_path, 1, 2), task_args="false {{INFILE}} {{OUTFILE}}", attempts=1)

    nothing = running.run("dead-letter", "replay", wrong, "--all", "--queue", "out")
    astray = running.run("dead-letter", "replay", wrong, "--all", "--queue", "inn")
    unclear = running.run("dead-letter", "replay", wrong, "--queue", "in")
    replayed = running.run("dead-letter", "replay", wrong, "--all", "--queue", "in")
    running.run("workflow", "watch", wrong)

    assert (nothing.stdout, unclear.returncode) == ("0 replayed, 2 left\n", 2)
    assert (astray.returncode, "its queues: in, out" in astray.stderr) == (3, True)
    assert replayed.stdout == "2 replayed, 0 left\n"


def test_files_have_their_paths_as_keys_and_keep_them_on_the_way(running: Stack, tmp_path: Path) -> None:
    workflow, other = _submit(running), _submit(running)
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_bytes(b"\x00\xff" + file.name.encode())
    paths = [str(file) for file in files]

    first = running.run("queue", "publish", workflow, "in", "--bytes", *paths, paths[0])
    files[1].write_bytes(b"other")
    again = running.run("queue", "publish", workflow, "in", "--bytes", *paths)
    as_json = running.run_json("queue", "publish", workflow, "in", "--bytes", *paths)
    unkeyed = running.run("queue", "publish", workflow, "in", "--bytes", "--no-keys", paths[0])
    lines = _keep(running, tmp_path / "lines.jsonl", "event", "export", workflow, "in", "--with-ids")
    taken = running.run("queue", "publish", other, "in", "--with-ids", lines)
    back = running.run("event", "export", other, "in", "--with-ids")
    plain = running.run("event", "export", workflow, "in")
    for one in (workflow, other):
        running.run("workflow", "abort", one)

    rows = [json.loads(line) for line in back.stdout.splitlines()]
    assert first.stdout == "2 published, 1 known by their key\n"
    assert "a path is published once" in first.stderr
    assert again.stdout == "0 published, 2 known by their key\n"
    assert f"{paths[1]}: its content differs from that of EV-" in again.stderr
    assert f"{paths[0]}: its content" not in again.stderr
    assert (as_json["known"], [one["key"] for one in as_json["differing"]]) == (2, [paths[1]])
    assert (unkeyed.stdout, unkeyed.stderr) == ("1 published\n", "")
    assert taken.stdout == "3 published\n"
    assert [(row["key"], row["kind"], row["body"]) for row in rows] == [
        (paths[0], "bytes", "AP9h"),
        (paths[1], "bytes", "AP9i"),
        (None, "bytes", "AP9h"),
    ]
    assert plain.stdout.splitlines()[1] == '{"base64":"AP9i"}'
    assert "3 of them are bytes" in plain.stderr


def test_a_key_with_another_body_is_told_for_lines_too(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running)
    running.run("queue", "publish", workflow, "in", _write(tmp_path, {"id": 1}, {"id": 2}), "--key-field", "id")

    changed = _write(tmp_path, {"id": 1}, {"id": 2, "n": 1}, {"id": 3})
    told = running.run("queue", "publish", workflow, "in", changed, "--key-field", "id")
    running.run("workflow", "abort", workflow)

    assert (told.returncode, told.stdout) == (0, "1 published, 2 known by their key\n")
    assert told.stderr.startswith("key '2': its body differs from that of EV-")
    assert len(told.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [["--no-keys"], ["--bytes", "--with-ids"], ["--bytes", "--key-field", "id"], ["--with-ids", "--key-field", "id"]],
)
def test_options_that_do_not_go_together_are_refused(running: Stack, tmp_path: Path, options: list[str]) -> None:
    assert running.run("queue", "publish", "latest", "in", _write(tmp_path, 1), *options).returncode == 2


def test_a_reader_that_has_enough_is_no_error(running: Stack, tmp_path: Path) -> None:
    workflow = _submit(running)
    # More than a pipe holds: the reader leaves before all of it is written.
    running.run("queue", "publish", workflow, "in", _write(tmp_path, *("x" * 4000 for _ in range(200))))

    command = f'"{MUSTER}" event export {workflow} in --dir {running.state} | head -n 3; echo ${{PIPESTATUS[0]}}'
    some = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    running.run("workflow", "abort", workflow)

    *lines, status = some.stdout.splitlines()
    assert (len(lines), status, some.stderr) == (3, "0", "")
