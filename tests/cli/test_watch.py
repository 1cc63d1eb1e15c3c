"""Does a line of `watch` say only what is known?"""

from typing import Any

import msgspec
import pytest

from muster.cli.console import render_time
from muster.cli.watch import Rate, _Lines, find_reasons, render_line, render_notice
from muster.client.shapes.account import CountsView
from muster.client.shapes.stream import GapView, NoticeView
from muster.client.shapes.workflows import BrakeView, Progress, QueueView


def _progress(
    *, at: float = 0.0, state: str = "active", workers: int = 1, failures: int = 0, **counts: int
) -> Progress:
    states: dict[str, Any] = {"waiting": 0, "in_work": 0, "done": 0, "dead": 0} | counts
    return Progress(
        workflow_id="WF-1",
        state=state,
        token="t",
        at=at,
        workers=workers,
        input=CountsView(published=sum(states.values()), **states),
        queues=[],
        phases={},
        failures=failures,
        why=None,
    )


def test_there_is_a_rate_once_there_are_two_looks_and_none_when_it_is_over() -> None:
    rate = Rate()
    looks = [
        _progress(at=0, waiting=10),
        _progress(at=2, waiting=4, done=6, workers=2, failures=1),
        _progress(at=3, done=10, state="finished", failures=2),
    ]

    lines = [render_line(one, rate.note(one)) for one in looks]

    assert lines == [
        "active: 10 waiting, 0 in work, 0 done, 0 dead of 10; 1 worker",
        "active: 4 waiting, 0 in work, 6 done, 0 dead of 10; 3 events/s, 2 workers, 1 failed attempt",
        "finished: 0 waiting, 0 in work, 10 done, 0 dead of 10; 2 failed attempts",
    ]


def test_a_workflow_that_was_just_told_of_is_told_of_again_when_it_stops_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Within the second in which no more than a line is told: it may be the last news for days."""
    lines = _Lines()
    stopped = BrakeView("paused", 1.2, "muster", "task TK-1: 10 of its last 10 attempts failed", "exit 1: no")
    looks = [
        _progress(at=1.0, waiting=10),
        _progress(at=1.1, waiting=9),
        msgspec.structs.replace(
            _progress(at=1.2, waiting=9), brake=stopped, why=f"it stopped itself: {stopped.reason}"
        ),
        msgspec.structs.replace(_progress(at=1.3, waiting=8), brake=stopped),
        _progress(at=1.4, waiting=8),
    ]

    for one in looks:
        lines.show(one)

    told = capsys.readouterr().out.splitlines()
    assert [line.split(" waiting")[0] for line in told] == ["active: 10", "active, paused: 9", "active: 8"]
    assert told[1].endswith("; it stopped itself: task TK-1: 10 of its last 10 attempts failed")


def test_of_a_chain_each_stage_is_told() -> None:
    def queue(alias: str, *, is_input: bool, **counts: int) -> QueueView:
        states: dict[str, Any] = {"waiting": 0, "in_work": 0, "done": 0, "dead": 0} | counts
        return QueueView(alias, "a1", True, is_input, True, None, CountsView(sum(states.values()), **states))

    chain = [
        queue("in", is_input=True, waiting=5, done=4, dead=1),
        queue("mid", is_input=True, done=3, waiting=1),
        queue("out", is_input=False, waiting=3),
    ]
    progress = msgspec.structs.replace(_progress(waiting=6, done=7, dead=1), queues=chain)

    assert "dead of 14 (in 5 of 10, mid 3 of 4); 1 worker" in render_line(progress, None)
    assert "(" not in render_line(msgspec.structs.replace(progress, queues=chain[1:]), None)


def test_a_notice_is_a_line_that_steers_no_terminal() -> None:
    lines = [
        render_notice(
            NoticeView("1.2", "WF-1", "taskforce.phase", 0.5, {"taskforce_uuid": "TF-1", "phase": "condor-rm"})
        ),
        render_notice(NoticeView("1.2", "WF-1", "workflow.created", 0.5, {"name": "a\x1b[2Jb\nc"})),
        render_notice(NoticeView("1.2", "WF-1", "some.new", 0.5, {})),
        render_notice(GapView("WF-1", "1.2")),
    ]

    at = render_time(0.5)
    assert lines[0] == f"{at} taskforce.phase: taskforce_uuid TF-1, phase condor-rm"
    assert "\x1b" not in lines[1]
    assert "\n" not in lines[1]
    assert lines[2:] == [
        f"{at} some.new",
        "notices may be missing here: the service does not keep all of them any more",
    ]


def test_the_reasons_for_a_bad_end() -> None:
    assert list(find_reasons(_progress(state="finished", done=3))) == []
    assert list(find_reasons(_progress(state="finished", done=3, dead=1, waiting=880))) == [
        "1 event dead",
        "880 events waiting",
    ]
    assert list(find_reasons(_progress(state="aborted"))) == ["the workflow was aborted"]
