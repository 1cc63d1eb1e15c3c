"""Do fields of our door and variables of the pilot mean the same, and is a contradiction told?"""

from typing import Any

import pytest

from muster.client.shapes.new_workflow import NewTask, PilotConfig
from muster.domain.errors import Finding
from muster.server.services.task_settings import TaskSettings, resolve_task_settings, wants_to_finish


def task(environment: dict[str, Any], **fields: Any) -> NewTask:
    return NewTask(["local"], "", "true", ["in"], pilot_config=PilotConfig(environment=environment), **fields)


def resolve(environment: dict[str, Any], **fields: Any) -> tuple[TaskSettings, list[Finding]]:
    findings: list[Finding] = []
    return resolve_task_settings(task(environment, **fields), "tasks[0]", findings), findings


def test_nothing_said_is_the_defaults() -> None:
    assert resolve({"OTHER": "1"}) == (
        TaskSettings(5, 2.0, None, False, 10_000, "in", "out", 1, 60.0, 100, 0.5, "file"),
        [],
    )


def test_variables_become_settings() -> None:
    settings, findings = resolve(
        {
            "MUSTER_TASK_ATTEMPTS": 3,
            "MUSTER_TASK_TIMEOUT_S": "1.5",
            "MUSTER_TASK_WARM": "Yes",
            "MUSTER_TASK_MAX_EVENTS": "10",
            "MUSTER_TASK_RETRY_S": "0.25",
            "MUSTER_TASK_LEASE_S": "30",
            "MUSTER_TASK_BRAKE_ATTEMPTS": 50,
            "MUSTER_TASK_BRAKE_SHARE": "0.9",
            "MUSTER_TASK_OUTPUT": "Lines",
            "EWMS_PILOT_MAX_CONCURRENT_TASKS": "4",
            "EWMS_PILOT_INFILE_EXT": "..json",
            "EWMS_PILOT_OUTFILE_EXT": ".tar.gz",
        }
    )
    assert findings == []
    assert settings == TaskSettings(3, 0.25, 1.5, True, 10, "json", "tar.gz", 4, 30.0, 50, 0.9, "lines")


def test_fields_may_have_the_dot_in_front() -> None:
    assert resolve({}, infile_ext=".json")[0].infile_ext == "json"


def test_a_field_and_a_variable_may_agree() -> None:
    settings, findings = resolve({"MUSTER_TASK_ATTEMPTS": "3", "EWMS_PILOT_TASK_TIMEOUT": 9}, attempts=3, timeout_s=9.0)
    assert (settings.attempts, settings.timeout_s, findings) == (3, 9.0, [])


def test_a_field_and_a_variable_that_disagree_are_a_finding() -> None:
    _, findings = resolve({"MUSTER_TASK_ATTEMPTS": "3"}, attempts=4)
    assert findings == [Finding("tasks[0].pilot_config.environment.MUSTER_TASK_ATTEMPTS", "is 3, and attempts says 4")]


def test_two_variables_that_disagree_are_a_finding() -> None:
    _, findings = resolve({"MUSTER_TASK_TIMEOUT_S": 5, "EWMS_PILOT_TASK_TIMEOUT": 6})
    assert [str(one) for one in findings] == [
        "tasks[0].pilot_config.environment.EWMS_PILOT_TASK_TIMEOUT: is 6.0, and MUSTER_TASK_TIMEOUT_S says 5.0"
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MUSTER_TASK_ATTEMPTS", "many"),
        ("MUSTER_TASK_ATTEMPTS", "1.5"),
        ("MUSTER_TASK_ATTEMPTS", ["1"]),
        ("MUSTER_TASK_ATTEMPTS", 0),
        ("MUSTER_TASK_ATTEMPTS", 1001),
        ("MUSTER_TASK_TIMEOUT_S", 0),
        ("MUSTER_TASK_TIMEOUT_S", "-1"),
        ("MUSTER_TASK_TIMEOUT_S", "nan"),
        ("EWMS_PILOT_TASK_TIMEOUT", "soon"),
        ("MUSTER_TASK_WARM", "perhaps"),
        ("MUSTER_TASK_MAX_EVENTS", 0),
        ("MUSTER_TASK_SLOTS", 0),
        ("MUSTER_TASK_LEASE_S", "0.1"),
        ("EWMS_PILOT_MAX_CONCURRENT_TASKS", "-3"),
        ("EWMS_PILOT_INFILE_EXT", "../etc"),
        ("EWMS_PILOT_OUTFILE_EXT", ""),
        ("MUSTER_TASK_COLOUR", "red"),
    ],
)
def test_a_bad_value_is_a_finding_that_names_the_variable(variable: str, value: object) -> None:
    _, findings = resolve({variable: value})
    assert [one.field for one in findings] == [f"tasks[0].pilot_config.environment.{variable}"]


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("MUSTER_TASK_OUTPUT", "line", "is 'line'; must be file or lines"),
        ("MUSTER_TASK_OUTPUT", ["file", "lines"], "is 'file;lines'; must be one value, not a list"),
        ("MUSTER_TASK_OUTPUT", "x" * 1000, f"is '{'x' * 80}'; must be file or lines"),
        ("MUSTER_TASK_WARM", "perhaps", "is 'perhaps'; must be true or false"),
        ("MUSTER_TASK_ATTEMPTS", "many", "is 'many'; must be a whole number"),
        ("EWMS_PILOT_TASK_TIMEOUT", "soon", "is 'soon'; must be a number"),
    ],
)
def test_a_value_that_a_variable_does_not_take_is_told_with_those_that_it_takes(
    variable: str, value: Any, reason: str
) -> None:
    _, findings = resolve({variable: value})
    assert findings == [Finding(f"tasks[0].pilot_config.environment.{variable}", reason)]


