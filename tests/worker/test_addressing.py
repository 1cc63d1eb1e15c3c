"""Does a result go to the output queue that its task names, and is a name that means nothing the event's error?"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster import task
from muster.worker.addressing import NAMES_BYTES_MAX, address, read_names
from muster.worker.frames import FrameError, FrameReader, parse_answer
from muster.worker.messages import TaskPlan
from muster.worker.results import ResultError, render_json
from worker.conftest import Worker
from worker.fake_service import FakeService

Start = Callable[..., Worker]
Script = Callable[[str], str]

QUEUES = ("hits", "misses")


def a_plan(*outputs: str, n_outputs: int | None = None) -> TaskPlan:
    """A task with these output queues; of the rest nothing counts."""
    n_outputs = len(outputs) if n_outputs is None else n_outputs
    return TaskPlan("TD-1", "", "", {}, "", "", {}, None, False, 1, "json", "json", 1, 1, n_outputs, outputs=outputs)


def render(*values: object) -> list[bytes]:
    return [render_json(json.dumps(value).encode(), "x") for value in values]


@given(st.lists(st.sampled_from(["", *QUEUES]), min_size=1, max_size=20))
def test_each_result_carries_its_own_name(names: list[str]) -> None:
    results = render(*range(len(names)))

    addressed = [json.loads(one) for one in address(results, names, a_plan(*QUEUES))]

    assert [one["body"] for one in addressed] == list(range(len(names)))
    assert [one.get("to", "") for one in addressed] == names


def test_one_name_is_for_all_and_none_changes_nothing() -> None:
    results = render(1, 2, 3)

    assert [json.loads(one)["to"] for one in address(results, ["misses"], a_plan(*QUEUES))] == ["misses"] * 3
    assert address(results, [], a_plan(*QUEUES)) is results
    assert address([], ["misses"], a_plan(*QUEUES)) == []


@pytest.mark.parametrize(
    ("n_results", "names", "plan", "text"),
    [
        (
            1,
            ["hitz"],
            a_plan(*QUEUES),
            "for the queue 'hitz', which is no output queue of the task; it has: hits, misses",
        ),
        (1, ["hits"], a_plan(), "which is no output queue of the task; it has: none"),
        (1, ["hits"], a_plan(n_outputs=2), "this service, of an older version, sends results to all output queues"),
        (3, ["hits", "misses"], a_plan(*QUEUES), "2 output queues are named for 3 results"),
        (1, ["hits", "misses"], a_plan(*QUEUES), "for 1 result (task.to, or the file of extension .to)"),
    ],
)
def test_names_that_mean_nothing_are_refused(n_results: int, names: list[str], plan: TaskPlan, text: str) -> None:
    with pytest.raises(ResultError) as refused:
        address(render(*range(n_results)), names, plan)

    assert text in str(refused.value)


def test_a_queue_that_the_task_has_not_is_refused_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_TASK_OUTPUTS", "hits misses")

    assert task.to("hits", 1).queue == "hits"
    with pytest.raises(ValueError, match="'hitz' is no output queue of this task; it has: hits, misses"):
        task.to("hitz", 1)


def test_a_worker_that_would_send_it_everywhere_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUSTER_TASK_OUTPUTS", raising=False)
    assert task.to("hits", 1).result == 1  # tried out by hand
    monkeypatch.setenv("MUSTER_ATTEMPT", "EV-1/1")

    with pytest.raises(RuntimeError, match="is of a version that sends results to all queues"):
        task.to("hits", 1)


HELPED = """
from muster import task
task.run(lambda event: event["n"] if event["to"] is None else task.to(event["to"], event["n"]))
"""
ITEMS = """
from muster import task
task.run(lambda event: [task.to("hits", n) if n % 2 else n for n in range(event)])
"""
LARGE = """
from muster import task
task.run(lambda event: [task.to("hits", "x" * 700_000), task.to("misses", "y" * 700_000)])
"""
BY_HAND = """
import os, pathlib
out = pathlib.Path(os.environ["EWMS_TASK_OUTFILE"])
out.write_text('"odd"')
pathlib.Path(f"{out}.to").write_text("misses\\n")
"""
TELLS_QUEUE = """
from muster import task
task.run(lambda event: task.input_queue())
"""


def told(event: Any) -> list[tuple[object, object]]:
    """Results with the queues that they name."""
    return [(one["body"], one.get("to")) for one in event.results]


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
def test_the_queue_that_a_helper_names_travels_with_the_result(start: Start, script: Script, warm: bool) -> None:  # noqa: FBT001
    with FakeService(args=script(HELPED), outputs=[*QUEUES], n_outputs=2, warm=warm, attempts=1) as service:
        hit, every, bad = service.publish({"n": 1, "to": "hits"}, {"n": 2, "to": None}, {"n": 3, "to": "hitz"})
        start(service)
        service.wait_for(done=2, dead=1)

        assert (told(hit), told(every)) == ([(1, "hits")], [(2, None)])
        assert "'hitz' is no output queue of this task; it has: hits, misses" in bad.errors[0]["text"]


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ITEMS, [(0, None), (1, "hits"), (2, None)]),
        (LARGE, [("x" * 700_000, "hits"), ("y" * 700_000, "misses")]),
    ],
)
def test_each_item_may_name_its_own(
    start: Start,
    script: Script,
    warm: bool,  # noqa: FBT001
    source: str,
    expected: list[tuple[object, object]],
) -> None:
    with FakeService(args=script(source), outputs=[*QUEUES], n_outputs=2, output="lines", warm=warm) as service:
        [event] = service.publish(3)
        start(service)
        service.wait_for(done=1)

        assert told(event) == expected


@pytest.mark.system
def test_a_program_of_any_language_names_a_queue_in_a_file_beside_its_output(start: Start, script: Script) -> None:
    with FakeService(args=script(BY_HAND), outputs=[*QUEUES], n_outputs=2) as service:
        [event] = service.publish(1)
        start(service)
        service.wait_for(done=1)

        assert told(event) == [("odd", "misses")]


@pytest.mark.system
@pytest.mark.parametrize("warm", [False, True])
def test_a_task_that_reads_several_queues_knows_where_its_event_waited(
    start: Start,
    script: Script,
    warm: bool,  # noqa: FBT001
) -> None:
    with FakeService(args=script(TELLS_QUEUE), warm=warm) as service:
        left, nowhere, right = service.publish(1, 2, 3)
        left.queue, right.queue = "left", "right"
        start(service)
        service.wait_for(done=3)

        assert [one["body"] for one in (*left.results, *right.results)] == ["left", "right"]
        assert nowhere.results == []


STALE = """
import os, pathlib
from muster import task

