"""Is a workflow that cannot be run refused, with every reason, and is one that can laid out as it was written?"""

from typing import Any

import msgspec
import pytest

from muster.client.shapes.new_workflow import NewTask, NewWorkflow, PilotConfig, WorkerConfig
from muster.domain.errors import InvalidError
from muster.domain.location import Agent, Location, index_locations
from muster.server.services.findings import tell_upstream
from muster.server.services.plan_workflow import PlannedQueue, WorkflowPlan, plan_workflow

LOCATIONS = index_locations(
    (
        Location("local", schedd="local", aliases=("here",)),
        Location("far", schedd="far.example.org"),
        Location("bare", schedd="bare.example.org", containers=False),
        Location("theirs", schedd="SCHEDD1", agent=Agent.UPSTREAM),
    )
)
TASK = NewTask(["local"], "", "cat {{INFILE}}", ["in"], ["out"])
WORKFLOW = NewWorkflow([TASK], ["in", "out"])


def plan(workflow: NewWorkflow, *, ignores: bool = False) -> WorkflowPlan:
    return plan_workflow(workflow, locations=LOCATIONS, ignores_unknown_aliases=ignores)


def refused(workflow: NewWorkflow, *, ignores: bool = False) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        plan(workflow, ignores=ignores)
    return [one.field for one in caught.value.findings]


def with_task(**changes: Any) -> NewWorkflow:
    return NewWorkflow([msgspec.structs.replace(TASK, **changes)], ["in"])


@pytest.mark.parametrize("code", [0x00, 0x1B, 0x7F, 0x85, 0x9B, 0x200E, 0x2028, 0x2029, 0x202E, 0x2066, 0x2069])
def test_what_steers_a_terminal_or_turns_a_text_round_is_refused(code: int) -> None:
    text = f"/sums{chr(code)}of"

    assert refused(msgspec.structs.replace(WORKFLOW, name=text)) == ["name"]
    assert refused(with_task(task_image=text)) == ["tasks[0].task_image"]
    assert refused(with_task(input_files=[text])) == ["tasks[0].input_files[0]"]
    assert refused(with_task(worker_config=WorkerConfig(condor_requirements=text))) == [
        "tasks[0].worker_config.condor_requirements"
    ]


@pytest.mark.parametrize("name", ["Größe", "和", "מספר", "👩‍🔬", "a\u00a0b"])
def test_a_name_in_any_script_is_taken(name: str) -> None:
    assert plan(msgspec.structs.replace(WORKFLOW, name=name)).name == name


def test_a_chain_of_tasks_is_laid_out_in_the_order_of_its_queues() -> None:
    first = msgspec.structs.replace(TASK, output_queue_aliases=["between"])
    second = msgspec.structs.replace(
        TASK, input_queue_aliases=["between"], attempts=2, lease_s=5.0, retry_s=0.5, task_args="true"
    )
    laid_out = plan(NewWorkflow([first, second], ["in", "out"], name=" two steps ", priority=70))
    assert laid_out.queues == [
        PlannedQueue("in", True, True, False, 5, 60.0, 2.0),
        PlannedQueue("between", False, True, True, 2, 5.0, 0.5),
        PlannedQueue("out", True, False, True, 5, 60.0, 2.0),
    ]
    assert (laid_out.name, laid_out.priority, laid_out.finish_when_done) == ("two steps", 70, False)


def test_a_queue_may_loop_and_names_of_one_place_may_be_given_side_by_side() -> None:
    loop = with_task(cluster_locations=["local", "here"], output_queue_aliases=["in"])
    laid_out = plan(loop)
    assert [(queue.alias, queue.is_input, queue.is_output) for queue in laid_out.queues] == [("in", True, True)]
    assert [place.schedd for place in laid_out.tasks[0].locations] == ["local", "local"]


@pytest.mark.parametrize(("asked", "stored"), [(-5, 1), (0, 1), (1, 1), (50, 50), (100, 100), (10_000, 100)])
def test_priority_is_kept_within_its_bounds(asked: int, stored: int) -> None:
    assert plan(NewWorkflow([TASK], ["in"], priority=asked)).priority == stored


