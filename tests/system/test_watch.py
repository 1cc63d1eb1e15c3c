"""Does one who looks on miss nothing, and hear nothing twice, while the service is killed and started again?"""

import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from harness.watching import watching
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.stream import NoticeView

pytestmark = pytest.mark.system

QUEUES = [f"in{number}" for number in range(4)]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def stack(request: pytest.FixtureRequest, stack: Stack) -> Stack:
    if request.param == "postgresql":
        stack.database_url = request.getfixturevalue("postgres_url")
    return stack


def submit(stack: Stack) -> str:
    task = NewTask(cluster_locations=["local"], task_image="", task_args="true", input_queue_aliases=QUEUES)
    with stack.client() as client:
        return client.submit_workflow(NewWorkflow(tasks=[task], public_queue_aliases=QUEUES)).workflow_id


def test_no_notice_is_missing_or_told_twice_when_the_service_is_killed(stack: Stack) -> None:
    stack.start_serve()
    stack.start_site()
    workflow = submit(stack)
    with watching(stack, workflow, "--json", "--notices") as watched:
        wait_for(watched.lines, "the first line")
        for number, alias in enumerate(QUEUES):
            with stack.client() as client:
                client.close_queue(workflow, alias)
            if number % 2:  # before it was told, or after
                wait_for(lambda alias=alias: alias in str(watched.notices()), f"{alias} is told")  # type: ignore[misc]
            stack.kill("serve")
            stack.start_serve()
        wait_for(lambda: "condor-submit" in str(watched.notices()), "the workers are up")
        with stack.client() as client:
            client.finish_workflow(workflow)
        status = watched.wait_for_end()
    with stack.client() as client:
        told = [one for one in client.stream(workflow) if isinstance(one, NoticeView)]
    stack.stop("site")

    assert status == 0, watched.said()
    assert [one["id"] for one in watched.notices()] == [one.id for one in told]
    assert [one.data["queue"] for one in told if one.kind == "queue.closed"] == QUEUES
    assert told[-1].data["phase"] == "condor-complete"


def test_it_goes_on_as_before_when_the_service_is_started_again(stack: Stack) -> None:
    stack.start_serve()
    workflow = submit(stack)
    with watching(stack, workflow) as watched:
        wait_for(watched.lines, "the first line")
        stack.stop("serve")
        stack.start_serve()
        with stack.client() as client:
            client.publish(workflow, "in0", [1, 2])
        wait_for(lambda: "2 waiting" in watched.lines()[-1], "the news after the restart")
        stack.kill("serve")
        stack.start_serve()
        with stack.client() as client:
            client.abort_workflow(workflow)
        status = watched.wait_for_end()

    assert status == 1
    assert watched.lines()[0].startswith("active: 0 waiting, 0 in work, 0 done, 0 dead of 0 (in0 0 of 0, ")
    assert watched.lines()[-1].startswith("aborted: 2 waiting, 0 in work, 0 done, 0 dead of 2")
    errors = watched.said()
    assert "2 events wait and will not be worked on\nstatus 1: the workflow was aborted, 2 events waiting\n" in errors
