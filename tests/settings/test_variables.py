"""Is a setting read from where it is said to be, and does everybody know where that is?"""

import os
from pathlib import Path

import pytest

from muster.domain.errors import InvalidError
from muster.settings.parts import ServerSettings, SiteSettings
from muster.settings.variables import Origin, Variable, Variables, find_origin, list_names, read_variables

FILE = "MUSTER_SETTINGS_FILE"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("MUSTER_") and not name.startswith("MUSTER_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "muster.env"
    monkeypatch.setenv(FILE, str(path))
    return path


def _in_environment(**texts: str) -> Variables:
    return Variables({name: Variable(name, text) for name, text in texts.items()})


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("MUSTER_PORT=1\nMUSTER_PARK_MAX=2\nMUSTER_SITE_NAME=of-the-file\n")
    monkeypatch.setenv("MUSTER_PORT", "3")

    settings = ServerSettings()

    assert (settings.port, settings.park_max, settings.host) == (3, 2, "127.0.0.1")
    assert SiteSettings().name == "of-the-file"
    assert ServerSettings(port=4).port == 4


def test_without_the_variable_no_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MUSTER_PORT=1\n")
    monkeypatch.chdir(tmp_path)

    assert ServerSettings().port == 0


def test_the_file_is_read_as_such_files_are(file: Path) -> None:
    file.write_text(
        "\n# ours\n\nexport MUSTER_HOST = '::1'  # this machine\n"
        'MUSTER_LOCATIONS="{\\"far\\": {\\"schedd\\": \\"${HOME}\\"}}"\nmuster_park_max=5\nPOSTGRES_PASSWORD=of-others\n'
    )

    settings = ServerSettings()

    assert (settings.host, settings.park_max) == ("::1", 5)
    assert settings.locations["far"].schedd == "${HOME}"
    variables = read_variables(os.environ)
    assert {one.name: one.line for one in variables.file.values()} == {
        "MUSTER_HOST": 4,
        "MUSTER_LOCATIONS": 5,
        "MUSTER_PARK_MAX": 6,
        "POSTGRES_PASSWORD": 7,
    }


def test_every_line_that_cannot_be_read_is_named_and_none_is_repeated(file: Path) -> None:
    file.write_text("MUSTER_PORT=1\ns3cret\nMUSTER_HOST='s3cret\nMUSTER_PORT=2\n")

    with pytest.raises(InvalidError) as refused:
        ServerSettings()

    assert [(one.field, one.reason.partition(";")[0]) for one in refused.value.findings] == [
        (f"{file}, line 2", "is not NAME=value"),
        (f"{file}, line 3", "is not NAME=value"),
        (f"{file}, line 4", "sets MUSTER_PORT again, as line 1 does: take one away"),
    ]
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe\xff")])
def test_a_file_that_cannot_be_used_is_told_by_its_name(file: Path, make: object) -> None:
    assert callable(make)
    make(file)

    with pytest.raises(InvalidError, match=rf"MUSTER_SETTINGS_FILE: {file} cannot be read: .*; name another file"):
        ServerSettings()


def test_a_setting_knows_where_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "muster.env"
    path.write_text("\nMUSTER_PORT=1\nREST_PORT=2\n")

    there = read_variables({FILE: str(path), "REST_HOST": "::1", "muster_host": "::1", "MUSTER_PARK_MAX": "7"})

    used, theirs = Variable("MUSTER_PORT", "1", path, 2), Variable("REST_PORT", "2", path, 3)
    assert find_origin(ServerSettings, "port", there) == Origin(used, "1", (theirs,))
    assert find_origin(ServerSettings, "host", there) == Origin(Variable("MUSTER_HOST", "::1"), "::1")
    assert find_origin(ServerSettings, "park_max", there) == Origin(Variable("MUSTER_PARK_MAX", "7"), "7")
    assert find_origin(ServerSettings, "park_s_max", there) == Origin()
    assert str(used) == f"MUSTER_PORT ({path}, line 2)"


def test_our_name_goes_before_theirs_wherever_it_stands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("MUSTER_PORT=1\n")
    monkeypatch.setenv("REST_PORT", "2")
    monkeypatch.setenv("REST_HOST", "::1")

    settings = ServerSettings()

    assert (settings.port, settings.host) == (1, "::1")


def test_a_variable_of_theirs_that_is_empty_says_nothing() -> None:
    there = _in_environment(REST_PORT=" ", LOG_LEVEL="")

    assert find_origin(ServerSettings, "port", there) == Origin()
    assert find_origin(ServerSettings, "log_level", there) == Origin()


def test_the_agent_takes_none_of_theirs() -> None:
    assert list_names(ServerSettings, "log_level") == ["MUSTER_LOG_LEVEL", "LOG_LEVEL"]
    assert list_names(SiteSettings, "log_level") == ["MUSTER_SITE_LOG_LEVEL"]


def test_what_a_variable_says_is_not_in_its_rendering() -> None:
    there = _in_environment(MUSTER_DATABASE_URL="postgresql://me:s3cret@db/x")

    assert "s3cret" not in repr(there) + repr(find_origin(ServerSettings, "database_url", there))