BAD = {
    "n_workers": with_task(n_workers=0),
    "n_workers (negative)": with_task(n_workers=-1),
    "n_workers (too many)": with_task(n_workers=10**9),
    "cluster_locations": with_task(cluster_locations=[]),
    "cluster_locations[0]": with_task(cluster_locations=["nowhere"]),
    "cluster_locations[1]": with_task(cluster_locations=["local", "local"]),
    "input_queue_aliases": with_task(input_queue_aliases=[], output_queue_aliases=["in"]),
    "input_queue_aliases[1]": with_task(input_queue_aliases=["in", "in"]),
    "output_queue_aliases[1]": with_task(output_queue_aliases=["out", "out"]),
    "task_args": with_task(task_args=""),
    "task_args (blanks)": with_task(task_args="   "),
    "task_args (quote)": with_task(task_args="echo 'open"),
    "task_args (NUL)": with_task(task_args="echo \0"),
    "task_args (with image, too long)": with_task(task_image="i", task_args="x" * 200_000),
    "task_image": with_task(task_image="image\nRUN"),
    "init_args": with_task(init_args="echo 'open"),
    "task_env.A-B": with_task(task_env={"A-B": "1"}),
    "task_env.": with_task(task_env={"": "1"}),
    "task_env.1A": with_task(task_env={"1A": "1"}),
    "task_env.A": with_task(task_env={"A": "\0"}),
    "init_env.A=B": with_task(init_env={"A=B": "1"}),
    "worker_config.worker_memory": with_task(worker_config=WorkerConfig(worker_memory="much")),
    "worker_config.worker_disk": with_task(worker_config=WorkerConfig(worker_disk=0)),
    "worker_config.n_cores": with_task(worker_config=WorkerConfig(n_cores=-1)),
    "worker_config.max_worker_runtime": with_task(worker_config=WorkerConfig(max_worker_runtime=0)),
    "worker_config.priority": with_task(worker_config=WorkerConfig(priority=2**40)),
    "worker_config.condor_requirements": with_task(worker_config=WorkerConfig(condor_requirements="a\nqueue 1000")),
    "pilot_config.tag": with_task(pilot_config=PilotConfig(tag="0.1.0/../other:1")),
    "pilot_config.environment": with_task(pilot_config=PilotConfig(environment={"EWMS_PILOT_TASK_IMAGE": "x"})),
    "pilot_config.environment.A": with_task(pilot_config=PilotConfig(environment={"A": []})),
    "pilot_config.environment.B C": with_task(pilot_config=PilotConfig(environment={"B C": "1"})),
    "input_files[0]": with_task(input_files=["relative/file"]),
    "input_files[0] (newline)": with_task(input_files=["/a\nb"]),
    "input_files[1]": with_task(input_files=["/a/x", "/b/x"]),
    "pilot_config.input_files[0]": with_task(input_files=["/a/x"], pilot_config=PilotConfig(input_files=["/a/x"])),
    "attempts": with_task(attempts=0),
}


@pytest.mark.parametrize("name", BAD)
def test_a_task_that_would_fail_later_is_refused_now(name: str) -> None:
    assert refused(BAD[name]) == [f"tasks[0].{name.partition(' (')[0]}"]


def test_every_fault_is_told_at_once() -> None:
    workflow = NewWorkflow(
        [
            msgspec.structs.replace(TASK, n_workers=0, cluster_locations=["nowhere"], task_args=""),
            msgspec.structs.replace(TASK, task_env={"A B": ""}),
        ],
        ["in", "in", "unused"],
        name="x" * 300,
    )
    assert refused(workflow) == [
        "name",
        "public_queue_aliases[1]",
        "public_queue_aliases[2]",
        "tasks[0].cluster_locations[0]",
        "tasks[0].n_workers",
        "tasks[0].task_args",
        "tasks[1].task_env.A B",
    ]


def test_no_task_at_all_is_refused() -> None:
    assert refused(NewWorkflow([])) == ["tasks"]


