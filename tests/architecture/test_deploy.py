"""Do the files of deploy/ name settings that exist, and does systemd find no fault in the units?"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from muster.settings.parts import ServerSettings, SiteSettings
from muster.settings.variables import FromVariables, list_names

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS: dict[str, type[FromVariables]] = {"muster-serve.service": ServerSettings, "muster-site.service": SiteSettings}


def known(settings: type[FromVariables]) -> set[str]:
    return {name for field in settings.model_fields for name in list_names(settings, field)}


def read_unit(name: str) -> list[tuple[str, str]]:
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    return [
        (one[0], one[2]) for line in lines if "=" in line and not line.startswith("#") for one in [line.partition("=")]
    ]


def read_compose() -> dict[str, Any]:
    made = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert isinstance(made, dict)
    return made


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_names_settings_that_exist_and_folders_that_it_may_write(name: str) -> None:
    lines = read_unit(name)
    values = dict(lines)
    settings = dict(value.split("=", 1) for word, value in lines if word == "Environment")
    assert settings.keys() <= known(UNITS[name])
    state = f"/var/lib/{values['StateDirectory']}"
    assert {Path(value).is_relative_to(state) for value in settings.values()} == {True}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_watched_and_started_again_whatever_its_end(name: str) -> None:
    values = dict(read_unit(name))
    assert (values["Type"], values["Restart"], values["StartLimitIntervalSec"]) == ("notify", "always", "0")
    assert int(values["WatchdogSec"]) >= 30
    assert values["ProtectSystem"] == "strict"


def test_the_agent_sees_the_tmp_of_its_schedd_and_leaves_its_workers_alone() -> None:
    values = dict(read_unit("muster-site.service"))
    assert (values["PrivateTmp"], values["ReadWritePaths"], values["KillMode"]) == ("no", "/tmp", "process")


def test_the_services_of_the_compose_file_have_settings_that_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    container = (DEPLOY / "Containerfile").read_text()
    of_image = dict(re.findall(r"\b(MUSTER_\w+)=(\S+)", container))
    of_service = read_compose()["services"]["muster"]["environment"]
    variables = of_image | {name: re.sub(r"\$\{\w+:\?[^}]*\}", "secret", text) for name, text in of_service.items()}
    assert variables.keys() <= known(ServerSettings)

    for name in [name for name in os.environ if name.startswith("MUSTER_")]:
        monkeypatch.delenv(name)
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    settings = ServerSettings()
    assert (settings.host, settings.port) == ("0.0.0.0", 8765)
    assert settings.database_url == "postgresql://muster:secret@postgres:5432/muster"
    assert [*settings.locations] == ["lab"]


def test_the_compose_file_mounts_what_it_declares_and_shows_the_service_to_this_machine_alone() -> None:
    compose = read_compose()
    used = {text.split(":")[0] for one in compose["services"].values() for text in one["volumes"]}
    assert used == set(compose["volumes"])
    assert compose["services"]["muster"]["ports"] == ["127.0.0.1:8765:8765"]
    build = compose["services"]["muster"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).exists()
