"""Is a command that cannot mean what it says refused at submission, before it costs attempts?"""

import pytest

from muster.client.shapes.new_workflow import NewTask
from muster.server.services.judge_task import judge_task


def find_faults(arguments: str, *, is_ours: bool = True) -> list[str]:
    task = NewTask(cluster_locations=["local"], task_image="", task_args=arguments, input_queue_aliases=["in"])
    return [str(finding) for finding in judge_task(task, "tasks[0]", is_ours=is_ours)]


@pytest.mark.parametrize("sign", [">", ">>", "<", "|", "&&", ";"])
def test_a_shells_sign_is_refused_since_there_is_no_shell(sign: str) -> None:
    (fault,) = find_faults(f"echo a {sign} b")

    assert fault == f"tasks[0].task_args: has {sign!r}, and there is no shell: write sh -c '…', or quote it"


def test_a_placeholder_that_is_none_is_refused_with_the_nearest() -> None:
    (fault,) = find_faults("cp {{INFLE}} {{OUTFILE}}")

    assert fault == "tasks[0].task_args: {{INFLE}} is no placeholder: did you mean {{INFILE}}?"


@pytest.mark.parametrize(
    "arguments",
    [
        "sh -c 'echo a > b'",
        "grep '>' {{INFILE}}",
        "cp {{IN_FILE}} {{OUT_FILE}}",
        "ls {{DATAHUB}} {{DATA_HUB}}",
        "echo {{.State}}",
    ],
)
def test_what_is_meant_is_accepted(arguments: str) -> None:
    assert find_faults(arguments) == []


def test_what_upstream_accepts_is_accepted_for_upstreams_agents() -> None:
    assert find_faults("cp {{INFLE}} > x", is_ours=False) == []
