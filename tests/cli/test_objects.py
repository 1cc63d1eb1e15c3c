"""Are tasks and taskforces shown, and found by filters, from the command line, against the real service?"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.stack import MUSTER, Stack, clean_environment
from harness.waiting import wait_for
from muster.client.shapes import queries

pytestmark = pytest.mark.system

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
}
UNFIT = {**TASK, "n_workers": 1001}
"""What its site can never start: more workers of a taskforce than it allows."""
SECOND = {**TASK, "input_queue_aliases": ["out"], "output_queue_aliases": ["end"]}
TASK_GONE, TASKFORCE_GONE = "TK-6b0259da-962b1dcf-6713e685", "TF-6b0259da-962b1dcf-6713e685-1b7b398a"


@pytest.fixture(scope="module")
def flow(running: Stack) -> Any:
    """A workflow of two tasks, whose workers are up."""
    workflow = submit(running, "flow", TASK, SECOND)

    def find_up() -> Any:
        view = running.run_json("workflow", "show", workflow)
        return view if all(one["workers"] for one in view["taskforces"]) else None

    return wait_for(find_up, "the workers are up", deadline_s=60)


def submit(stack: Stack, name: str, *tasks: Any) -> str:
    file = stack.root / "flow.json"
    aliases = ["in"]
    file.write_text(json.dumps({"name": name, "tasks": tasks, "public_queue_aliases": aliases}))
    return str(stack.run_json("workflow", "submit", str(file))["workflow_id"])


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# -- tasks ---------------------------------------------------------------------------------------------------------------


def test_tasks_are_listed_newest_first_and_page_by_page(running: Stack, flow: Any) -> None:
    first, second = flow["tasks"]
    workflow = flow["workflow_id"]

    assert running.run_json("task", "list", workflow) == {"tasks": [second, first], "next_after": None}
    page = running.run_json("task", "list", workflow, "--limit", "1")
    assert page["tasks"] == [second]
    assert running.run_json("task", "list", workflow, "--after", page["next_after"])["tasks"] == [first]
    told = running.run("task", "list", workflow, "--limit", "1")
    assert second["task_id"] in told.stdout
    assert told.stderr == f"there may be more: --after {page['next_after']}\n"


def test_a_task_is_shown_with_its_taskforces(running: Stack, flow: Any) -> None:
    task, taskforce = flow["tasks"][0], flow["taskforces"][0]

    assert running.run_json("task", "show", task["task_id"]) == task
    told = running.run("task", "show", task["task_id"]).stdout
    for word in (task["task_id"], flow["workflow_id"], "cp {{INFILE}} {{OUTFILE}}", taskforce["taskforce_uuid"]):
        assert word in told


def test_the_only_task_of_a_workflow_is_known_by_the_workflow_and_of_several_all_are_named(
    running: Stack, flow: Any
) -> None:
    first, second = (one["task_id"] for one in flow["tasks"])
    alone = submit(running, "alone", TASK)
    task = running.run_json("workflow", "show", alone)["tasks"][0]["task_id"]

    for word in (alone, "latest"):
        assert running.run_json("task", "show", word)["task_id"] == task
        assert running.run("task", "show", word).stdout.startswith(f"task            {task}\n")
    added = running.run("task", "add-workers", "latest", "--workers", "1")
    several = running.run("task", "show", flow["workflow_id"])

    assert added.returncode == 0, added.stderr
    assert running.run_json("taskforce", "show", added.stdout.strip())["task_id"] == task
    assert (several.returncode, several.stdout) == (2, "")
    assert f"workflow {flow['workflow_id']} has 2 tasks: name one of {first}, {second}" in several.stderr
    running.run("workflow", "abort", alone)


def test_a_task_is_given_more_workers_by_either_name(running: Stack, flow: Any) -> None:
    workflow, task = flow["workflow_id"], flow["tasks"][1]["task_id"]

    added = running.run("task", "add-workers", task, "--workers", "1", "--idempotency-key", "more-1")
    again = running.run("task", "add-workers", task, "--workers", "1", "--idempotency-key", "more-1")
    other = running.run_json("workflow", "add-workers", workflow, "--task", task, "--workers", "1")

    assert (added.returncode, added.stderr) == (0, "1 worker was ordered at local\n")
    assert again.stdout == added.stdout
    found = running.run_json("taskforce", "list", "--task", task)["taskforces"]
    assert [one["taskforce_uuid"] for one in found[:2]] == [other["taskforce_uuid"], added.stdout.strip()]
    assert {one["task_id"] for one in found} == {task}


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (("task", "show", "WF-6b0259da-962b1dcf"), 3, "WF-6b0259da-962b1dcf"),
        (("task", "show", "WF-1"), 4, "`muster task list WORKFLOW` shows those"),
        (("task", "show", TASK_GONE), 3, f"no task found with id: {TASK_GONE}"),
        (("task", "list", "TK-1"), 4, "`latest` is your newest one"),
        (("task", "list", "--limit", "0"), 4, "--limit: 0 is below 1"),
        (("task", "list", "--after", "x"), 4, "after: must be a `next_after` that this service gave"),
        (("task", "add-workers", TASK_GONE, "--workers", "1"), 3, f"no task found with id: {TASK_GONE}"),
        (("task", "add-workers", "x", "--workers", "1"), 4, "is not the id of a task"),
        (("task", "add-workers", TASK_GONE), 2, "--workers"),
        (("taskforce", "show", "x"), 4, "`muster taskforce list` shows them"),
        (("taskforce", "show", TASKFORCE_GONE), 3, TASKFORCE_GONE),
        (("taskforce", "log", TASKFORCE_GONE), 3, TASKFORCE_GONE),
        (("taskforce", "release", TASKFORCE_GONE), 3, TASKFORCE_GONE),
        (("taskforce", "release"), 2, "muster taskforce list --held"),
        (("taskforce", "release", "--all"), 2, "--workflow and --all go together"),
        (("taskforce", "release", "--workflow", "latest"), 2, "`--workflow ID --all`"),
        (("taskforce", "release", TASKFORCE_GONE, "--workflow", "latest"), 2, "--workflow and --all go together"),
        (("taskforce", "release", "--workflow", "WF-6b0259da-962b1dcf", "--all"), 3, "WF-6b0259da-962b1dcf"),
        (("taskforce", "list", "--phase", "gone"), 2, "pending-starter"),
        (("taskforce", "list", "--task", "x"), 4, "is not the id of a task"),
    ],
)
def test_what_is_wrong_is_told_with_a_remedy(running: Stack, command: tuple[str, ...], code: int, text: str) -> None:
    done = running.run(*command)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_more_workers_are_refused_as_the_service_refuses_them(running: Stack, flow: Any) -> None:
    task = flow["tasks"][0]["task_id"]

    nowhere = running.run("task", "add-workers", task, "--workers", "1", "--location", "mars")
    assert (nowhere.returncode, "mars" in nowhere.stderr) == (4, True)
    none = running.run("task", "add-workers", task, "--workers", "0")
    assert (none.returncode, "n_workers" in none.stderr) == (4, True)


# -- taskforces ----------------------------------------------------------------------------------------------------------


def test_taskforces_are_listed_by_workflow_phase_and_place(running: Stack, flow: Any) -> None:
    workflow = flow["workflow_id"]
    mine = [one["taskforce_uuid"] for one in flow["taskforces"]]

    def found(*options: str) -> list[str]:
        listed = running.run_json("taskforce", "list", workflow, *options)["taskforces"]
        return [one["taskforce_uuid"] for one in listed if one["origin"] == "submitted"]

    assert found() == mine[::-1]
    assert found("--phase", "condor-submit", "--phase", "pre-launch", "--location", "local") == mine[::-1]
    assert found("--phase", "condor-rm") == found("--location", "mars") == found("--held") == []
    told = running.run("taskforce", "list", workflow, "--location", "mars")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "there are none\n")


def test_a_taskforce_is_shown_with_claim_statuses_and_log(running: Stack, flow: Any) -> None:
    uuid = flow["taskforces"][0]["taskforce_uuid"]

    view = running.run_json("taskforce", "show", uuid)
    log = running.run_json("taskforce", "log", uuid)
    shown, logged = running.run("taskforce", "show", uuid).stdout, running.run("taskforce", "log", uuid).stdout

    assert log == {"taskforce_uuid": uuid, "phase_change_log": view["phase_change_log"]}
    phases = [line.split()[2] for line in logged.splitlines()[1:]]
    assert phases == ["pre-mq-activation", "pre-launch", "pending-starter", "condor-submit"]
    assert logged.strip() in shown
    for word in (uuid, "1 of 1 up", "by local, until", "0 starts, 0 stops", "local (schedd local)"):
        assert word in shown


def test_a_taskforce_that_is_not_started_says_why_in_words(running: Stack) -> None:
    workflow = submit(running, "unfit", UNFIT)

    def find_held() -> Any:
        return running.run_json("taskforce", "list", workflow, "--held")["taskforces"]

    [held] = wait_for(find_held, "it is held", deadline_s=60)
    shown = running.run("taskforce", "show", held["taskforce_uuid"]).stdout
    listed = running.run("taskforce", "list", workflow).stdout

    assert "why it is not at work\n  it is held: " in shown
    assert f"muster workflow abort {workflow}" in shown
    assert "export" not in shown
    lead = f"\n\nbefore what is to be typed next:\n  export MUSTER_URL={running.url}\n"
    assert lead in running.run("taskforce", "show", held["taskforce_uuid"], "--url", running.url).stdout
    assert "pending-starter (held)" in listed
    assert "pending-starter (held)" in running.run("workflow", "show", workflow).stdout
    running.run("workflow", "abort", workflow)


def test_one_that_was_held_when_its_workflow_ended_waits_for_nobody(running: Stack) -> None:
    workflow = submit(running, "given-up", UNFIT)

    def find_held() -> Any:
        return running.run_json("taskforce", "list", workflow, "--held")["taskforces"]

    [held] = wait_for(find_held, "it is held", deadline_s=60)
    running.run("workflow", "abort", workflow)
    listed = running.run("taskforce", "list", workflow).stdout
    shown = running.run("taskforce", "show", held["taskforce_uuid"]).stdout
    whole = running.run("workflow", "show", workflow).stdout

    assert all("pending-stopper (no cluster to stop)" in one for one in (listed, shown, whole))
    assert "it is over: it was ended before it had a cluster" in shown


def test_an_image_is_refused_at_once_where_commands_run_without_containers(running: Stack) -> None:
    file = running.root / "image.json"
    file.write_text(json.dumps({"tasks": [{**TASK, "task_image": "icecube/image:1"}], "public_queue_aliases": ["in"]}))

    refused = running.run("workflow", "submit", str(file))

    assert (refused.returncode, refused.stdout) == (4, "")
    assert (
        "no container runtime here: task_image 'icecube/image:1' cannot run at 'local'; leave task_image empty"
        in refused.stderr
    )


# -- queries -------------------------------------------------------------------------------------------------------------


def test_everything_that_fits_is_found_over_any_number_of_pages(
    running: Stack, flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service gives as much as is asked for at a time; here one at a time."""
    made = [submit(running, f"many-{number}", TASK) for number in range(3)]
    filter_ = {"name": {"$regex": "^many-"}}
    monkeypatch.setattr("muster.client.conversations.PAGE_MAX", 1)
    assert queries.PAGE_MAX > 1

    with running.client() as client:
        pages = list(client.query_pages("workflows", filter_))
    assert [[one["workflow_id"] for one in page.objects] for page in pages if page.objects] == [[one] for one in made]
    found = running.run("query", "workflows", json.dumps(filter_), "--json")
    assert [one["workflow_id"] for one in lines(found.stdout)] == made
    newest = running.run("query", "workflows", json.dumps(filter_), "--newest-first", "--limit", "2", "--json")
    assert [one["workflow_id"] for one in lines(newest.stdout)] == made[:0:-1]
    for workflow in made:
        running.run("workflow", "abort", workflow)


