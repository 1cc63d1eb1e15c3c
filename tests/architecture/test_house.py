"""Do the rules of the house hold that no linter knows?"""

import ast
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from muster.settings.parts import ClientSettings, ServerSettings, SiteSettings
from muster.settings.sentences import read_sentences
from muster.settings.sign_in import IssuerSettings
from muster.worker.crash_points import CRASH_POINTS, reach

SRC = Path(__file__).parents[2] / "src" / "muster"
MODULES = sorted(SRC.rglob("*.py"))


def _reached() -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="reach") | ast.Attribute(attr="reach"), args=[ast.Constant(value=str(name)), *_]
                ):
                    places.setdefault(name, []).append(f"{module.relative_to(SRC)}:{node.lineno}")
                case ast.Call(func=ast.Name(id="reach") | ast.Attribute(attr="reach")) if (
                    module.name != "crash_points.py"
                ):
                    raise AssertionError(f"{module}:{node.lineno}: a crash point's name must be written out")
    return places


def test_every_crash_point_reached_is_listed_and_every_one_listed_is_reached() -> None:
    assert set(_reached()) == set(CRASH_POINTS)


def test_a_crash_point_that_is_not_listed_raises() -> None:
    with pytest.raises(KeyError):
        reach("nowhere.at.all")


@pytest.mark.parametrize("settings", [ServerSettings, SiteSettings, ClientSettings, IssuerSettings])
def test_every_setting_has_its_sentence(settings: type[BaseModel]) -> None:
    sentences = read_sentences(settings)
    assert [name for name in settings.model_fields if not sentences.get(name, "").endswith(".")] == []
    assert not any("\n" in sentence for sentence in sentences.values())


def test_every_module_opens_with_a_docstring() -> None:
    silent = [
        str(module.relative_to(SRC)) for module in MODULES if not ast.get_docstring(ast.parse(module.read_text()))
    ]
    assert silent == []


def test_no_module_is_a_drawer() -> None:
    drawers = [module for module in MODULES if module.stem in {"utils", "helpers", "common", "misc"}]
    assert drawers == []


def test_no_module_outgrows_the_house() -> None:
    long = {
        str(module.relative_to(SRC)): count
        for module in MODULES
        if (count := len(module.read_text().splitlines())) > 400
    }
    assert long == {}


def test_the_htcondor_bindings_are_imported_in_one_folder_only() -> None:
    importers = [
        module
        for module in MODULES
        if re.search(r"^\s*(import|from) htcondor", module.read_text(), re.MULTILINE)
        and SRC / "site" / "adapters" / "htcondor" not in module.parents
    ]
    assert importers == []


def test_only_the_tables_assign_a_state() -> None:
    """A phase or an event state may be compared anywhere, but is chosen by `next_phase` and `next_state` alone."""
    assigning = [
        f"{module.relative_to(SRC)}:{number}"
        for module in MODULES
        if SRC / "domain" not in module.parents
        for number, line in enumerate(module.read_text().splitlines(), 1)
        if re.search(r"\bphase=Phase\.(?!PRE_MQ_ACTIVATION)", line)
    ]
    assert assigning == []