@pytest.mark.parametrize("alias", ["", "a/b", "..", "a b", "-x", "x" * 101, "\n"])
def test_an_alias_that_no_address_could_hold_is_refused(alias: str) -> None:
    assert refused(with_task(output_queue_aliases=["out", alias])) == ["tasks"]


def test_an_unknown_public_alias_is_refused_by_us_and_passed_over_for_upstream() -> None:
    workflow = NewWorkflow([TASK], ["in", "else"])
    assert refused(workflow) == ["public_queue_aliases[1]"]
    assert [queue.alias for queue in plan(workflow, ignores=True).queues] == ["in", "out"]


def test_an_input_that_nothing_can_come_into_is_refused_by_us_and_passed_over_for_upstream() -> None:
    behind = msgspec.structs.replace(TASK, input_queue_aliases=["oot"], output_queue_aliases=[])
    workflow = NewWorkflow([TASK, behind], ["in"])

    with pytest.raises(
        InvalidError, match=r"tasks\[1\]\.input_queue_aliases\[0\].*nothing can come into 'oot'.*are: in, out"
    ):
        plan(workflow)
    assert [queue.alias for queue in plan(workflow, ignores=True).queues] == ["in", "out", "oot"]


def test_an_image_is_refused_where_it_is_known_that_none_can_run() -> None:
    with pytest.raises(InvalidError) as caught:
        plan(with_task(task_image="debian:12", cluster_locations=["far", "bare"]))

    text = (
        "no container runtime here: task_image 'debian:12' cannot run at 'bare'; leave task_image empty to run task_args as a plain "
        "command, or choose another location"
    )
    assert [(one.field, one.reason) for one in caught.value.findings] == [("tasks[0].task_image", text)]
    assert plan(with_task(task_image="debian:12", cluster_locations=["far"])).tasks
    assert plan(with_task(cluster_locations=["bare"])).tasks


def test_a_workflow_is_served_by_one_kind_of_agent() -> None:
    assert refused(with_task(cluster_locations=["local", "theirs"])) == ["tasks"]


def test_upstream_tasks_may_be_without_queues_and_have_files_of_any_name() -> None:
    laid_out = plan(
        with_task(
            cluster_locations=["theirs"],
            input_queue_aliases=[],
            output_queue_aliases=[],
            input_files=["data/x", "other/x"],
        ),
        ignores=True,
    )
    assert laid_out.queues == []


def test_tasks_that_share_a_queue_must_agree_on_its_rules() -> None:
    other = msgspec.structs.replace(TASK, attempts=2)
    assert refused(NewWorkflow([TASK, other], ["in"])) == ["tasks[1].input_queue_aliases[0]"]


def test_a_workflow_that_finishes_itself_needs_a_door_that_can_be_closed() -> None:
    feeds_itself = msgspec.structs.replace(TASK, output_queue_aliases=["in"])
    assert refused(NewWorkflow([feeds_itself], finish_when_done=True)) == ["finish_when_done"]
    shows_all = msgspec.structs.replace(TASK, output_queue_aliases=["in", "out"])
    assert refused(NewWorkflow([shows_all], ["out"], finish_when_done=True)) == ["finish_when_done"]
    assert plan(NewWorkflow([TASK], ["in"], finish_when_done=True)).finish_when_done


def test_upstreams_clients_are_told_in_upstreams_words() -> None:
    workflow = with_task(
        cluster_locations=["nowhere"], pilot_config=PilotConfig(environment={"EWMS_PILOT_TASK_ARGS": "x"}), n_workers=0
    )
    with pytest.raises(InvalidError) as caught:
        plan(workflow)
    assert tell_upstream(caught.value.findings, is_v0=False) == (
        "condor cluster location not found: nowhere; "
        "'tasks[0].n_workers': must be 1 to 1000000; "
        "tasks[0].pilot_config.environment cannot include the attribute 'EWMS_PILOT_TASK_ARGS'. "
        "Use the top-level equivalent attribute instead."
    )
    assert tell_upstream(caught.value.findings, is_v0=True).startswith("condor location not found: nowhere; ")
