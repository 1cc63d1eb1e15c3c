"""Do files over 1 MiB go in, through a task and out again by commands alone?"""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.stack import MUSTER, Stack, clean_environment

pytestmark = pytest.mark.system

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
    "infile_ext": "dat",
    "outfile_ext": "dat",
}
LARGE = bytes(range(256)) * (8 << 10)  # 2 MiB
TEXT = "a line of text\n" * 200_000


def _submit(stack: Stack, **task: Any) -> str:
    flow = stack.root / "flow.json"
    whole = {"tasks": [TASK | task], "public_queue_aliases": ["in", "out"], "finish_when_done": True}
    flow.write_text(json.dumps(whole))
    return str(stack.run_json("workflow", "submit", str(flow))["workflow_id"])


def test_large_files_are_published_worked_at_and_fetched(running: Stack, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("large", "text", "small")]
    for path, content in zip(paths, (LARGE, TEXT.encode(), b"small"), strict=True):
        path.write_bytes(content)
    workflow = _submit(running)
    before = _count_files(running)

    for _ in range(2):  # each is one event by its key, and one file
        running.run("queue", "publish", workflow, "in", "--bytes", *map(str, paths))
    running.run("queue", "close", workflow, "in")
    running.run("workflow", "watch", workflow)
    exported = running.run("event", "export", workflow, "out", "--with-ids", "--files", str(tmp_path / "exported"))
    consumed = running.run("queue", "consume", workflow, "out", "--with-ids", "--files", str(tmp_path / "consumed"))

    events = {Path(one["key"]).name: one for one in map(json.loads, consumed.stdout.splitlines())}
    assert sorted(consumed.stdout.splitlines()) == sorted(exported.stdout.splitlines())
    assert {name: one["kind"] for name, one in events.items()} == {"large": "file", "text": "file", "small": "json"}
    for folder in ("exported", "consumed"):
        assert (tmp_path / folder / events["large"]["body"]["file"]).read_bytes() == LARGE
        assert (tmp_path / folder / events["text"]["body"]["file"]).read_text() == TEXT
    assert running.run("event", "show", events["text"]["event"], "--body").stdout == TEXT
    # Two that went in, and the text that came out as such: the bytes that came out are those that went in.
    assert _count_files(running) - before == 3


def _count_files(stack: Stack) -> int:
    return len(list((stack.state / "files").glob("??/??/*")))


def _write_points(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A line of 5 MB between small ones, and what is in them, by key."""
    points: list[dict[str, Any]] = [{"id": "a", "x": [1]}, {"id": "b", "x": list(range(800_000))}, {"id": "c", "x": []}]
    file = folder / "points.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in points))
    return file, {str(one["id"]): one for one in points}


def test_a_line_of_five_megabytes_goes_as_a_file_by_itself(running: Stack, tmp_path: Path) -> None:
    file, points = _write_points(tmp_path)
    workflow = _submit(running, infile_ext="json", outfile_ext="json")

    for _ in range(2):  # each is one event by its key, and one file
        published = running.run("queue", "publish", workflow, "in", str(file), "--key-field", "id")
        assert published.returncode == 0, published.stderr
    running.run("queue", "close", workflow, "in")
    running.run("workflow", "watch", workflow)
    consumed = running.run("queue", "consume", workflow, "out", "--with-ids", "--files", str(tmp_path / "files"))

    assert "0 published, 3 known by their key" in published.stdout
    events = {one["key"]: one for one in map(json.loads, consumed.stdout.splitlines())}
    assert {key: one["kind"] for key, one in events.items()} == {"a": "json", "b": "file", "c": "json"}
    large = events["b"]["body"]
    assert (large["content"], large["size_bytes"] > 5_000_000) == ("json", True)
    assert json.loads((tmp_path / "files" / large["file"]).read_text()) == points["b"]
    assert "reference" not in consumed.stderr


def test_a_long_line_of_a_pipe_reaches_a_function_as_any_other(running: Stack, tmp_path: Path) -> None:
    file, points = _write_points(tmp_path)
    (tmp_path / "add.py").write_text("from muster import task\ntask.run(lambda point: sum(point['x']))\n")
    workflow = _submit(
        running, infile_ext="json", outfile_ext="json", warm=True, task_args=f"python3 {tmp_path}/add.py"
    )
    environment = clean_environment() | {"MUSTER_URL": running.url, "MUSTER_TOKEN_FILE": str(running.state / "token")}
    piped = f"cat {file} | {shlex.join([str(MUSTER), 'queue', 'publish', workflow, 'in', '-', '--close'])}"

    subprocess.run(piped, shell=True, env=environment, check=True, timeout=60)
    running.run("workflow", "watch", workflow)

    consumed = running.run("queue", "consume", workflow, "out")
    assert sorted(map(json.loads, consumed.stdout.splitlines())) == sorted(sum(one["x"]) for one in points.values())


def test_who_consumes_references_is_told_once_how_many_and_how_their_bodies_are_fetched(
    running: Stack, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(LARGE)
    (tmp_path / "text").write_text(TEXT)
    (tmp_path / "small").write_bytes(b"small")
    workflow = _submit(running)
    running.run(
        "queue",
        "publish",
        workflow,
        "in",
        "--close",
        "--bytes",
        *(str(tmp_path / one) for one in ("large", "text", "small")),
    )
    running.run("workflow", "watch", workflow)

    consumed = running.run("queue", "consume", workflow, "out")
    [told] = [line for line in consumed.stderr.splitlines() if "reference" in line]
    _, _, command = told.partition("written before: muster ")
    fetched = running.run(*command.replace("FOLDER", str(tmp_path / "fetched")).split())
    exported = running.run("event", "export", workflow, "out")

    assert told.startswith("2 of them are references to files")
    assert "3 consumed" in consumed.stderr
    assert sorted(one.stat().st_size for one in (tmp_path / "fetched").iterdir()) == sorted([len(LARGE), len(TEXT)])
    assert "reference" not in fetched.stderr
    assert "2 of them are references to files" in exported.stderr


@pytest.mark.parametrize("options", [["--with-ids"], []], ids=["exported", "lines"])
def test_a_long_line_that_cannot_go_as_a_file_is_named_before_anything_is_sent(
    running: Stack, tmp_path: Path, options: list[str]
) -> None:
    file = tmp_path / "texts.jsonl"
    lines = [json.dumps({"body": text} if options else text) for text in ("short", TEXT)]
    file.write_text("\n".join(lines))
    workflow = _submit(running)

    refused = running.run("queue", "publish", workflow, "in", str(file), *options)

    assert refused.returncode != 0
    assert f"{file}:2: is a text of {len(json.dumps(TEXT))} bytes" in refused.stderr
    assert "publish that with --bytes" in refused.stderr
    assert running.run_json("queue", "list", workflow)["queues"][0]["counts"]["published"] == 0
    running.run("workflow", "abort", workflow)


def test_a_service_that_takes_no_such_file_says_so_and_which_event_it_was(stack: Stack, tmp_path: Path) -> None:
    file, _ = _write_points(tmp_path)
    stack.start_serve(MUSTER_FILE_BYTES_MAX="2000000")
    workflow = _submit(stack)

    refused = stack.run("queue", "publish", workflow, "in", str(file), "--close")

    assert refused.returncode != 0
    assert "event 2 has a body over 1 MiB, and could not be brought to the service" in refused.stderr
    assert "a file may have 2000000 (MUSTER_FILE_BYTES_MAX)" in refused.stderr
    assert stack.run_json("queue", "list", workflow)["queues"][0]["counts"]["published"] == 0
