"""Does what a workflow took read well?"""

from typing import Any

import pytest

from muster.cli.event import render_isolation, render_usage
from muster.cli.usage import put_usage
from muster.client.shapes.events import AttemptUsageView
from muster.client.shapes.usage import TaskUsageView, UsageView, WorkflowUsageView

SUMS: dict[str, Any] = {
    "wall_s": 7200.0,
    "lost_s": 60.0,
    "measured_s": 7200.0,
    "cpu_s": 3600.0,
    "bytes_in": 2048,
    "bytes_out": 300 << 20,
    "done": 100,
    "failed": 2,
    "memory_bytes": 300 << 20,
}
TASK = TaskUsageView(
    **SUMS,
    task_id="TK-1",
    slots=2,
    n_cores=2,
    worker_memory_bytes=8 << 30,
    cpu_efficiency=0.5,
    advice=["worker_memory could be 1G"],
)
NOTHING: dict[str, Any] = dict.fromkeys(SUMS, 0) | {"memory_bytes": None}
IDLE = TaskUsageView(
    **NOTHING, task_id="TK-2", slots=1, n_cores=1, worker_memory_bytes=None, cpu_efficiency=None, advice=[]
)


def test_a_task_is_told_with_what_it_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    put_usage(WorkflowUsageView("WF-1", "active", [TASK], UsageView(**SUMS)))

    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "task TK-1",
        "attempts 100 done, 2 failed",
        "ran 2 h 00 min, 1 min 00 s of it in attempts that did not end their event",
        "CPU 1 h 00 min",
        "bytes 2 KiB in, 300 MiB out",
        "memory 300 MiB in the largest attempt, of 8 GiB for a worker with 2 events at once",
        "cores 2 for a worker with 2 events at once, 50% of their time used",
        "advice: worker_memory could be 1G",
    ]


def test_what_is_not_known_is_left_out_and_several_have_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    put_usage(WorkflowUsageView("WF-1", "active", [IDLE, TASK], UsageView(**SUMS)))

    lines = capsys.readouterr().out.splitlines()
    words = [" ".join(line.split()) for line in lines[: lines.index("task TK-1")]]
    assert words[3:] == ["CPU -", "bytes 0 B in, 0 B out", "memory -", "cores 1 for a worker", ""]
    assert lines.count("all tasks") == 1


def test_an_attempt_in_one_line() -> None:
    assert render_usage(AttemptUsageView(1.5, 300 << 20, 12, 3 << 10)) == (
        "1.5 s of CPU, 300 MiB of memory, 12 B in, 3 KiB out"
    )
    assert render_usage(AttemptUsageView(None, None, 12, 0)) == "12 B in"
    assert render_usage(AttemptUsageView()) is None


def test_what_kept_an_attempt_from_others_is_told_in_words() -> None:
    assert render_isolation("bwrap") == "by bwrap"
    assert (
        render_isolation("none: bwrap (bubblewrap) is not on PATH")
        == "not isolated (bwrap (bubblewrap) is not on PATH)"
    )
    assert render_isolation("") is None
