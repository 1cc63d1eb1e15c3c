"""Are people told who they are, and given the tokens that are theirs, without one being shown unasked?"""

import json
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stack import Stack
from harness.waiting import wait_for
from muster.cli.token_file import write_secret
from muster.domain.errors import InvalidError
from server.mqs.keys import Files, claims_of, pair

TASK = {
    "cluster_locations": ["local"],
    "task_image": "",
    "task_args": "cp {{INFILE}} {{OUTFILE}}",
    "input_queue_aliases": ["in"],
    "output_queue_aliases": ["out"],
}


def submit(stack: Stack, *public: str) -> str:
    file = stack.root / "flow.json"
    file.write_text(json.dumps({"tasks": [TASK], "public_queue_aliases": [*public]}))
    return str(stack.run_json("workflow", "submit", str(file))["workflow_id"])


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


# -- who am I ------------------------------------------------------------------------------------------------------------


@pytest.mark.system
def test_one_is_told_who_one_is_and_not_the_token(running: Stack) -> None:
    told, found = running.run("token", "show"), running.run_json("token", "show")

    shown = dict(line.split("  ", 1) for line in told.stdout.splitlines())
    assert shown["you"].strip() == found["name"]
    assert shown["from"].strip() == f"MUSTER_TOKEN_FILE {running.state / 'token'}" == found["source"]
    assert shown["good until"].strip() == "it has no end"
    assert (found["url"], found["issuer"], found["expires_at"]) == (running.url, "local", None)
    assert "operator" in found["roles"]
    assert running.token not in told.stdout + told.stderr + json.dumps(found)


@pytest.mark.system
def test_the_token_alone_is_written_where_that_is_asked_for(running: Stack, tmp_path: Path) -> None:
    alone = running.run("token", "show", "--reveal")
    assert (alone.returncode, alone.stdout, alone.stderr) == (0, f"{running.token}\n", "")

    both = running.run("token", "show", "--reveal", "--json")
    assert (both.returncode, both.stdout, "--json" in both.stderr) == (2, "", True)
    none = running.run("token", "show", "--reveal", "--url", running.url, "--dir", str(tmp_path), sign_in={})
    assert (none.returncode, none.stdout, "there is no token" in none.stderr) == (6, "", True)


@pytest.mark.system
def test_a_program_without_credentials_is_told_what_to_set(running: Stack, tmp_path: Path) -> None:
    unset = running.run("token", "fetch")
    assert (unset.returncode, unset.stdout) == (2, "")
    assert "MUSTER_CLIENT_OIDC_CLIENT_SECRET_FILE" in unset.stderr
    half = running.run("token", "fetch", sign_in={"MUSTER_CLIENT_OIDC_CLIENT_ID": "ada"})
    assert (half.returncode, half.stdout) == (4, "")
    assert "MUSTER_CLIENT_OIDC_CLIENT_SECRET_FILE" in half.stderr


# -- queues --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that knows a broker, which nobody runs: its tokens are made all the same."""
    folder = tmp_path_factory.mktemp("broker")
    files = Files(folder / "keys")
    files.write(pair(0))
    files.private.chmod(0o600)
    stack = Stack(folder, host="127.0.0.1")
    try:
        stack.start_serve(
            MUSTER_BROKER_URL="broker.example.org",
            MUSTER_BROKER_PUBLIC_KEY_FILE=str(files.public),
            MUSTER_BROKER_PRIVATE_KEY_FILE=str(files.private),
            MUSTER_BROKER_RESOURCE_SERVER_ID="queues",
            MUSTER_BROKER_RESOURCE_SERVER_TYPE="rabbitmq",
            MUSTER_PUBLIC_URL="https://muster.example.org",
        )
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="module")
def workflow(broker_stack: Stack) -> str:
    made = submit(broker_stack, "in")

    def is_ready() -> bool:
        return broker_stack.run("token", "queue", made, "in").returncode == 0

    wait_for(is_ready, "the queues are activated", deadline_s=30)
    return made


@pytest.mark.system
def test_the_token_of_a_queue_is_written_alone_or_with_its_address(broker_stack: Stack, workflow: str) -> None:
    found = broker_stack.run_json("token", "queue", workflow, "in")
    alone = broker_stack.run("token", "queue", workflow, "in")

    assert alone.stdout == found["auth_token"] + "\n"
    claims = claims_of(found["auth_token"])
    assert found["queue_id"] in str(claims["authorization_details"])
    assert (found["broker_address"], found["broker_type"]) == ("user@broker.example.org", "rabbitmq")
    assert found["expires_at"] == pytest.approx(claims["exp"], abs=1)
    assert found["expires_at"] > time.time()
    assert f"queue {found['queue_id']} at user@broker.example.org (rabbitmq), good until " in alone.stderr
    assert found["auth_token"] not in alone.stderr


@pytest.mark.system
def test_the_token_of_a_queue_is_kept_from_others_in_its_file(
    broker_stack: Stack, workflow: str, tmp_path: Path
) -> None:
    file = tmp_path / "in.json"
    file.write_text("what others may read")
    file.chmod(0o644)

    done = broker_stack.run("token", "queue", workflow, "in", "--json", "--output", str(file))

    assert (done.returncode, done.stdout) == (0, "")
    assert f"written to {file}, which you alone may read" in done.stderr
    assert json.loads(file.read_text())["auth_token"] not in done.stderr
    assert mode(file) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["in.json"]
    lost = broker_stack.run("token", "queue", workflow, "in", "-o", str(tmp_path / "none" / "x"))
    assert (lost.returncode, lost.stdout, "cannot be written: No such file" in lost.stderr) == (4, "", True)


@pytest.mark.system
def test_the_tokens_are_in_no_log(broker_stack: Stack, workflow: str) -> None:
    token = broker_stack.run("token", "queue", workflow, "in").stdout.strip()
    log = broker_stack.parts["serve"].log.read_text()

    assert token not in log
    assert "eyJ" not in log  # which every JWT begins with


@pytest.mark.system
def test_a_queue_that_has_no_token_says_why(broker_stack: Stack, running: Stack, workflow: str) -> None:
    def refused(stack: Stack, *named: str) -> tuple[int, str]:
        done = stack.run("token", "queue", *named)
        assert done.stdout == ""
        return done.returncode, done.stderr

    code, text = refused(broker_stack, workflow, "out")
    assert (code, "queue out is not public" in text) == (6, True)
    code, text = refused(broker_stack, workflow, "middle")
    assert (code, "its queues: in, out" in text) == (3, True)
    code, text = refused(broker_stack, "WF-1-2", "in")
    assert (code, "`latest` is your newest one" in text) == (4, True)
    plain = submit(running, "in")
    code, text = refused(running, plain, "in")
    assert (code, "this service has no broker (MUSTER_BROKER_URL)" in text) == (4, True)
    running.run("workflow", "abort", plain)


# -- files ---------------------------------------------------------------------------------------------------------------


def test_a_secret_takes_the_place_of_the_file_and_not_of_what_that_pointed_to(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("kept")
    link.symlink_to(target)

    write_secret(link, "s3cret")

    assert (link.read_text(), link.is_symlink(), target.read_text()) == ("s3cret\n", False, "kept")
    assert mode(link) == 0o600


def test_a_secret_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(InvalidError, match="cannot be written"):
        write_secret(tmp_path / "folder", "s3cret")

    left: list[Any] = [*tmp_path.rglob("*")]
    assert left == [tmp_path / "folder"]
