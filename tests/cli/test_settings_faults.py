"""Is a wrong setting told by the name of its variable?"""

from pathlib import Path

import pytest

from muster.cli.settings_faults import list_remarks, read_settings, read_settings_at_start
from muster.domain.errors import InvalidError
from muster.settings.parts import ServerSettings, SiteSettings
from muster.settings.variables import list_names


def _faults(settings: type[ServerSettings | SiteSettings]) -> dict[str, str]:
    with pytest.raises(InvalidError) as refused:
        read_settings(settings)
    return {one.field: one.reason for one in refused.value.findings}


def test_every_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "many")
    monkeypatch.setenv("MUSTER_LOG_LEVEL", "loud")

    faults = _faults(ServerSettings)

    assert set(faults) == {"MUSTER_PORT", "MUSTER_LOG_LEVEL"}
    assert "'many'" in faults["MUSTER_PORT"]


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_a_time_without_end_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MUSTER_STOP_GRACE_S", value)
    monkeypatch.setenv("MUSTER_SITE_STOP_GRACE_S", value)

    assert set(_faults(ServerSettings)) == {"MUSTER_STOP_GRACE_S"}
    assert set(_faults(SiteSettings)) == {"MUSTER_SITE_STOP_GRACE_S"}


def test_mounts_are_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_SITE_MOUNTS", "/cvmfs/, /data ")
    assert SiteSettings().mounts == ("/cvmfs", "/data")

    monkeypatch.setenv("MUSTER_SITE_MOUNTS", "/cvmfs,data")
    assert "number 2 is none" in _faults(SiteSettings)["MUSTER_SITE_MOUNTS"]


def test_what_isolated_tasks_see_and_where_they_write_are_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (SiteSettings().isolation, SiteSettings().hidden, SiteSettings().writable) == ("auto", (), ("/",))
    monkeypatch.setenv("MUSTER_SITE_HIDDEN", "/etc/keys, /srv/keys/")
    monkeypatch.setenv("MUSTER_SITE_WRITABLE", "/data")
    assert (SiteSettings().hidden, SiteSettings().writable) == (("/etc/keys", "/srv/keys"), ("/data",))

    monkeypatch.setenv("MUSTER_SITE_WRITABLE", "none")
    assert SiteSettings().writable == ()

    # As `muster up` gives them: its own folder may have any name.
    assert SiteSettings(hidden=("/srv/a, b", "/etc/keys/")).hidden == ("/srv/a, b", "/etc/keys")
    again = ("/etc/keys", "/srv/a, b", "/etc/keys/", "/srv/a, b")
    assert SiteSettings(hidden=again).hidden == ("/srv/a, b", "/etc/keys")

    monkeypatch.setenv("MUSTER_SITE_HIDDEN", "keys")
    monkeypatch.setenv("MUSTER_SITE_ISOLATION", "docker")
    assert set(_faults(SiteSettings)) == {"MUSTER_SITE_HIDDEN", "MUSTER_SITE_ISOLATION"}


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (part, list_names(part, name)[0])
        for part in (ServerSettings, SiteSettings)
        for name, field in part.model_fields.items()
        if field.default != ""  # of those an empty one says what leaving it out does
    ],
)
def test_a_setting_that_is_empty_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, settings: type[ServerSettings | SiteSettings], variable: str
) -> None:
    monkeypatch.setenv(variable, "")

    assert _faults(settings) == {variable: "is empty: give it a value, or leave it out, which gives its default"}


def test_a_settings_file_that_is_named_by_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_SETTINGS_FILE", "")

    assert _faults(ServerSettings) == {"MUSTER_SETTINGS_FILE": "is empty: name a file, or unset the variable"}


def test_a_fault_inside_a_setting_is_placed_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "MUSTER_LOCATIONS", '{"lab": {}, "local": {"schedd": ""}, "office": {"schedd": "x", "sched": "y"}}'
    )

    assert _faults(ServerSettings) == {
        "MUSTER_LOCATIONS.lab.schedd": "is missing: it must be given",
        "MUSTER_LOCATIONS.local.schedd": "is empty: give it a value",
        "MUSTER_LOCATIONS.office.sched": "is not known here: take it away, or mend its name",
    }


