"""What is a task by each of its revisions?"""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.revision import FIRST, REVISABLE, Revision
from muster.domain.workflow import TaskDirective

SUBMITTED = TaskDirective(
    "TK-1", "WF-1", 0.0, 0, ("local",), "", "true", {"A": "1"}, "", "", {}, ("in",), ("out",), attempts=3
)
changes = st.dictionaries(st.sampled_from(["task_args", "task_image", "infile_ext"]), st.text(max_size=3), max_size=3)


@given(st.lists(changes, max_size=6))
def test_each_revision_has_what_was_changed_last_and_the_rest_as_submitted(made: list[dict[str, Any]]) -> None:
    revisions = tuple(Revision(number, 0.0, "ada", "", one) for number, one in enumerate(made, start=2))
    task = replace(SUBMITTED, revisions=revisions)

    expected = {name: getattr(SUBMITTED, name) for name in REVISABLE}
    assert task.at_revision(FIRST) is task
    for one in revisions:
        expected |= one.changes
        seen = task.at_revision(one.number)
        assert {name: getattr(seen, name) for name in REVISABLE} == expected
        assert (seen.revision, seen.attempts, seen.input_queues) == (one.number, 3, ("in",))
    assert task.newest == (task.at_revision(revisions[-1].number) if revisions else task)


def test_a_configuration_is_the_last_one_that_was_given_up_to_then() -> None:
    revisions = (
        Revision(2, 0.0, "ada", "", {}, worker_config={"n_cores": 2}),
        Revision(3, 0.0, "ada", "", {"task_args": "x"}),
        Revision(4, 0.0, "ada", "", {}, worker_config={"n_cores": 4}),
    )
    task = replace(SUBMITTED, revisions=revisions)

    found = [task.at_revision(number).find_config("worker_config") for number in (1, 2, 3, 4)]

    assert found == [None, {"n_cores": 2}, {"n_cores": 2}, {"n_cores": 4}]
    assert task.newest.find_config("pilot_config") is None
