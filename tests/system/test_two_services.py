"""Do two services on one PostgreSQL share the work of the daemons, and does one go on when the other is killed?"""

import re
import threading

import httpx
import pytest

from harness.stack import Part, Stack
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client

pytestmark = [pytest.mark.system, pytest.mark.server]

TASK = NewTask(cluster_locations=["local"], task_image="", task_args="true", input_queue_aliases=["in"])
NEW = NewWorkflow(tasks=[TASK], public_queue_aliases=["in"])
SHARE_MIN = 0.2


@pytest.fixture
def pair(stack: Stack, postgres_url: str) -> Stack:
    """Two services; the stack's address is the first one's."""
    stack.database_url = postgres_url
    stack.start_serve()
    stack.start_serve("other")
    return stack


def url_of(part: Part) -> str:
    return f"http://{part.environment['MUSTER_HOST']}:{part.environment['MUSTER_PORT']}"


def submit(stack: Stack, url: str, number: int) -> None:
    with Client(url, token=stack.token) as client:
        for _ in range(number):
            client.submit_workflow(NEW)


def submit_at_both(stack: Stack, number: int) -> None:
    """At once, to each as many."""
    threads = [
        threading.Thread(target=submit, args=(stack, url_of(stack.parts[name]), number)) for name in ("serve", "other")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def count_phases(client: Client) -> dict[str, int]:
    phases: dict[str, int] = {}
    for one in client.list_workflows(limit=500).workflows:
        for taskforce in client.get_workflow(one.workflow_id).taskforces:
            phases[taskforce.phase] = phases.get(taskforce.phase, 0) + 1
    return phases


def read_counter(stack: Stack, name: str, counter: str) -> int:
    url = url_of(stack.parts[name])
    text = httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {stack.token}"}).text
    found = re.search(rf"^{counter}_total (\S+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(float(found[1]))


def test_both_do_their_share(pair: Stack) -> None:
    with pair.client() as client:
        submit_at_both(pair, 40)
        wait_for(lambda: count_phases(client) == {"pending-starter": 80}, "all are ready to start")

    activated = [read_counter(pair, name, "muster_workflows_activated") for name in ("serve", "other")]
    launched = [read_counter(pair, name, "muster_taskforces_launched") for name in ("serve", "other")]
    assert (sum(activated), sum(launched)) == (80, 80)  # none twice
    assert min(activated) >= SHARE_MIN * 80
    assert min(launched) >= SHARE_MIN * 80


def test_one_takes_over_what_the_other_had_in_hand_when_it_was_killed(stack: Stack, postgres_url: str) -> None:
    stack.database_url = postgres_url
    stack.start_serve()
    stack.start_serve("other", crash="server.activate.moved")

    with stack.client() as client:
        submit(stack, stack.url, 1)  # whichever comes first: the other one dies of the first that it lets in
        while stack.parts["other"].is_alive:
            submit(stack, stack.url, 5)
        stack.wait_for_crash("other")
        submitted = len(client.list_workflows(limit=500).workflows)
        wait_for(lambda: count_phases(client) == {"pending-starter": submitted}, "all are ready to start")
