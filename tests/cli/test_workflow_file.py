"""Is what is wrong with a workflow's file told with its place and its remedy?"""

import json
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from muster.cli.workflow_file import list_forgotten, read_workflow
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.domain.errors import InvalidError, NotFoundError

GOOD = """\
name: squares
finish_when_done: true
public_queue_aliases: [in, out]
tasks:
  - cluster_locations: [local]
    task_image: ""
    task_args: python square.py {{INFILE}} {{OUTFILE}}
    input_queue_aliases: [in]
    output_queue_aliases: [out]
    n_workers: 2
"""


def _findings(folder: Path, text: str, name: str = "flow.yaml") -> list[str]:
    file = folder / name
    file.write_text(text)
    with pytest.raises(InvalidError) as refused:
        read_workflow(file)
    return [str(one).replace(f"{folder}/", "") for one in refused.value.findings]


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(GOOD)
    (tmp_path / "flow.json").write_text(json.dumps(yaml.safe_load(GOOD), indent="\t"))

    workflow = read_workflow(tmp_path / "flow.yaml")

    assert workflow == read_workflow(tmp_path / "flow.json")
    assert workflow == NewWorkflow(
        name="squares",
        finish_when_done=True,
        public_queue_aliases=["in", "out"],
        tasks=[
            NewTask(
                cluster_locations=["local"],
                task_image="",
                task_args="python square.py {{INFILE}} {{OUTFILE}}",
                input_queue_aliases=["in"],
                output_queue_aliases=["out"],
                n_workers=2,
            )
        ],
    )


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("n_workers: 2", "n_worker: 2", [r"flow.yaml:10: tasks\[0\].n_worker: is no field; did you mean n_workers\?"]),
        ("n_workers: 2", "n_workers: two", [r"flow.yaml:10: tasks\[0\].n_workers: expected `int`, got `str`"]),
        ("n_workers: 2", "n_workers: 2.5", [r"flow.yaml:10: tasks\[0\].n_workers: expected `int`"]),
        ("name: squares", "nmae: squares", ["flow.yaml:1: nmae: is no field; did you mean name"]),
        ("name: squares", "name: no", ["flow.yaml:1: name: expected `str`, got `bool`; YAML reads yes, no"]),
        ("name: squares", "name: 7", ["flow.yaml:1: name: expected `str`, got `int`; put it in quotes"]),
        ("[local]", "local", [r"flow.yaml:5: tasks\[0\].cluster_locations: expected `array`, got `str`; write \[it\]"]),
        ('    task_image: ""\n', "", [r"flow.yaml:5: tasks\[0\].task_image: is missing"]),
        ("name: squares", "name: squares\nname: cubes", ["flow.yaml:2: name: is given twice"]),
        ("name: squares", "name: [squares", ["flow.yaml:[0-9]+:[0-9]+: is not YAML: "]),
        ("name: squares", "\tname: squares", ["flow.yaml:1:1: is not YAML: found character '.t'"]),
        ("n_workers: 2", "worker_config: {n_core: 2}", [r"worker_config.n_core: is no field; did you mean n_cores\?"]),
        ("n_workers: 2", "n_cores: 2", [r"tasks\[0\].n_cores: is no field; did you mean worker_config.n_cores\?"]),
        ("n_workers: 2", "tag: v1", [r"tasks\[0\].tag: is no field; did you mean pilot_config.tag\?"]),
        ("n_workers: 2", "memory: 2G", ["is no field; did you mean worker_config.worker_memory"]),
        ("n_workers: 2", "CPUs: 2", ["is no field; did you mean worker_config.n_cores"]),
        ("n_workers: 2", "worker_config: {cpus: 2}", ["worker_config.cpus: is no field; did you mean n_cores"]),
        ("n_workers: 2", "timeout: 60", ["is no field; did you mean timeout_s"]),
        ("n_workers: 2", "image: python", ["is no field; did you mean task_image"]),
        ("n_workers: 2", "command: ls", ["is no field; did you mean task_args"]),
        ("n_workers: 2", "timeout_s: 1m", [r"tasks\[0\].timeout_s: must be a number of seconds, not '1m'"]),
        ("n_workers: 2", "timeout_s: .nan", [r"flow.yaml:10: tasks\[0\].timeout_s: must be a number, not nan"]),
        ("n_workers: 2", "timeout_s: .inf", [r"tasks\[0\].timeout_s: must be a number, not inf"]),
        ("n_workers: 2", "lease_s: null", [r"tasks\[0\].lease_s: must be a number of seconds, not nothing"]),
        (
            "n_workers: 2",
            "task_env: {A: 1}",
            [r"tasks\[0\].task_env\[...\]: expected `str`, got `int`; put it in quotes"],
        ),
        ("n_workers: 2", "output: line", [r"flow.yaml:10: tasks\[0\].output: must be file or lines, not 'line'$"]),
        ("n_workers: 2", "output: [lines]", [r"tasks\[0\].output: must be file or lines, not \"\['lines'\]\"$"]),
        ("n_workers: 2", "output: null", [r"tasks\[0\].output: must be file or lines, not nothing$"]),
        (
            "n_workers: 2",
            "pilot_config: {image_source: cvms}",
            [r"flow.yaml:10: tasks\[0\].pilot_config.image_source: must be auto or cvmfs, not 'cvms'$"],
        ),
        ("n_workers: 2", "warm: maybe", [r"flow.yaml:10: tasks\[0\].warm: must be true or false, not 'maybe'$"]),
        ("n_workers: 2", "worker_config: 3", [r"worker_config: must be fields with their values, not '3'"]),
        (
            "name: squares\nfinish_when_done: true",
            "nmae: squares\nfinish_when_done: 1",
            ["flow.yaml:1: nmae", "flow.yaml:2: finish_when_done: must be true or false, not '1'"],
        ),
    ],
)
def test_a_fault_is_named_with_its_line_and_its_remedy(tmp_path: Path, old: str, new: str, wanted: list[str]) -> None:
    assert old in GOOD

    findings = _findings(tmp_path, GOOD.replace(old, new))

    assert len(findings) == len(wanted)
    for finding, pattern in zip(findings, wanted, strict=True):
        assert re.search(pattern, finding), finding


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "[]", "7", "null", "- a\n- b", "a: &a [*a]", "!!python/object:os.x {}"]
)
def test_a_file_that_is_no_workflow_is_refused(tmp_path: Path, text: str) -> None:
    assert _findings(tmp_path, text)