def test_a_query_is_a_line_of_json_each_with_the_fields_that_are_named(running: Stack, flow: Any) -> None:
    asked = json.dumps({"workflow_id": flow["workflow_id"], "origin": "submitted"})

    whole = running.run("query", "taskforces", asked, "--json")
    some = running.run("query", "taskforces", "-", "-f", "phase", "-f", "worker_config.n_cores", "--json", stdin=asked)

    assert [one["taskforce_uuid"] for one in lines(whole.stdout)] == [
        one["taskforce_uuid"] for one in flow["taskforces"]
    ]
    assert lines(some.stdout) == [{"phase": "condor-submit", "worker_config": {"n_cores": 1}}] * 2
    assert (whole.stderr, some.stderr) == ("", "")


def test_people_see_a_table(running: Stack, flow: Any) -> None:
    asked = json.dumps({"workflow_id": flow["workflow_id"]})

    done = running.run("query", "task-directives", asked, "--field", "task_id", "--field", "input_queue_aliases")

    table = [line.split() for line in done.stdout.splitlines()]
    assert table == [
        ["task_id", "input_queue_aliases"],
        *([one["task_id"], *one["input_queue_aliases"]] for one in flow["tasks"]),
    ]
    assert done.stderr == "2 found\n"
    limited = running.run("query", "tasks", asked, "--limit", "1")
    assert limited.stderr == "1 found, which is the limit (--limit)\n"


