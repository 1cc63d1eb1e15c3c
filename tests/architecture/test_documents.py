"""Do the pages that are written by hand say what the code has?"""

import re
from pathlib import Path

import msgspec
import pytest

from muster.client.shapes.new_workflow import NewTask, NewWorkflow, PilotConfig, WorkerConfig
from muster.server.services.task_settings import FINISH_WHEN_DONE, VARIABLES
from muster.settings.broker import BrokerSettings
from muster.settings.parts import ServerSettings
from muster.settings.variables import list_names
from muster.worker import settings as worker_settings

ROOT = Path(__file__).parents[2]
FIELDS = ROOT / "docs" / "reference" / "workflow.md"
WORKER = ROOT / "docs" / "reference" / "worker.md"
QUEUE_TOKENS = ROOT / "docs" / "how-to" / "queue-tokens.md"


def documented(section: str) -> dict[str, str]:
    """Name → what its row has as the default; a row may name several fields, with as many defaults."""
    rows: dict[str, str] = {}
    for line in FIELDS.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0].splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        names = re.findall(r"`([^`]+)`", cells[0])
        defaults = re.findall(r"`([^`]*)`", cells[1]) if len(cells) > 1 else []
        for place, name in enumerate(names):
            rows[name] = defaults[place] if place < len(defaults) else ""
    return rows


@pytest.mark.parametrize(
    ("section", "shape"),
    [
        ("The workflow", NewWorkflow),
        ("A task", NewTask),
        ("`worker_config`", WorkerConfig),
        ("`pilot_config`", PilotConfig),
    ],
)
def test_every_field_of_a_workflow_is_documented_with_its_default(section: str, shape: type[msgspec.Struct]) -> None:
    rows = documented(section)

    for field in msgspec.structs.fields(shape):
        assert field.name in rows, f"{section} says nothing of {field.name}"
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if isinstance(default, bool | int | float | str | list | dict):
            shown = {True: "true", False: "false"}[default] if isinstance(default, bool) else str(default)
            assert rows[field.name] in {shown, f'"{default}"'}, f"the default of {field.name}"


def test_every_variable_that_means_a_field_is_documented_beside_it() -> None:
    text = FIELDS.read_text()
    pairs = {variable: field for variable, (field, _) in VARIABLES.items()} | {FINISH_WHEN_DONE: "finish_when_done"}
    for variable, field in pairs.items():
        assert re.search(rf"^\| .*`{variable}`.* \| .*`{field}`.* \|$", text, re.MULTILINE), variable


def test_every_setting_of_the_worker_is_documented_with_who_may_set_it() -> None:
    rows = [line for line in WORKER.read_text().splitlines() if line.startswith("| `MUSTER_WORKER_")]
    shown = {name: "*user*" in row for row in rows for name in re.findall(r"`(MUSTER_WORKER_\w+)`", row.split("|")[1])}
    assert shown == {name: one.is_users for name, one in worker_settings.VARIABLES.items()}
    theirs = re.findall(r"^\| `(MUSTER_WORKER_\w+)` \|", FIELDS.read_text(), re.MULTILINE)
    assert set(theirs) == {name for name, is_users in shown.items() if is_users}


def test_every_setting_of_the_broker_is_documented_with_upstreams_name() -> None:
    rows = [line for line in QUEUE_TOKENS.read_text().splitlines() if line.startswith("| `MUSTER_")]
    shown = {tuple(re.findall(r"`([A-Z_]+)`", row.rpartition("|")[0].rpartition("|")[0])) for row in rows}
    expected = {tuple(list_names(ServerSettings, field)) for field in BrokerSettings.model_fields}
    assert shown >= expected


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