@pytest.mark.parametrize(
    ("locations", "whose"),
    [
        (
            '{"lab": {"schedd": "x", "aliases": ["b"]}, "b": {"schedd": "y"}}',
            "'b' is given to the locations 'lab' and 'b'",
        ),
        ('{"lab": {"schedd": "x", "aliases": ["b", "b"]}}', "'b' is given twice to the location 'lab'"),
    ],
)
def test_a_name_of_two_locations_is_told_by_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, locations: str, whose: str
) -> None:
    monkeypatch.setenv("MUSTER_DATABASE_URL", "postgresql://ann:s3cret@db/muster")
    reason = f"the name {whose}: as a name or an alias, it may stand once. Take it away from one place"

    monkeypatch.setenv("MUSTER_LOCATIONS", locations)
    assert _faults(ServerSettings) == {"MUSTER_LOCATIONS": reason}

    monkeypatch.delenv("MUSTER_LOCATIONS")
    file = tmp_path / "muster.env"
    file.write_text(f"MUSTER_LOCATIONS='{locations}'\n")
    monkeypatch.setenv("MUSTER_SETTINGS_FILE", str(file))
    assert _faults(ServerSettings) == {f"MUSTER_LOCATIONS ({file}, line 1)": reason}


def test_the_agents_settings_have_their_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_SITE_WORKERS_MAX", "0")

    assert set(_faults(SiteSettings)) == {"MUSTER_SITE_WORKERS_MAX"}


def test_a_setting_that_must_be_json_is_named_together_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LOCATIONS", "{local")
    monkeypatch.setenv("MUSTER_PORT", "many")

    faults = _faults(ServerSettings)

    assert set(faults) == {"MUSTER_LOCATIONS", "MUSTER_PORT"}
    assert faults["MUSTER_LOCATIONS"].startswith("must be a JSON object: JSON is malformed")
    assert faults["MUSTER_LOCATIONS"].endswith("(it is '{local')")


def test_json_of_another_kind_is_not_called_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_LOCATIONS", '"local"')

    assert _faults(ServerSettings)["MUSTER_LOCATIONS"] == "must be a JSON object (it is 'local')"


def test_a_fault_is_told_by_the_variable_that_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "muster.env"
    file.write_text("# ours\nMUSTER_PARK_MAX=none\n")
    monkeypatch.setenv("MUSTER_SETTINGS_FILE", str(file))
    monkeypatch.setenv("LOG_LEVEL", "LOUD")
    monkeypatch.setenv("TMS_ACTION_RETRIES", "-1")
    monkeypatch.setenv("CVMFS_PILOT_SINGULARITY_IMAGES_DIR", "/cvmfs")

    faults = _faults(ServerSettings)

    assert set(faults) == {f"MUSTER_PARK_MAX ({file}, line 2)", "LOG_LEVEL", "TMS_ACTION_RETRIES"}


def test_a_setting_given_by_the_program_goes_before_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "many")
    monkeypatch.setenv("REST_HOST", "0.0.0.0")

    settings = read_settings(ServerSettings, port=1, host="127.0.0.1")

    assert (settings.port, settings.host) == (1, "127.0.0.1")


def test_a_part_that_starts_names_unknown_variables_and_wrong_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PROT", "1")
    monkeypatch.setenv("MUSTER_SITE_WORKER_MAX", "1")
    monkeypatch.setenv("MUSTER_PARK_MAX", "0")

    with pytest.raises(InvalidError) as refused:
        read_settings_at_start(ServerSettings)

    assert {one.field for one in refused.value.findings} == {"MUSTER_PROT", "MUSTER_SITE_WORKER_MAX", "MUSTER_PARK_MAX"}
    assert read_settings(SiteSettings) == SiteSettings()  # who only looks is not bothered


def test_the_address_that_kubernetes_puts_into_the_port_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_PORT", "tcp://10.0.0.1:80")

    assert _faults(ServerSettings)["MUSTER_PORT"].endswith(
        "(it is 'tcp://10.0.0.1:80'). Kubernetes sets it for a Service called `muster`: say `enableServiceLinks: false` "
        "in the pod's spec"
    )


def test_whoever_starts_the_service_is_told_what_is_passed_over_and_what_has_no_effect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert list_remarks(ServerSettings) == []
    for name, text in {
        "MUSTER_PORT": "8080",
        "REST_PORT": "8081",
        "MUSTER_LOG_LEVEL": "debug",
        "LOG_LEVEL": "DEBUG",
        "REST_HOST": "0.0.0.0",
        "MONGODB_HOST": "db",
        "MONGODB_AUTH_PASS": "s3cret",
        "MQS_CLIENT_SECRET": "",
        "CI": "true",
    }.items():
        monkeypatch.setenv(name, text)

    mongodb = "state and queues are kept in the database that MUSTER_DATABASE_URL names, not in MongoDB"
    assert list_remarks(ServerSettings) == [
        "MUSTER_PORT is used (8080), and not REST_PORT, which says something else",
        f"MONGODB_HOST, MONGODB_AUTH_PASS: no effect: {mongodb}",
        "CI: no effect: it switches nothing here; above all, it does not switch sign-in off",
    ]
    assert list_remarks(SiteSettings) == []
