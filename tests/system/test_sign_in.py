"""Does everybody sign in at a real identity provider: people, the command line, the site's agent? As processes, over TLS."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jws import extract_compact

from harness.stack import Stack
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client
from muster.domain.errors import ForbiddenError, UnauthenticatedError
from services.oidc import ACCOUNTS, OidcProvider, run_provider

pytestmark = pytest.mark.system

NEW = NewWorkflow(
    tasks=[
        NewTask(
            cluster_locations=["local"],
            task_image="",
            task_args="cp {{INFILE}} {{OUTFILE}}",
            input_queue_aliases=["in"],
            output_queue_aliases=["out"],
            infile_ext="json",
            outfile_ext="json",
            n_workers=1,
        )
    ],
    public_queue_aliases=["in", "out"],
    finish_when_done=True,
)


def of_service(provider: OidcProvider) -> dict[str, Any]:
    """Variables of a service that takes the provider's tokens."""
    return {
        "MUSTER_OIDC_URL": provider.url,
        "MUSTER_OIDC_AUDIENCE": "muster",
        "MUSTER_OIDC_OPERATOR_GROUP": "/muster/operators",
        "MUSTER_OIDC_CA_FILE": str(provider.certificates.authority),
    }


def of_program(provider: OidcProvider, name: str, prefix: str, folder: Path) -> dict[str, Any]:
    """Variables of a program that signs in as the account."""
    secret = folder / f"{name}.secret"
    secret.touch(mode=0o600)
    secret.write_text(ACCOUNTS[name].secret)
    return {
        f"{prefix}OIDC_URL": provider.url,
        f"{prefix}OIDC_CLIENT_ID": name,
        f"{prefix}OIDC_CLIENT_SECRET_FILE": str(secret),
        f"{prefix}OIDC_CA_FILE": str(provider.certificates.authority),
    }


def sign_in(stack: Stack, provider: OidcProvider, name: str) -> Client:
    return Client(stack.url, provider.give_token(name))


def ask(stack: Stack, token: str) -> httpx.Response:
    return httpx.get(f"{stack.url}/muster/v1/whoami", headers={"authorization": f"Bearer {token}"}, timeout=30)


def read_audit(stack: Stack) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stack.parts["serve"].log.read_text().splitlines() if line.startswith("{")]
    return [one for one in lines if one.get("stream") == "audit"]


def test_a_whole_workflow_is_done_by_callers_of_the_provider(
    stack: Stack, oidc_provider: OidcProvider, tmp_path: Path
) -> None:
    stack.start_serve(**of_service(oidc_provider))
    stack.start_site(**of_program(oidc_provider, "site-1", "MUSTER_SITE_", tmp_path))
    ada = of_program(oidc_provider, "ada", "MUSTER_CLIENT_", tmp_path)
    with sign_in(stack, oidc_provider, "ada") as client:
        workflow = client.submit_workflow(NEW).workflow_id
    published = stack.run("queue", "publish", workflow, "in", "-", "--close", stdin='{"n": 1}\n{"n": 2}\n', sign_in=ada)
    assert published.returncode == 0, published.stderr
    consumed = stack.run("queue", "consume", workflow, "out", "--json", sign_in=ada)

    assert consumed.returncode == 0, consumed.stderr
    assert len(consumed.stdout.splitlines()) == 2
    with sign_in(stack, oidc_provider, "eve") as eve:
        wait_for(lambda: eve.get_workflow(workflow).state == "finished", "it finishes itself")
        with pytest.raises(ForbiddenError, match="belongs to ada"):
            eve.abort_workflow(workflow)
        assert eve.get_workflow(workflow).owner == "ada"
    assert not (stack.state / "token").exists()
    _check_audit_and_secrecy(stack, oidc_provider, workflow)


def test_the_command_line_gets_tokens_by_client_credentials_and_tells_who_they_are_of(
    stack: Stack, oidc_provider: OidcProvider, tmp_path: Path
) -> None:
    stack.start_serve(**of_service(oidc_provider))
    ada = of_program(oidc_provider, "ada", "MUSTER_CLIENT_", tmp_path)
    file = tmp_path / "token"

    shown = stack.run("token", "show", "--json", sign_in=ada)
    fetched = stack.run("token", "fetch", "--output", str(file), sign_in=ada)
    whole = stack.run("token", "fetch", "--json", sign_in=ada)
    revealed = stack.run("token", "show", "--reveal", sign_in=ada)
    by_file = stack.run("token", "show", "--token-file", str(file), sign_in={})

    me = json.loads(shown.stdout)
    assert (me["name"], me["issuer"], me["roles"]) == ("ada", oidc_provider.url, ["user"])
    assert me["source"] == "the identity provider, for the client ada"
    assert me["expires_at"] > time.time()
    assert (fetched.returncode, fetched.stdout) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert ask(stack, file.read_text().strip()).json()["name"] == "ada"
    assert json.loads(whole.stdout)["expires_at"] == pytest.approx(me["expires_at"], abs=60)
    assert ask(stack, revealed.stdout.strip()).json()["name"] == "ada"
    assert "you         ada\n" in by_file.stdout
    assert " left)" in by_file.stdout
    for done in (shown, fetched, by_file):
        assert "eyJ" not in done.stdout + done.stderr  # which every JWT begins with
    (tmp_path / "ada.secret").write_text("wrong")
    refused = stack.run("token", "fetch", "--output", str(file), sign_in=ada)
    assert (refused.returncode, refused.stdout) == (6, "")
    assert "gives the client 'ada' no token" in refused.stderr
    assert ask(stack, file.read_text().strip()).json()["name"] == "ada"  # the file is as it was


