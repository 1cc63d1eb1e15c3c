"""Is the end of a workflow kept, and does only a replay of a finished one take it back?"""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.workflow import (
    TERMINAL,
    TRANSITIONS,
    TaskDirective,
    Workflow,
    WorkflowEvent,
    WorkflowState,
    list_reached,
    next_state,
)

NEW = Workflow("WF-1", 1.0, 50, "ada", "sums", finish_when_done=True)
EVENTS = st.lists(st.sampled_from(WorkflowEvent), max_size=20)


def test_every_pair_is_judged() -> None:
    """One row a state, one column an event; `.` changes nothing."""
    table = """
              finished aborted drained reopened
    active    finished aborted finished .
    finished  . . . active
    aborted   . . . .
    """
    head, *rows = table.strip().splitlines()
    events = [WorkflowEvent(word) for word in head.split()]
    tried = set()
    for row in rows:
        name, *cells = row.split()
        for event, cell in zip(events, cells, strict=True):
            tried.add((WorkflowState(name), event))
            assert next_state(WorkflowState(name), event) == (None if cell == "." else WorkflowState(cell))

    assert tried == {(state, event) for state in WorkflowState for event in WorkflowEvent}
    assert set(TRANSITIONS) <= tried


def test_only_an_aborted_workflow_is_over_for_ever() -> None:
    assert frozenset({WorkflowState.ABORTED}) == TERMINAL


@given(EVENTS)
def test_its_fields_say_the_state_and_who_ended_it_after_any_history(events: list[WorkflowEvent]) -> None:
    workflow, state, ended = NEW, WorkflowState.ACTIVE, None
    for number, event in enumerate(events):
        after = workflow.after(event, at=float(number), by=f"user-{number}")
        expected = next_state(state, event)
        assert (after is None) == (expected is None)
        if after is not None and expected is not None:
            workflow, state = after, expected
            ended = (float(number), f"user-{number}")

    assert workflow.state is state
    is_active = state is WorkflowState.ACTIVE
    assert (workflow.ended_at, workflow.ended_by) == ((None, None) if is_active else ended)
    assert workflow.is_active == is_active


@given(EVENTS, st.sampled_from(WorkflowEvent))
def test_the_same_event_twice_moves_at_most_once(events: list[WorkflowEvent], doubled: WorkflowEvent) -> None:
    state = WorkflowState.ACTIVE
    for event in events:
        state = next_state(state, event) or state

    once = next_state(state, doubled) or state

    assert next_state(once, doubled) is None


@given(EVENTS)
def test_a_workflow_that_was_reopened_is_as_it_was_before_its_end(events: list[WorkflowEvent]) -> None:
    workflow = NEW
    for event in events:
        workflow = workflow.after(event, at=9.0, by="ada") or workflow

    assert workflow.state is not WorkflowState.ACTIVE or workflow == NEW


TASK = TaskDirective("TK", "WF-1", 1.0, 0, ("local",), "", "cat", {}, "", "", {}, (), ())


def tasks(*edges: tuple[str, str]) -> list[TaskDirective]:
    """Tasks by what they read and write: letters are queues."""
    return [
        dataclasses.replace(TASK, task_id=f"{reads}>{writes}", input_queues=tuple(reads), output_queues=tuple(writes))
        for reads, writes in edges
    ]


def test_work_reaches_the_reader_and_every_task_behind_it() -> None:
    flow = tasks(("c", "d"), ("a", "b"), ("b", "c"), ("x", "c"))

    reached = {start: [one.task_id for one in list_reached(flow, start)] for start in ("a", "b", "x", "d", "ax", "")}

    assert reached == {
        "a": ["c>d", "a>b", "b>c"],
        "b": ["c>d", "b>c"],
        "x": ["c>d", "x>c"],
        "d": [],
        "ax": ["c>d", "a>b", "b>c", "x>c"],
        "": [],
    }


def test_tasks_that_feed_each_other_are_reached_once() -> None:
    flow = tasks(("a", "b"), ("b", "a"), ("bx", "c"))

    assert [one.task_id for one in list_reached(flow, "b")] == ["a>b", "b>a", "bx>c"]


QUEUES = st.text("abcdef", max_size=3)


@given(st.lists(st.tuples(QUEUES.filter(bool), QUEUES), max_size=8, unique=True), QUEUES)
def test_what_is_reached_is_closed_and_no_more_than_that(edges: list[tuple[str, str]], starts: str) -> None:
    flow = tasks(*edges)
    reached = list_reached(flow, starts)
    filled = set(starts) | {queue for one in reached for queue in one.output_queues}

    assert [one for one in flow if filled & set(one.input_queues)] == reached
