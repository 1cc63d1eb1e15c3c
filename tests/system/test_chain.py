"""Does the whole chain hold, as processes of their own, on both databases? From one POST to the results and the account."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.stack import Stack
from harness.tally import TASKS, Tally, check_account, check_after_fault, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from services.postgres import PostgresServer

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
DAYA_BAY = ROOT / "examples" / "daya-bay"


SORTS = """
from muster import task

seen = []

def handle(n):
    seen.append(n)
    result = {"n": n, "queue": task.input_queue(), "place": len(seen)}
    return task.to("odd" if n % 2 else "even", result) if n else result

task.run(handle)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def chain(stack: Stack, request: pytest.FixtureRequest) -> Stack:
    """Service and agent, on each database in turn."""
    if request.param == "postgres":
        stack.database_url = request.getfixturevalue("postgres_url")
    stack.start_serve()
    stack.start_site()
    return stack


def a_task(**fields: object) -> NewTask:
    values: dict[str, object] = {
        "cluster_locations": ["local"],
        "task_image": "",
        "task_args": "python tally.py",
        "input_files": [str(TASKS / "tally.py")],
        "input_queue_aliases": ["in"],
        "output_queue_aliases": ["out"],
        "infile_ext": "json",
        "outfile_ext": "json",
        "n_workers": 2,
    }
    return NewTask(**(values | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(("warm", "events"), [(True, 2000), (False, 60)])
def test_every_event_is_done_once(chain: Stack, warm: bool, events: int, tmp_path: Path) -> None:  # noqa: FBT001
    tally = Tally(tmp_path / "tally.jsonl")
    with chain.client() as client:
        task = a_task(warm=warm, task_env=tally.environment)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id

        tally.publish(client, workflow, ({"n": n} for n in range(events)), close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself")
        account = check_after_fault(chain, client, workflow, tally, done=events)
        assert account.duplicates == 0
        assert tally.runs() == dict.fromkeys(range(events), 1)


def test_tasks_joined_by_queues_in_a_chain_of_three(chain: Stack, tmp_path: Path) -> None:
    """In → first → middle → second → out, and what the second makes goes to two queues."""
    tally = Tally(tmp_path / "tally.jsonl")
    with chain.client() as client:
        tasks = [
            a_task(warm=True, task_env=tally.environment, output_queue_aliases=["middle"], n_workers=1),
            a_task(
                warm=True,
                task_env=tally.environment,
                input_queue_aliases=["middle"],
                output_queue_aliases=["out", "copy"],
                n_workers=1,
            ),
        ]
        new = NewWorkflow(tasks=tasks, public_queue_aliases=["in", "out", "copy"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        tally.publish(client, workflow, ({"n": n} for n in range(100)), close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself")

        assert sorted(value["n"] for value in consume_values(client, workflow, "out")) == list(range(100))
        assert sorted(value["n"] for value in consume_values(client, workflow, "copy")) == list(range(100))
        assert tally.runs() == dict.fromkeys(range(100), 2)
        check_account(client, workflow, published=200, done=200)


def test_each_line_of_an_output_is_an_event_of_the_next_task(chain: Stack, tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally.jsonl")
    splits = "python -c 'import json, sys; n = json.load(open(sys.argv[1])); open(sys.argv[2], chr(119)).writelines(f"
    splits += '"{json.dumps(dict(n=n * 10 + one))}{chr(10)}"' + " for one in range(10))' {{INFILE}} {{OUTFILE}}"
    with chain.client() as client:
        tasks = [
            a_task(task_args=splits, input_files=[], output_queue_aliases=["parts"], output="lines", n_workers=1),
            a_task(task_env=tally.environment, warm=True, input_queue_aliases=["parts"], n_workers=1),
        ]
        new = NewWorkflow(tasks=tasks, public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", range(5), close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself")

        assert sorted(value["n"] for value in consume_values(client, workflow, "out")) == list(range(50))
        assert tally.runs() == dict.fromkeys(range(50), 1)
        check_account(client, workflow, published=55, done=55)


def test_a_result_goes_to_the_queue_that_its_task_names_and_several_inputs_are_served_side_by_side(
    chain: Stack, tmp_path: Path
) -> None:
    """Two inputs, one of them long; odd numbers to one output, even ones to the other, zero to both."""
    source = tmp_path / "sorts.py"
    source.write_text(SORTS)
    outputs = ["odd", "even"]
    with chain.client() as client:
        task = a_task(
            task_args="python sorts.py",
            input_files=[str(source)],
            warm=True,
            input_queue_aliases=["long", "short"],
            output_queue_aliases=outputs,
            n_workers=1,
        )
        new = NewWorkflow(tasks=[task], public_queue_aliases=["long", "short", *outputs], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "long", range(1000), close=True)
        client.publish(workflow, "short", range(1000, 1020), close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself")

        odd, even = (list(consume_values(client, workflow, queue)) for queue in outputs)
        assert sorted(one["n"] for one in odd) == [0, *range(1, 1020, 2)]
        assert sorted(one["n"] for one in even) == list(range(0, 1020, 2))
        assert {one["n"] for one in (*odd, *even) if one["queue"] == "short"} == set(range(1000, 1020))
        order = sorted((one["place"], one["queue"]) for one in (*odd, *even) if one["n"])
        assert order.index(next(one for one in reversed(order) if one[1] == "short")) < 500
        check_account(client, workflow, published=1020, done=1020)


def test_the_same_creation_twice_at_once_is_one_workflow(chain: Stack) -> None:
    new = NewWorkflow(tasks=[a_task()], public_queue_aliases=["in", "out"])
    made: list[str] = []

    def submit() -> None:
        with chain.client() as client:
            made.append(client.submit_workflow(new, idempotency_key="the-same").workflow_id)

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with chain.client() as client:
        assert len(made) == 6
        assert {one.workflow_id for one in client.list_workflows().workflows} == set(made) == {made[0]}


def test_the_analysis_runs_per_event_as_well(chain: Stack) -> None:
    """The demo's own task, not warm, on 100 points: each of them a process that loads the data afresh."""
    files = [str(DAYA_BAY / name) for name in _input_files()]
    points = [{"sin2_2theta13": 0.08 + 0.0001 * n, "dm2_32": 2.4e-3 + 1e-6 * n} for n in range(100)]
    with chain.client() as client:
        task = a_task(task_args="python chi2.py {{INFILE}} {{OUTFILE}}", input_files=files, warm=False)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", points, close=True)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=200)

        results = consume_values(client, workflow, "out")
        assert sorted(one["sin2_2theta13"] for one in results) == sorted(one["sin2_2theta13"] for one in points)
        assert all(500 < one["chi2"] < 3000 for one in results)
        check_account(client, workflow, published=100, done=100)


def _input_files() -> list[str]:
    import yaml

    task = yaml.safe_load((DAYA_BAY / "workflow.yaml").read_text())["tasks"][0]
    return list(task["input_files"])


def die(server: PostgresServer) -> None:
    server.kill()
    server.start()


def restart(server: PostgresServer) -> None:
    server.stop()
    server.start()


@pytest.mark.parametrize(("happens", "times"), [(die, 1), (restart, 3), (PostgresServer.end_sessions, 8)])
def test_a_database_that_goes_and_comes_back_loses_nothing(
    stack: Stack, own_postgres: PostgresServer, tmp_path: Path, happens: Callable[[PostgresServer], None], times: int
) -> None:
    stack.database_url = own_postgres.make_database()
    stack.start_serve()
    stack.start_site()
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        task = a_task(warm=True, task_env=tally.environment)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        tally.publish(client, workflow, ({"n": n, "sleep_s": 0.02} for n in range(200)), close=True)

        for number in range(times):
            before = 20 * number
            wait_for(lambda before=before: client.get_progress(workflow).input.done > before, "work is going on")  # type: ignore[misc]
            happens(own_postgres)

        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=120)
        check_after_fault(stack, client, workflow, tally, done=200)
