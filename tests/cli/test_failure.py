"""Does every error end in words and in the exit code of the documentation?"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client.scripted_service import run_scripted
from muster.cli.failure import EXIT_CODES, MEANINGS, UsageError, exit_code_of, render_error
from muster.cli.main import run
from muster.client.refusals import ServiceFailedError, SessionEndedError
from muster.domain import errors
from muster.domain.errors import Finding, InvalidError, MusterError, UnauthenticatedError

MUSTER = Path(sys.executable).parent / "muster"
NONE: Any = (200, {"workflows": [], "next_after": None})


def test_every_class_of_errors_has_an_exit_code_that_is_documented() -> None:
    bases = [one for one in vars(errors).values() if isinstance(one, type) and one.__bases__ == (MusterError,)]

    assert set(bases) == set(EXIT_CODES)
    assert set(EXIT_CODES.values()) <= set(MEANINGS)


def test_a_concrete_error_ends_as_its_base_does() -> None:
    assert (
        exit_code_of(SessionEndedError("x")),
        exit_code_of(ServiceFailedError("x")),
        exit_code_of(UsageError("x")),
    ) == (
        4,
        1,
        2,
    )


def test_every_finding_stands_on_a_line_of_its_own() -> None:
    error = InvalidError([Finding("a", "is wrong"), Finding("b", "too")])

    assert render_error(error).splitlines() == ["these things are wrong:", "  a: is wrong", "  b: too"]


def test_who_is_not_known_is_told_how_to_be() -> None:
    assert "--token-file" in render_error(UnauthenticatedError("no token"))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["wrkflow"], 2, 'Did you mean "workflow"'),
        (["workflow", "lst"], 2, 'Did you mean "list"'),
        (["workflow", "list", "--stat", "active"], 2, "--state"),
        (["workflow", "list", "--state", "dead"], 2, "active"),
        (["workflow", "show"], 2, "WORKFLOW"),
        (["workflow", "list", "--limit", "many"], 2, "many"),
        (["up", "--port", "70000"], 2, "70000"),
        (["queue", "publish", "latest", "in"], 2, "name the files"),
        (["queue", "publish", "latest", "in", "-", "--bytes"], 2, "--bytes"),
        (["queue", "consume", "latest", "out", "--max", "0"], 2, "--max 0"),
        (["dead-letter", "replay", "latest"], 2, "--all"),
        (["dead-letter", "replay", "latest", "EV-0000000000000001", "--all"], 2, "--all"),
        (["workflow", "submit", "nowhere.yaml"], 3, "there is no file nowhere.yaml"),
        (["queue", "publish", "latest", "in", "nowhere.jsonl"], 3, "there is no file nowhere.jsonl"),
        (["workflow", "show", "squares"], 4, "'squares' is not the id of a workflow"),
        (["event", "show", "7"], 4, "'7' is not the id of an event"),
        (["status", "--url", "127.0.0.1:1"], 4, "must look like http"),
        (["status", "--url", "http://example.org"], 4, "use https"),
        (["status"], 5, "muster up"),
    ],
)
def test_a_mistake_is_told_in_words(
    arguments: list[str],
    code: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MUSTER_DIR", "MUSTER_TOKEN", "MUSTER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUSTER_URL", "http://127.0.0.1:9") if code == 4 else monkeypatch.delenv(
        "MUSTER_URL", raising=False
    )

    assert run(arguments) == code

    told = capsys.readouterr()
    assert text in " ".join(told.err.split())
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("status", "problem", "code"),
    [
        (401, {"code": "unauthenticated", "error": "no token"}, 6),
        (403, {"code": "forbidden", "error": "not yours"}, 6),
        (404, {"code": "not-found", "error": "no such thing"}, 3),
        (409, {"code": "conflict", "error": "it is over"}, 4),
        (422, {"code": "invalid", "error": "x", "findings": [{"field": "a", "reason": "b"}]}, 4),
        (500, {"code": "internal", "error": "oh", "request_id": "r-1"}, 1),
        (200, "not what was asked for", 5),
    ],
)
def test_what_the_service_refuses_ends_with_its_code(
    status: int, problem: object, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_scripted((status, problem)) as service:
        assert run(["workflow", "list", "--url", service.url]) == code

    assert capsys.readouterr().err.startswith("muster: ")


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "unauthenticated"), (403, "forbidden")],
)
def test_a_token_that_is_refused_is_told_with_where_it_is_from(
    status: int, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "old-token"
    file.write_text("s3cret")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MUSTER_TOKEN", raising=False)
    monkeypatch.delenv("MUSTER_TOKEN_FILE", raising=False)
    with run_scripted((status, {"code": code, "error": "no"})) as service:
        list_ = ["workflow", "list", "--url", service.url]
        assert run(list_) == 6
        assert "the token is from" not in capsys.readouterr().err  # there is none
        assert run([*list_, "--token-file", str(file)]) == 6
        assert f"muster: no (the token is from --token-file {file})" in capsys.readouterr().err
        monkeypatch.setenv("MUSTER_TOKEN_FILE", str(file))
        assert run(list_) == 6
        assert f"muster: no (the token is from MUSTER_TOKEN_FILE {file})" in capsys.readouterr().err
        monkeypatch.setenv("MUSTER_TOKEN", "s3cret")
        assert run(list_) == 6
        told = capsys.readouterr().err
        assert "muster: no (the token is from MUSTER_TOKEN)" in told
        assert "s3cret" not in told


CONTROLS = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x200F, 0x2028, 0x202E, 0x2066)}


def test_text_of_others_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;pwned\x07\x9b31m[bold]x\u202egnp\u2066\u200f\u2028"
    row = {
        "workflow_id": "WF-1-2",
        "name": evil,
        "owner": evil,
        "created_at": 0.0,
        "priority": 1,
        "finish_when_done": False,
        "state": "active",
        "ended_at": None,
        "ended_by": None,
    }
    with run_scripted(
        (200, {"workflows": [row], "next_after": evil}),
        (404, {"code": "not-found", "error": evil}),
        (404, {"code": "not-found", "error": evil}),
        (200, {"workflows": [row], "next_after": evil}),
        (200, {"workflow_id": evil, "state": evil, "n_taskforces": 1}),
    ) as service:
        run(["workflow", "list", "--url", service.url, "--limit", "1"])
        run(["workflow", "list", "--url", service.url])
        run(["workflow", "list", "--url", service.url, "--debug"])
        people = capsys.readouterr()
        run(["workflow", "list", "--url", service.url, "--limit", "1", "--json"])
        programs = capsys.readouterr()
        run(["workflow", "finish", "WF-6b0259da-962b1dcf", "--url", service.url])
        line = capsys.readouterr()

    for told in (people, programs, line):
        assert not {one for one in told.out + told.err if one in CONTROLS} - {"\n", "\t"}
    assert "[bold]x" in people.out
    assert json.loads(programs.out)["workflows"][0]["name"] == evil
    assert line.out.count("\\u202e") == 2


def test_a_reader_that_goes_away_is_no_fault() -> None:
    with run_scripted(NONE) as service:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [MUSTER, "workflow", "list", "--url", service.url, "--json"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.close(writing)

    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_told_in_words() -> None:
    with run_scripted(NONE) as service, Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [MUSTER, "workflow", "list", "--url", service.url, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr == "muster: No space left on device\n"