def test_broken_json_is_placed(tmp_path: Path) -> None:
    assert _findings(tmp_path, '{"tasks": [\n  nothing]}', "flow.json") == [
        "flow.json:2:3: is not JSON: Expecting value"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: " + "[" * 200 + "]" * 200, "flow.yaml:1:53"),
        ("[" * 5000, "flow.yaml:1:51"),
        ("a: " + "{a: " * 3000, "flow.yaml:1:200"),
        ("- " * 5000 + "x", "flow.yaml:1:101"),
        ('{"a": ' + "[" * 5000, "flow.yaml:1:56"),
        ("a0: &a0 [1]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}]\n" for n in range(400)), "flow.yaml:50:12"),
    ],
)
def test_a_deep_nest_is_refused_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    [finding] = _findings(tmp_path, text)

    assert finding.startswith(f"{place}: is nested too deeply: at most 50")


def test_what_is_just_not_too_deep_is_read(tmp_path: Path) -> None:
    nest = "[" * 49 + "1" + "]" * 49

    for text in (f"a: {nest}", f'{{"a": {nest}, "b": "[[[\\"[["}}'):
        assert "a: is no field" in _findings(tmp_path, text)[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tasks: 5\n\0", "flow.yaml:2:1: is not YAML: U+0000 may not stand in it"),
        ("name: a\x1b[31m", "flow.yaml:1:8: is not YAML: U+001B may not stand in it"),
        ("a: &a [*a]", "flow.yaml:1:8: holds itself"),
        ("name: 2020-13-45", "flow.yaml:1:7: is not YAML: this cannot be read as timestamp; a text stands in quotes"),
        ("name: !!int ''", "flow.yaml:1:7: is not YAML: this cannot be read as int; a text stands in quotes"),
        ("name: !!bool x", "flow.yaml:1:7: is not YAML: this cannot be read as bool; a text stands in quotes"),
        ("tasks: [0x" + "f" * 5000 + "]", "flow.yaml:1:9: is a number of more than 64 bits"),
        ('{"priority": ' + "9" * 5000 + "}", "flow.yaml: has a number that is too long"),
        ('{"name": "a", "tasks": [], "name": "b"}', "flow.yaml: 'name' is given twice"),
        ("tasks: [" + "1," * 100_001 + "1]", "flow.yaml:1:200003: has more than 100000 values"),
        ('name: "\\U00110000"', "flow.yaml:1: is not YAML: chr() arg not in range(0x110000)"),
    ],
)
def test_what_no_reader_takes_is_told_with_its_place(tmp_path: Path, text: str, wanted: str) -> None:
    assert _findings(tmp_path, text) == [wanted]


