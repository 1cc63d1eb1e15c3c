"""Do files over 1 MiB go in, through a task and out again by commands alone?"""

import json
from pathlib import Path

import pytest

from harness.stack import Stack

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


def _submit(stack: Stack) -> str:
    flow = stack.root / "flow.json"
    whole = {"tasks": [TASK], "public_queue_aliases": ["in", "out"], "finish_when_done": True}
    flow.write_text(json.dumps(whole))
    return str(stack.run_json("workflow", "submit", str(flow))["workflow_id"])


def test_large_files_are_published_worked_at_and_fetched(running: Stack, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("large", "text", "small")]
    for path, content in zip(paths, (LARGE, TEXT.encode(), b"small"), strict=True):
        path.write_bytes(content)
    workflow = _submit(running)

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
    assert len(list((running.root / "muster" / "files").glob("??/??/*"))) == 3