def test_the_greatest_and_the_least_are_found_by_any_field(running: Stack, flow: Any) -> None:
    workflows = [submit(running, f"sorted-{letter}", TASK) for letter in "bca"]
    asked = json.dumps({"name": {"$regex": "^sorted-"}})

    def found(*options: str) -> list[Any]:
        return lines(running.run("query", "workflows", asked, "--sort", "name", *options, "--json").stdout)

    assert [one["name"] for one in found("--limit", "9")] == ["sorted-a", "sorted-b", "sorted-c"]
    greatest = found("--limit", "2", "--descending", "--field", "workflow_id")
    assert greatest == [{"workflow_id": workflows[1]}, {"workflow_id": workflows[0]}]
    for workflow in workflows:
        running.run("workflow", "abort", workflow)


def test_who_reads_only_the_first_lines_has_enough(running: Stack, flow: Any, tmp_path: Path) -> None:
    script = f"muster query taskforces --json --dir {running.state} | head -n 1; echo ${{PIPESTATUS[0]}}"
    environment = clean_environment() | {"PATH": f"{MUSTER.parent}:/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    first, code = done.stdout.splitlines()
    assert json.loads(first)["taskforce_uuid"]
    assert (code, done.stderr) == ("0", "")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (('{"phase": {"$where": "1"}}',), 4, "query.phase.$where: $where is not supported here; supported are $all"),
        (('{"phase": {"$regex": "("}}',), 4, "query.phase.$regex"),
        (('{"$and": []}',), 4, "query.$and"),
        (("{state: active}",), 4, "in single quotes for the shell"),
        (("[]",), 4, "filter: is not a JSON object"),
        (("[" * 5000,), 4, "filter: is not a JSON object"),
        (("{}", "--limit", "0"), 4, "--limit: 0 is below 1"),
        (("{}", "--sort", "priority"), 2, "--sort goes with --limit"),
        (("{}", "--sort", "priority", "--limit", "100001"), 2, "--sort goes with --limit"),
        (("{}", "--descending"), 2, "--newest-first"),
        (("{}", "--newest-first", "--sort", "priority", "--limit", "1"), 2, "does not go with --sort"),
        (("{}", "--limit", "many"), 2, "--limit"),
    ],
)
def test_a_query_that_cannot_be_is_told_as_the_service_tells_it(
    running: Stack, arguments: tuple[str, ...], code: int, text: str
) -> None:
    for what in ("workflows", "tasks", "taskforces"):
        done = running.run("query", what, *arguments)
        assert (done.returncode, done.stdout) == (code, "")
        assert text in done.stderr