@pytest.mark.parametrize("name", ["flow.yaml", "flow.json"])
def test_half_of_a_surrogate_pair_is_refused(tmp_path: Path, name: str) -> None:
    text = '{"name": "\\ud800", "tasks": []}' if name == "flow.json" else 'name: "\\ud800"\ntasks: []'

    [finding] = _findings(tmp_path, text, name)

    assert finding.endswith("name: has half of a surrogate pair, which is no character")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("text", "place"),
    [
        # 9⁷ ones; and a text of a megabyte a thousand times.
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"{q}: &{q} [{','.join([f'*{p}'] * 9)}]\n" for p, q in pairwise("abcdefg")),
            "6:4",
        ),
        (f"a: &a {'x' * (1 << 20)}\nb: [{'*a,' * 1000}]", "2:4"),
    ],
)
def test_a_document_that_repeats_itself_without_end_is_refused_unfollowed(
    tmp_path: Path, text: str, place: str
) -> None:
    assert _findings(tmp_path, text) == [
        f"flow.yaml:{place}: has more than 100000 values, counting what its aliases repeat"
    ]


def test_aliases_are_followed_where_they_are_few(tmp_path: Path) -> None:
    text = GOOD.replace("[in, out]", "&both [in, out]").replace("[local]", "&here [local]")
    (tmp_path / "flow.yaml").write_text(
        text + "  - cluster_locations: *here\n    task_image: ''\n    task_args: x\n    input_queue_aliases: *both\n"
    )

    workflow = read_workflow(tmp_path / "flow.yaml")

    assert (workflow.tasks[1].cluster_locations, workflow.tasks[1].input_queue_aliases) == (["local"], ["in", "out"])


def test_a_file_that_is_too_long_is_refused_unread(tmp_path: Path) -> None:
    assert _findings(tmp_path, GOOD + "#" * (8 << 20)) == ["flow.yaml: is longer than 8 MiB"]


def test_a_file_that_is_missing_a_folder_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "latin1.yaml").write_bytes(b"name: caf\xe9")

    with pytest.raises(NotFoundError, match="there is no file"):
        read_workflow(tmp_path / "none.yaml")
    with pytest.raises(InvalidError, match="is a folder"):
        read_workflow(tmp_path)
    with pytest.raises(InvalidError, match=r"not UTF-8 text \(byte 9\)"):
        read_workflow(tmp_path / "latin1.yaml")


def test_input_files_start_at_the_workflows_file(tmp_path: Path) -> None:
    (tmp_path / "square.py").touch()
    (tmp_path / "flow.yaml").write_text(GOOD + "    input_files: [square.py, /etc/hosts]\n")

    workflow = read_workflow(tmp_path / "flow.yaml")

    assert workflow.tasks[0].input_files == [str(tmp_path / "square.py"), "/etc/hosts"]


def test_a_program_beside_the_file_that_no_worker_gets_is_named(tmp_path: Path) -> None:
    for name in ("task.py", "more.py"):
        (tmp_path / name).touch()
    file = tmp_path / "flow.yaml"
    command = "python task.py more.py /etc/hostname none.py {{INFILE}}"
    task = {"cluster_locations": ["local"], "task_image": "", "task_args": command, "input_queue_aliases": ["in"]}
    file.write_text(json.dumps({"tasks": [task | {"input_files": ["more.py"]}, task | {"task_args": "it's"}]}))

    [told] = list_forgotten(read_workflow(file), file)

    assert told.startswith("tasks[0].task_args: task.py stands beside the workflow's file")


def test_input_files_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    findings = _findings(tmp_path, GOOD + "    input_files:\n      - square.py\n      - cube.py\n")

    assert [finding.partition(" (")[0] for finding in findings] == [
        "flow.yaml:12: tasks[0].input_files[0]: there is no square.py",
        "flow.yaml:13: tasks[0].input_files[1]: there is no cube.py",
    ]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["tasks", "name", "x", "n_workers"]), inner)
    ),
    max_leaves=10,
)


@given(value=VALUES)
def test_whatever_a_file_holds_it_is_read_or_refused_in_words(
    value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("flow") / "flow.yaml"
    file.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8")
    try:
        workflow = read_workflow(file)
    except InvalidError as error:
        workflow, findings = None, error.findings
    else:
        findings = ()

    assert (workflow is None) == bool(findings)
    assert workflow is None or workflow == msgspec.convert(value, NewWorkflow)
