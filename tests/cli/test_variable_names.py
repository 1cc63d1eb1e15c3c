"""Is a mistyped variable found, and nothing else taken for one?"""

import re
from pathlib import Path

import pytest

from muster.cli.variable_names import FAMILIES, OF_COMMANDS, OF_TASKS, list_setting_names, list_unread
from muster.settings.variables import Variable, Variables

SRC = Path(__file__).parents[2] / "src" / "muster"


def _unread(**texts: str) -> dict[str, str]:
    found = list_unread(Variables({name: Variable(name, text) for name, text in texts.items()}))
    return {one.field: one.reason for one in found}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MUSTER_PROT", "MUSTER_PORT"),
        ("MUSTER_DATABASEURL", "MUSTER_DATABASE_URL"),
        ("MUSTER_SITE_WORKER_MAX", "MUSTER_SITE_WORKERS_MAX"),
        ("MUSTER_REST_PORT", "MUSTER_PORT"),
        ("MUSTER_WORKER_KEEP_TASK_FILE", "MUSTER_WORKER_KEEP_TASK_FILES"),
        ("MUSTER_TOKEN_FILES", "MUSTER_TOKEN_FILE"),
    ],
)
def test_the_nearest_name_is_suggested(name: str, nearest: str) -> None:
    assert _unread(**{name: "1"}) == {name: f"is no variable that Muster knows; did you mean {nearest}?"}


def test_several_are_told_at_once_and_one_like_nothing_is_too() -> None:
    found = _unread(MUSTER_PROT="1", MUSTER_XYZZY="s3cret", MUSTER_PORT="1")

    assert set(found) == {"MUSTER_PROT", "MUSTER_XYZZY"}
    assert found["MUSTER_XYZZY"] == "is no variable that Muster knows (`muster settings` lists them): take it away"


def test_what_others_read_is_left_alone() -> None:
    names = [
        "MUSTER_TASK_COLOUR",
        "MUSTER_TEST_STRICT",
        "MUSTER_BENCH_DEPTH",
        "MUSTER_URL",
        "MUSTER_TOKEN",
        "MUSTER_DIR",
    ]
    names += ["MUSTER_WORKER_BATCH", "MUSTER_ATTEMPT", "MUSTER_SITE_NAME", "MUSTERING", "REST_PORT", "HOME"]

    assert _unread(**dict.fromkeys(names, "1")) == {}


def test_what_kubernetes_sets_is_told_as_that() -> None:
    names = ["MUSTER_SERVICE_HOST", "MUSTER_SERVICE_PORT", "MUSTER_SERVICE_PORT_HTTP", "MUSTER_PORT_8080_TCP_ADDR"]
    names += ["MUSTER_PORT_8080_TCP", "MUSTER_SITE_SERVICE_HOST"]

    found = _unread(**dict.fromkeys(names, "1"))

    assert set(found) == set(names)
    assert all("enableServiceLinks: false" in reason for reason in found.values())


def test_a_settings_file_sets_settings_alone(tmp_path: Path) -> None:
    file = tmp_path / "muster.env"
    lines = ["MUSTER_URL", "MUSTER_SETTINGS_FILE", "MUSTER_PROT", "MUSTER_TOKEN_FILE", "MUSTER_TASK_COLOUR", "HOME"]
    variables = Variables({}, {name: Variable(name, "1", file, line) for line, name in enumerate(lines, 1)})

    found = {one.field: one.reason for one in list_unread(variables)}

    useless = "is no setting, so the settings file cannot set it: set it in the environment"
    assert found == {
        f"MUSTER_URL ({file}, line 1)": useless,
        f"MUSTER_SETTINGS_FILE ({file}, line 2)": useless,
        f"MUSTER_PROT ({file}, line 3)": "is no variable that Muster knows; did you mean MUSTER_PORT?",
    }


def test_every_variable_that_is_named_in_the_source_is_known() -> None:
    known = list_setting_names() | OF_COMMANDS | OF_TASKS
    named = {
        name
        for module in SRC.rglob("*.py")
        for name in re.findall(r"\bMUSTER_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?!_)", module.read_text())
    }

    assert {one for one in named - known if not one.startswith(FAMILIES)} <= {
        "MUSTER_PREFIX"
    }  # a constant of the server