def _check_audit_and_secrecy(stack: Stack, provider: OidcProvider, workflow: str) -> None:
    audit = read_audit(stack)
    assert {one["name"] for one in audit} == {"ada", "eve", "site-1"}
    assert {one["issuer"] for one in audit} == {provider.url}
    submitted = [one for one in audit if one["action"] == "POST /muster/v1/workflows"]
    assert [(one["name"], one["object"], one["outcome"]) for one in submitted] == [("ada", workflow, "done")]
    refused = [(one["name"], one["object"]) for one in audit if one["outcome"] == "refused"]
    assert refused == [("eve", workflow)]
    said = stack.parts["serve"].log.read_text() + stack.parts["site"].log.read_text()
    for part in stack.parts.values():
        said += Path(f"/proc/{part.process.pid}/cmdline").read_text()
        said += Path(f"/proc/{part.process.pid}/environ").read_text()
    assert "s3cret" not in said
    assert "eyJ" not in said  # which every JWT begins with


def test_roles_are_those_of_the_claims(stack: Stack, oidc_provider: OidcProvider) -> None:
    stack.start_serve(**of_service(oidc_provider))

    roles = {name: ask(stack, oidc_provider.give_token(name)).json()["roles"] for name in ACCOUNTS}

    assert roles == {"ada": ["user"], "eve": ["user"], "olga": ["operator"], "site-1": ["system-tms"], "nobody": []}
    with sign_in(stack, oidc_provider, "nobody") as nobody, pytest.raises(ForbiddenError, match="nobody has: none"):
        nobody.list_workflows()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_keys_that_are_exchanged_need_no_restart(stack: Stack, oidc_provider: OidcProvider, algorithm: str) -> None:
    oidc_provider.stop()
    oidc_provider.algorithm = algorithm
    oidc_provider.start()
    stack.start_serve(**of_service(oidc_provider))
    before = oidc_provider.give_token("ada")
    assert ask(stack, before).status_code == 200

    oidc_provider.stop()
    assert ask(stack, before).status_code == 200  # while nobody is there to ask
    oidc_provider.start()
    after = oidc_provider.give_token("ada")

    assert extract_compact(before.encode()).headers()["kid"] != extract_compact(after.encode()).headers()["kid"]
    assert ask(stack, after).status_code == 200


def test_two_providers_are_told_apart(stack: Stack, oidc_provider: OidcProvider, tmp_path: Path) -> None:
    with run_provider(tmp_path / "lab", ACCOUNTS) as lab:
        both = tmp_path / "both.pem"
        both.write_bytes(b"".join(one.certificates.authority.read_bytes() for one in (oidc_provider, lab)))
        issuers = [{"url": oidc_provider.url, "audience": "muster"}, {"url": lab.url, "label": "lab"}]
        stack.start_serve(MUSTER_OIDC_ISSUERS=json.dumps(issuers), MUSTER_OIDC_CA_FILE=str(both))
        with sign_in(stack, oidc_provider, "ada") as ada, sign_in(stack, lab, "ada") as other:
            workflow = ada.submit_workflow(NEW).workflow_id
            me = other.whoami()
            with pytest.raises(ForbiddenError, match="belongs to ada"):
                other.abort_workflow(workflow)

    assert (me.name, me.issuer) == ("lab:ada", lab.url)


def test_a_provider_that_is_away_stops_no_start_and_is_found_later(stack: Stack, oidc_provider: OidcProvider) -> None:
    token = oidc_provider.give_token("ada")
    oidc_provider.stop()
    stack.start_serve(**of_service(oidc_provider))

    assert ask(stack, token).status_code == 503
    oidc_provider.start()
    with Client(stack.url, token) as client, pytest.raises(UnauthenticatedError, match="not signed with a key"):
        client.whoami()  # its keys are new
    assert ask(stack, oidc_provider.give_token("ada")).status_code == 200


def test_a_wrong_secret_is_told_by_the_command_line_and_not_shown(
    stack: Stack, oidc_provider: OidcProvider, tmp_path: Path
) -> None:
    stack.start_serve(**of_service(oidc_provider))
    variables = of_program(oidc_provider, "ada", "MUSTER_CLIENT_", tmp_path)
    (tmp_path / "ada.secret").write_text("wrong-s3cret")

    refused = stack.run("status", sign_in=variables)

    assert refused.returncode == 6
    assert "gives the client 'ada' no token: invalid_client" in refused.stderr
    assert "s3cret" not in refused.stderr