def test_settings_of_the_worker_that_are_the_users_are_none_of_the_task() -> None:
    theirs = {
        "MUSTER_WORKER_BATCH": 4,
        "MUSTER_WORKER_TASK_START_S": "900.5",
        "MUSTER_WORKER_KEEP_TASK_FILES": "yes",
        "MUSTER_WORKER_KEPT_FAILURES": ["0"],
    }
    assert resolve(theirs) == resolve({})


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        (
            "MUSTER_WORKER_URL",
            "http://127.0.0.1:1",
            "is 'http://127.0.0.1:1', but only the site agent sets it: leave it out",
        ),
        ("MUSTER_WORKER_GRACE_S", 900, "is '900', but only the site agent sets it: leave it out"),
        ("MUSTER_WORKER_COLOUR", "red", "is 'red', but the worker has no such setting: leave it out"),
        ("MUSTER_WORKER_BATCH", 0, "is '0'; must be a whole number, 1 to 2147483647"),
        ("MUSTER_WORKER_BATCH", ["1", "2"], "is '1;2'; must be a whole number, 1 to 2147483647"),
        ("MUSTER_WORKER_TASK_START_S", "soon", "is 'soon'; must be a number of seconds, 0 to 1000000000"),
        ("MUSTER_WORKER_KEEP_TASK_FILES", "perhaps", "is 'perhaps'; must be true or false"),
        ("MUSTER_TASKFORCE", "TF-1", "is 'TF-1', but nobody but Muster itself sets it: leave it out"),
    ],
)
def test_a_setting_of_the_worker_that_it_would_not_take_from_a_user_is_a_finding(
    variable: str, value: Any, reason: str
) -> None:
    (finding,) = resolve({variable: value})[1]
    assert finding.field == f"tasks[0].pilot_config.environment.{variable}"
    assert finding.reason.partition("; a user may set ")[0] == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 0},
        {"timeout_s": 0.0},
        {"max_events": 0},
        {"slots": 0},
        {"lease_s": 0.0},
        {"retry_s": -1.0},
        {"retry_s": 86_401.0},
        {"infile_ext": "a/b"},
        {"outfile_ext": ""},
    ],
)
def test_a_bad_field_is_a_finding_that_names_the_field(fields: dict[str, Any]) -> None:
    _, findings = resolve({}, **fields)
    assert [one.field for one in findings] == [f"tasks[0].{name}" for name in fields]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, None),
        ("2", None),
        (64, None),
        (65, "is '65'; must be 0 to 64"),
        ("-1", "is '-1'; must be 0 to 64"),
        ("all", "is 'all'; must be a whole number"),
        (["1", "2"], "is '1;2'; must be one value, not a list"),
    ],
)
def test_gpus_are_a_number(value: Any, reason: str | None) -> None:
    _, findings = resolve({"MUSTER_TASK_GPUS": value})
    expected = [] if reason is None else [("tasks[0].pilot_config.environment.MUSTER_TASK_GPUS", reason)]
    assert [(one.field, one.reason) for one in findings] == expected


def test_the_first_task_may_ask_for_the_end() -> None:
    findings: list[Finding] = []
    assert wants_to_finish(task({"MUSTER_TASK_FINISH_WHEN_DONE": "true"}), "tasks[0]", findings)
    assert not wants_to_finish(task({}), "tasks[0]", findings)
    assert findings == []
    assert not wants_to_finish(task({"MUSTER_TASK_FINISH_WHEN_DONE": "later"}), "tasks[0]", findings)
    assert findings == [
        Finding("tasks[0].pilot_config.environment.MUSTER_TASK_FINISH_WHEN_DONE", "is 'later'; must be true or false")
    ]
    assert resolve({"MUSTER_TASK_FINISH_WHEN_DONE": "true"})[1] == []