def handle(event):
    if event == 1:
        pathlib.Path(os.environ["EWMS_TASK_OUTFILE"] + ".to").write_text("hits\\n")
        raise ValueError("no room, say")
    return ["x" * 700_000] * 2

task.run(handle)
"""


@pytest.mark.system
def test_what_a_failed_event_left_beside_its_output_is_not_the_next_ones(start: Start, script: Script) -> None:
    with FakeService(
        args=script(STALE), outputs=[*QUEUES], n_outputs=2, output="lines", warm=True, attempts=1
    ) as service:
        _, good = service.publish(1, 2)
        start(service)
        service.wait_for(done=1, dead=1)

        assert [queue for _, queue in told(good)] == [None, None]


def test_names_in_a_frame_do_not_go_with_a_result_in_the_file() -> None:
    header = b'{"event":"EV-1","fence":1,"outcome":"file","to":"hits"}'

    with pytest.raises(FrameError, match=r"in the file of extension \.to"):
        parse_answer(header, b"")


def test_names_for_as_many_results_as_there_may_be_fit_into_a_header() -> None:
    names = ["a" * 100] * 1000
    header = json.dumps({"event": "EV-1", "fence": 1, "outcome": "json", "to": names}).encode()
    reader = FrameReader()
    reader.add(struct.pack(">II", len(header), 0) + header)

    assert reader.next_frame() == (header, b"")


def test_a_file_of_names_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.to").write_bytes(b"a" * (NAMES_BYTES_MAX + 1))

    with pytest.raises(ResultError, match=r"the file of extension \.to is [0-9]+ bytes"):
        read_names(str(tmp_path / "out"))
