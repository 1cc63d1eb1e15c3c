"""Does `muster settings` show what is set, where that comes from, and no secret?"""

import json
import os
from pathlib import Path
from typing import Any, get_args

import pytest

from muster.cli.main import run
from muster.cli.masking import mask
from muster.cli.settings import render_value
from muster.settings.parts import PARTS
from muster.settings.variables import list_names


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name == "CI" or (name.startswith("MUSTER_") and not name.startswith("MUSTER_TEST_")):
            monkeypatch.delenv(name)


def _read(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    code = run(["settings", *arguments, "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out), told.err


def test_every_setting_of_every_part_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = _read(capsys)

    assert code == 0
    shown = [(one["part"], one["setting"]) for one in told["settings"]]
    of_commands = [("client", name) for name in ("url", "token", "token_file", "dir", "settings_file")]
    of_parts = [(part, name) for part, settings in PARTS.items() for name in settings.model_fields]
    first = next(index for index, (part, _) in enumerate(of_parts) if part == "client")
    assert shown == of_parts[:first] + of_commands + of_parts[first:]
    assert all(one["source"]["kind"] == "default" and one["value"] == one["default"] for one in told["settings"])
    assert all(one["sentence"].endswith(".") for one in told["settings"])
    assert {one["part"] for one in _read(capsys, "site")[1]["settings"]} == {"site"}


def test_where_a_value_comes_from_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "muster.env"
    file.write_text("# the service's\nMUSTER_DATABASE_URL=postgresql://muster:s3cret@db/muster\n")
    monkeypatch.setenv("MUSTER_SETTINGS_FILE", str(file))
    monkeypatch.setenv("MUSTER_HOST", "127.0.0.1")  # its default
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("MUSTER_LOCATIONS", '{"far": {"schedd": "ap.example.org", "agent": "upstream"}}')
    monkeypatch.setenv("CVMFS_PILOT_SINGULARITY_IMAGES_DIR", str(tmp_path))

    code, told, _ = _read(capsys, "serve", "--set")

    assert code == 0
    values = {one["setting"]: (one["value"], one["source"]) for one in told["settings"]}
    far: dict[str, Any] = {
        "schedd": "ap.example.org",
        "agent": "upstream",
        "aliases": [],
        "collector": None,
        "containers": True,
    }
    locations, source = values.pop("locations")
    assert json.loads(locations) == {"far": far}
    assert source == {"kind": "environment", "variable": "MUSTER_LOCATIONS", "file": None, "line": None}
    assert values == {
        "database_url": (
            "postgresql://muster:***@db/muster",
            {"kind": "file", "variable": "MUSTER_DATABASE_URL", "file": str(file), "line": 2},
        ),
        "pilot_images_dir": (
            str(tmp_path),
            {
                "kind": "environment",
                "variable": "CVMFS_PILOT_SINGULARITY_IMAGES_DIR",
                "file": None,
                "line": None,
            },
        ),
        "log_level": ("debug", {"kind": "environment", "variable": "LOG_LEVEL", "file": None, "line": None}),
    }


def test_what_commands_read_from_the_environment_is_shown_without_the_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "muster.env"
    file.write_text("MUSTER_CLIENT_OIDC_CLIENT_ID=\n")
    set_ones = {
        "MUSTER_URL": "https://me:s3cret@muster.example.org",
        "MUSTER_TOKEN": "s3cret",
        "MUSTER_TOKEN_FILE": "mine/token",
        "MUSTER_DIR": "",
        "MUSTER_SETTINGS_FILE": str(file),
    }
    for name, text in set_ones.items():
        monkeypatch.setenv(name, text)

    code, told, _ = _read(capsys, "client")

    assert (code, told["findings"]) == (
        4,
        ["MUSTER_DIR: is empty: give it a value, or unset it"],
    )
    shown = {one["variables"][0]: (one["value"], one["source"]["kind"]) for one in told["settings"]}
    assert {name: shown[name] for name in set_ones} == {
        "MUSTER_URL": ("https://me:***@muster.example.org", "environment"),
        "MUSTER_TOKEN": ("***", "environment"),
        "MUSTER_TOKEN_FILE": ("mine/token", "environment"),
        "MUSTER_DIR": ("", "environment"),
        "MUSTER_SETTINGS_FILE": (str(file), "environment"),
    }


def test_settings_that_are_not_valid_are_shown_as_they_are_with_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_PORT", "many")
    monkeypatch.setenv("MUSTER_PROT", "1")
    monkeypatch.setenv("MUSTER_SITE_WORKERS_MAX", "0")
    monkeypatch.setenv("MUSTER_DATABASE_URL", "postgresql://muster:s3cret@db/muster")

    code, told, said = _read(capsys, "--set")

    assert code == 4
    assert {one["variables"][0]: one["value"] for one in told["settings"]} == {
        "MUSTER_PORT": "many",
        "MUSTER_SITE_WORKERS_MAX": "0",
        "MUSTER_DATABASE_URL": "postgresql://muster:***@db/muster",
    }
    assert [one.partition(":")[0] for one in told["findings"]] == [
        "MUSTER_PROT",
        "MUSTER_PORT",
        "MUSTER_SITE_WORKERS_MAX",
    ]
    assert all(one in said for one in told["findings"])
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("loop.db", "Too many levels of symbolic links"),
        ("plain/muster.db", "Not a directory"),
        (f"{'n' * 300}.db", "File name too long"),
    ],
)
def test_a_database_that_cannot_be_looked_at_is_told_beside_every_other_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    (tmp_path / "plain").touch()
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path}/{name}")
    monkeypatch.setenv("MUSTER_TLS_CERTIFICATE_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("MUSTER_TLS_KEY_FILE", str(tmp_path / "none.pem"))

    code, told, _ = _read(capsys, "serve")

    assert code == 4
    remedy = "name a file in a folder that this user may write"
    assert told["findings"][0] == f"MUSTER_DATABASE_URL: {tmp_path}/{name} cannot be used: {why}: {remedy}"
    assert {one.partition(":")[0] for one in told["findings"][1:]} == {
        "MUSTER_TLS_CERTIFICATE_FILE",
        "MUSTER_TLS_KEY_FILE",
    }


def test_people_read_it_with_the_remarks_beside(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REST_PORT", "8080")
    monkeypatch.setenv("MONGODB_HOST", "db")

    assert run(["settings", "serve", "--set"]) == 0

    told = capsys.readouterr()
    assert told.out == (
        "muster serve\n\n  MUSTER_PORT=8080    (REST_PORT, environment)\n    Port to listen on; 0 takes a free one.\n"
    )
    assert told.err.startswith("mind: MONGODB_HOST: no effect: state and queues are kept in the database")


@pytest.mark.parametrize(
    ("field", "text", "shown"),
    [
        ("database_url", "sqlite:///x.db", "sqlite:///x.db"),
        ("database_url", "postgresql://me@db/x", "postgresql://me@db/x"),
        ("database_url", "postgresql://me:s3/c@r:et@db:1/x?a=1", "postgresql://me:***@db:1/x?a=1"),
        ("database_url", "postgresql://db/x?user=me&password=s3cret&a=1", "postgresql://db/x?user=me&password=***&a=1"),
        ("url", "https://muster.example.org", "https://muster.example.org"),
        ("broker_url", "broker:5672/vhost", "broker:5672/vhost"),
        ("broker_url", "me:s3/c@r:et@broker:5672/vhost", "me:***@broker:5672/vhost"),
        ("broker_url", "me:s3 cr'e\"t@broker", "me:***@broker"),
        ("oidc_issuers", '[{"url":"me:s3cret@idp"},{"url":"b"}]', '[{"url":"me:***@idp"},{"url":"b"}]'),
        ("oidc_request", '{"scope":"a b","client_secret":"s3cret"}', '{"scope":"a b","client_secret":"***"}'),
        ("oidc_request", '{"assertion":["s3cret"]}', '{"assertion":"***"}'),
        ("oidc_request", '{"assertion":"s3cret"', "***"),
        ("oidc_request", "", ""),
        ("client_secret", "s3cret", "***"),
        ("client_secret", "", ""),
        ("token_file", ".muster/token", ".muster/token"),
        ("token_ttl_s", "3600.0", "3600.0"),
    ],
)
def test_secrets_are_masked(field: str, text: str, shown: str) -> None:
    assert mask(field, text) == shown


IN_ADDRESSES = (
    "me:s3cret@host:1/x",
    "https://me:s3cret@idp.example.org:1/x",
    "postgresql://me:s3cret@db/x",
    "postgresql://db:port/x?password=s3cret",
    '[{"url": "me:s3cret@host"}]',
)
IN_REQUESTS = (
    '{"client_secret": "s3cret"}',
    '{"client_secret": ["s3cret"]}',
    '{"client_secret": "s3cret"',
)


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (part, name)
        for part, settings in PARTS.items()
        for name, field in settings.model_fields.items()
        if Path not in (field.annotation, *get_args(field.annotation))  # nobody's file is called like that
    ],
)
def test_no_setting_shows_a_password_or_secret_wherever_it_stands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str, field: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list_names(PARTS[part], field):
        for text in (*IN_ADDRESSES, *(IN_REQUESTS if field == "oidc_request" else ())):
            with monkeypatch.context() as set_one:
                set_one.setenv(name, text)
                run(["settings", part])
            told = capsys.readouterr()
            assert "s3cret" not in told.out + told.err, (name, text)


