"""Does a workflow that finished itself with dead letters go on with them, once the cause is mended, in one command?"""

from pathlib import Path

import pytest

from harness.processes import attempts_alive, workers_alive
from harness.stack import Stack
from harness.tally import check_account, consume_values
from harness.waiting import wait_for
from muster.client.patience import Patience
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client
from muster.domain.errors import UnavailableError

pytestmark = pytest.mark.system

GOOD, BAD = 30, 12


def a_workflow(needed: Path) -> NewWorkflow:
    """Two tasks; the first one needs a file for the events that say so, and the second one passes on what it gets."""
    values = {"cluster_locations": ["local"], "task_image": "", "attempts": 2, "retry_s": 0.3, "n_workers": 2}
    mend = f"cat {needed} {{{{INFILE}}}} > {{{{OUTFILE}}}}"
    first = NewTask(
        **values,  # type: ignore[arg-type]
        task_args=f"sh -c 'if grep -q bad {{{{INFILE}}}}; then {mend}; else cp {{{{INFILE}}}} {{{{OUTFILE}}}}; fi'",
        input_queue_aliases=["in"],
        output_queue_aliases=["mid"],
    )
    second = NewTask(
        **values,  # type: ignore[arg-type]
        task_args="cp {{INFILE}} {{OUTFILE}}",
        input_queue_aliases=["mid"],
        output_queue_aliases=["out"],
    )
    return NewWorkflow(tasks=[first, second], public_queue_aliases=["in", "out"], finish_when_done=True)


def finish_with_dead_letters(client: Client, needed: Path) -> str:
    workflow = client.submit_workflow(a_workflow(needed)).workflow_id
    bodies = [f"good {n}" for n in range(GOOD)] + [f"bad {n}" for n in range(BAD)]
    client.publish(workflow, "in", bodies, close=True)
    wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself", deadline_s=90)
    check_account(client, workflow, published=GOOD + BAD + GOOD, done=2 * GOOD, dead=BAD)
    return workflow


def test_after_the_fix_one_command_brings_it_to_its_end_with_everything_done(stack: Stack, tmp_path: Path) -> None:
    stack.start_serve()
    stack.start_site()
    needed = tmp_path / "needed.txt"
    with stack.client() as client:
        workflow = finish_with_dead_letters(client, needed)
        watched = stack.run("workflow", "watch", "latest")
        assert watched.returncode == 1
        assert f"muster dead-letter replay {workflow} --all" in watched.stderr
        early = len(list(client.consume(workflow, "out")))
        needed.write_text("calibrated ")

        replayed = stack.run("dead-letter", "replay", "latest", "--all")

        assert (replayed.returncode, replayed.stdout) == (0, f"{BAD} replayed, 0 left\n")
        assert f"workflow {workflow} is active again" in replayed.stderr
        assert stack.run("workflow", "watch", "latest").returncode == 0
        assert client.get_workflow(workflow).state == "finished"
        total = 2 * (GOOD + BAD)
        account = stack.run("workflow", "account", "latest", "--recount")
        assert account.stdout.startswith(f"{total} published, {total} done, 0 lost, 0 counted twice")
        check_account(client, workflow, published=total, done=total)
        late = sorted(consume_values(client, workflow, "out"))
        assert (early, late) == (GOOD, sorted(f"calibrated bad {n}" for n in range(BAD)))
        wait_for(
            lambda: {one.phase for one in client.get_workflow(workflow).taskforces} == {"condor-complete"},
            "old and new taskforces are complete",
        )
    wait_for(lambda: not workers_alive(stack.root), "all workers are gone")
    assert attempts_alive(stack.root) == {}


def test_a_replay_whose_service_dies_behind_its_back_is_worked_off_all_the_same(stack: Stack, tmp_path: Path) -> None:
    """No client asks again: what the last transaction left must be enough."""
    stack.start_serve(crash="server.replay.committed", times=1)
    stack.start_site()
    needed = tmp_path / "needed.txt"
    with stack.client() as client:
        workflow = finish_with_dead_letters(client, needed)
        needed.write_text("calibrated ")

        impatient = Patience(first_s=0.0, later_s=0.0)
        with Client(stack.url, token=stack.token, patience=impatient) as user, pytest.raises(UnavailableError):
            user.replay_dead_letters(workflow)

        wait_for(lambda: not stack.parts["serve"].is_alive, "the service is dead")
        stack.start_serve()
        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself again", deadline_s=90)
        check_account(client, workflow, published=2 * (GOOD + BAD), done=2 * (GOOD + BAD))


def test_an_aborted_workflow_is_not_reopened_and_the_user_is_told_what_to_do(stack: Stack, tmp_path: Path) -> None:
    stack.start_serve()
    stack.start_site()
    with stack.client() as client:
        new = a_workflow(tmp_path / "never.txt")
        workflow = client.submit_workflow(new).workflow_id
        client.publish(workflow, "in", ["bad"])
        wait_for(lambda: client.get_progress(workflow).input.dead == 1, "a dead letter")
        client.abort_workflow(workflow)

        refused = stack.run("dead-letter", "replay", workflow, "--all")

        assert refused.returncode != 0
        assert "was aborted, and stays so: submit it again" in refused.stderr
        assert client.get_workflow(workflow).state == "aborted"