def test_nobody_is_told_anything(running: Stack, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("some-other-token-of-somebody")
    for command in (("query", "taskforces"), ("task", "list"), ("taskforce", "list"), ("token", "show")):
        done = running.run(*command, "--token-file", str(tmp_path / "other"))
        assert (done.returncode, done.stdout) == (6, "")
        assert "--token-file or MUSTER_TOKEN_FILE" in done.stderr


def test_a_taskforce_that_is_held_is_released(running: Stack, flow: Any) -> None:
    workflow = submit(running, "contained", UNFIT)
    wait_for(lambda: running.run_json("taskforce", "list", workflow, "--held")["taskforces"], "it is held")
    [held] = running.run_json("taskforce", "list", workflow, "--held")["taskforces"]
    uuid, reason = held["taskforce_uuid"], held["held_reason"]
    shown = running.run("taskforce", "show", uuid).stdout
    assert f"muster workflow abort {workflow}" in shown  # no release can mend what its site can never start
    assert "muster workflow submit mended.yaml" in shown
    assert "muster taskforce release" not in shown

    released = running.run("taskforce", "release", uuid, flow["taskforces"][0]["taskforce_uuid"])

    assert released.returncode == 0
    told = released.stderr.splitlines()
    assert told[:2] == [
        f"{uuid} is tried again; it was held because of: {reason}",
        f"{flow['taskforces'][0]['taskforce_uuid']} is not held: it is condor-submit, and nothing needs to be released",
    ]
    assert told[2].startswith(f"mind: 1 of them was held for good: {uuid}. Unless their site was changed since")
    assert told[3:] == ["next:", f"  muster workflow explain {workflow}    # what can be done"]
    # It was tried again, and is held again: nothing was mended.
    wait_for(lambda: running.run_json("taskforce", "list", workflow, "--held")["taskforces"], "it is held again")
    log = running.run_json("taskforce", "log", uuid)["phase_change_log"]
    assert "Released, to be tried again, by " in str(log)
    [view] = running.run_json("taskforce", "release", uuid)["taskforces"]
    assert (view["taskforce_uuid"], view["held_reason"]) == (uuid, None)


def test_all_held_taskforces_of_a_workflow_are_released_by_one_command(running: Stack, flow: Any) -> None:
    workflow = submit(
        running, "contained-twice", UNFIT, {**UNFIT, "input_queue_aliases": ["out"], "output_queue_aliases": ["end"]}
    )

    def find_held() -> Any:
        held = running.run_json("taskforce", "list", workflow, "--held")["taskforces"]
        return held if len(held) == 2 else None

    uuids = {one["taskforce_uuid"] for one in wait_for(find_held, "both are held", deadline_s=60)}
    released = running.run("taskforce", "release", "--workflow", workflow, "--all")
    first, second, *rest = released.stderr.splitlines()
    assert (released.returncode, first) == (0, f"2 taskforces of {workflow}, all that were held, are tried again")
    assert second.startswith("mind: 2 of them were held for good: TF-")
    assert rest == ["next:", f"  muster workflow explain {workflow}    # what can be done"]
    wait_for(find_held, "both are held again", deadline_s=60)

    found = running.run_json("taskforce", "release", "--workflow", workflow, "--all")
    assert (found["released"], set(found["final"])) == (2, uuids)
    assert {one["taskforce_uuid"] for one in found["taskforces"]} == uuids
    none = running.run("taskforce", "release", "--workflow", flow["workflow_id"], "--all")
    text = f"no taskforce of {flow['workflow_id']} is held, and nothing needs to be released\n"
    assert (none.returncode, none.stderr) == (0, text)
    running.run("workflow", "abort", workflow)
