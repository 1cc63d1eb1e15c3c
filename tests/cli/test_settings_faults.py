"""Is a wrong setting told by the name of its variable?"""

import pytest

from muster.cli.settings_faults import read_settings
from muster.domain.errors import InvalidError
from muster.settings import ServerSettings, SiteSettings


def _faults(settings: type[ServerSettings | SiteSettings], prefix: str) -> dict[str, str]:
    with pytest.raises(InvalidError) as refused:
        read_settings(settings, prefix=prefix)
    return {one.field: one.reason for one in refused.value.findings}


def test_every_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "many")
    monkeypatch.setenv("MUSTER_LOG_LEVEL", "loud")

    faults = _faults(ServerSettings, "MUSTER_")

    assert set(faults) == {"MUSTER_PORT", "MUSTER_LOG_LEVEL"}
    assert "'many'" in faults["MUSTER_PORT"]


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_a_time_without_end_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MUSTER_STOP_GRACE_S", value)
    monkeypatch.setenv("MUSTER_SITE_STOP_GRACE_S", value)

    assert set(_faults(ServerSettings, "MUSTER_")) == {"MUSTER_STOP_GRACE_S"}
    assert set(_faults(SiteSettings, "MUSTER_SITE_")) == {"MUSTER_SITE_STOP_GRACE_S"}


def test_a_fault_inside_a_setting_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LOCATIONS", '{"local": {"schedd": ""}}')

    assert set(_faults(ServerSettings, "MUSTER_")) == {"MUSTER_LOCATIONS.local.schedd"}


def test_a_fault_of_several_settings_does_not_show_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", "postgresql://ann:s3cret@db/muster")
    monkeypatch.setenv("MUSTER_LOCATIONS", '{"a": {"schedd": "x", "aliases": ["b"]}, "b": {"schedd": "y"}}')

    faults = _faults(ServerSettings, "MUSTER_")

    assert "'b' is given twice" in faults["the settings"]
    assert "s3cret" not in str(faults)


def test_the_agents_settings_have_their_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_SITE_WORKERS_MAX", "0")

    assert set(_faults(SiteSettings, "MUSTER_SITE_")) == {"MUSTER_SITE_WORKERS_MAX"}


def test_a_setting_that_must_be_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LOCATIONS", "{local")

    faults = _faults(ServerSettings, "MUSTER_")

    assert "property name" in faults["MUSTER_LOCATIONS"]