def test_values_are_shown_as_they_are_written() -> None:
    given = [None, True, 1.5, Path("a/b"), ("a", "b"), (), {}, {"a": [1]}, [{"b": 2}]]
    assert [render_value(one) for one in given] == ["", "true", "1.5", "a/b", "a,b", "", "{}", '{"a":[1]}', '[{"b":2}]']


BROKEN = os.fsdecode(b"\xff")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MUSTER_DATABASE_URL", f"sqlite:////tmp/{BROKEN}.db"),
        ("MUSTER_HOST", f"h{BROKEN}"),
        ("MUSTER_PORT", BROKEN),
        ("MUSTER_SITE_NAME", f"s{BROKEN}"),
        ("MUSTER_SITE_LOCATIONS", f"local,{BROKEN}"),
        ("MUSTER_LOCATIONS", f'{{"far": {{"schedd": "{BROKEN}"}}}}'),
        ("MUSTER_LOCATIONS", '{"far": {"schedd": "\\ud800"}}'),
        ("MUSTER_OIDC_AUDIENCE", BROKEN),
    ],
)
def test_a_value_with_bytes_that_are_no_utf_8_is_shown_and_refused(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)

    for options in ([], ["--json"]):
        assert run(["settings", *options]) == 4
        out, told = (one.decode() for one in capfdbinary.readouterr())
        assert f"{variable}: is not text: it has bytes that are no UTF-8" in told
        if options:
            shown = [one for one in json.loads(out)["settings"] if variable in one["variables"]]
            assert shown[0]["value"] == text.replace(BROKEN, "\\xff")
        else:
            assert text.replace(BROKEN, "\\xff") in out


def test_a_name_of_a_file_may_be_of_any_bytes_and_is_shown(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_SITE_TOKEN_FILE", f"/tmp/{BROKEN}")

    assert run(["settings", "site", "--set"]) == 0
    assert b"MUSTER_SITE_TOKEN_FILE=/tmp/\\xff " in capfdbinary.readouterr().out
    assert run(["settings", "site", "--json"]) == 0
    assert b'"value": "/tmp/\\\\xff"' in capfdbinary.readouterr().out


def test_a_variable_of_ours_whose_name_is_no_utf_8_is_shown(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MUSTER_ODD{BROKEN}", "1")

    assert run(["settings", "--json"]) == 4
    [finding] = json.loads(capfdbinary.readouterr().out)["findings"]
    assert finding.startswith("MUSTER_ODD\\xff: is no variable that Muster knows")
