"""Are ids unique, ordered, and read back as they were written?"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.domain.ids import (
    TASK_ID,
    TASKFORCE_UUID,
    WORKFLOW_ID,
    EventIds,
    make_queue_id,
    make_task_id,
    make_taskforce_uuid,
    make_workflow_id,
    parse_event_id,
    render_event_id,
)

CLOCK = st.floats(min_value=1_577_836_800, max_value=3_000_000_000)


@given(st.integers(0, 1023), st.lists(st.tuples(st.integers(0, 5000), CLOCK), max_size=8), st.integers(0, 2**62))
def test_ids_of_one_source_only_grow_also_when_the_clock_goes_back(
    node: int, takes: list[tuple[int, float]], last: int
) -> None:
    source = EventIds(node, last=last)
    ids = [last]
    for count, now in takes:
        taken = source.take(count, now_s=now)
        assert len(taken) == count
        ids += taken

    assert ids == sorted(set(ids))
    assert source.last == ids[-1]


@given(CLOCK, st.integers(0, 1023), st.integers(0, 1023), st.integers(1, 9000))
def test_two_nodes_never_make_the_same_id(now: float, one: int, other: int, count: int) -> None:
    if one == other:
        other = (one + 1) % 1024

    ids = EventIds(one).take(count, now_s=now) + EventIds(other).take(count, now_s=now)

    assert len(set(ids)) == len(ids)


@given(st.integers(0, 2**63 - 1))
def test_an_event_id_is_read_back_as_written(event: int) -> None:
    assert parse_event_id(render_event_id(event)) == event


@pytest.mark.parametrize(
    "text",
    ["", "EV-", "EV-1", "EV-../../etc/passwd", "ev-0000000000000001", "EV-f000000000000000", "EV-00000000000000010"],
)
def test_what_is_no_event_id_is_none(text: str) -> None:
    assert parse_event_id(text) is None


def test_a_node_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="1024"):
        EventIds(1024)


def test_ids_have_upstreams_form_and_contain_their_parents() -> None:
    workflow = make_workflow_id(now_s=0x6B0259DA, random="962b1dcf")
    task = make_task_id(workflow, random="6713e685")
    taskforce = make_taskforce_uuid(task, random="1b7b398a")

    assert (workflow, task, taskforce) == (
        "WF-6b0259da-962b1dcf",
        "TK-6b0259da-962b1dcf-6713e685",
        "TF-6b0259da-962b1dcf-6713e685-1b7b398a",
    )
    assert WORKFLOW_ID.fullmatch(workflow)
    assert TASK_ID.fullmatch(task)
    assert TASKFORCE_UUID.fullmatch(taskforce)
    assert make_queue_id(random="e00c3f1f69b3455c949b") == "ae00c3f1f69b3455c949b"
