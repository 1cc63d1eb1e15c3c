"""`muster token …`: who am I to the service, and which tokens does it give me?"""

import os
import time
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from muster.cli.console import put, put_fields, put_json, render_duration, render_time, say
from muster.cli.failure import OK, UsageError
from muster.cli.lookup import get_workflow_id
from muster.cli.service import HERE, Service, Target, connect, find_target, has_credentials, make_credentials
from muster.cli.token_file import write_secret
from muster.client.client_credentials import ClientCredentials
from muster.client.shapes.workflows import QueueAccessView
from muster.domain.errors import ConflictError, UnauthenticatedError

Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]

app = App(name="token", help="See who you are, get tokens, also those of queues on a broker.", help_format="plaintext")
app.help_epilogue = """Example:
  muster token show

A token is never an argument, and stands in no log."""


@app.command(
    help_epilogue="""Examples:
  muster token show
  muster token show --json
  curl -H "Authorization: Bearer $(muster token show --reveal)" \\
    https://muster.example.org/muster/v1/workflows"""
)
def show(*, reveal: bool = False, service: Service = HERE) -> int:
    """Show who you are to the service: name, issuer, roles, groups, until when, and where the token is from. Not the token itself.

    Args:
        reveal: write the token, and nothing else; the service is not asked.
    """
    if reveal and service.json:
        raise UsageError("--reveal writes the token alone: it does not go with --json")
    if reveal:
        put(_get_token(find_target(service, os.environ)))
        return OK
    target = find_target(service, os.environ)
    with connect(service) as client:
        me = client.whoami()
    if service.json:
        put_json({"url": target.url, **msgspec.structs.asdict(me), "source": target.source})
        return OK
    put_fields(
        [
            ("url", target.url),
            ("you", me.name),
            ("issuer", me.issuer),
            ("roles", me.roles),
            ("groups", me.groups),
            ("good until", _render_end(me.expires_at)),
            ("from", target.source),
        ]
    )
    return OK


@app.command(
    help_epilogue="""Examples:
  muster token fetch --output ~/.muster-token
  MUSTER_TOKEN=$(muster token fetch) ./my-program

The client and the file of its secret are settings: MUSTER_CLIENT_OIDC_CLIENT_ID, MUSTER_CLIENT_OIDC_CLIENT_SECRET_FILE,
MUSTER_CLIENT_OIDC_URL (docs/how-to/sign-in.md). Commands that find them fetch tokens by themselves."""
)
def fetch(*, output: Output = None, service: Service = HERE) -> int:
    """Get a new token of the identity provider by client credentials, for a program that signs in by itself. Writes the token alone.

    Args:
        output: write it to this file (made 0600) instead of stdout.
    """
    if not has_credentials(os.environ):
        raise UsageError(
            "no client is set that an identity provider would give a token to: set MUSTER_CLIENT_OIDC_CLIENT_ID, "
            "MUSTER_CLIENT_OIDC_CLIENT_SECRET_FILE and MUSTER_CLIENT_OIDC_URL"
        )
    grant = make_credentials().get_grant()
    lasts_s = grant.ends_at - grant.given_at
    text = _render_json({"token": grant.token, "expires_at": time.time() + lasts_s}) if service.json else grant.token
    _hand_over(text, output)
    say(f"it is good for {render_duration(lasts_s)}")
    return OK


@app.command(
    help_epilogue="""Examples:
  muster token queue latest points --json --output points.json
  PASSWORD=$(muster token queue latest chi2)

The queue's name on the broker is `queue_id`, its address user@host `broker_address`. Without a broker: muster queue publish, consume."""
)
def queue(workflow: str, alias: str, /, *, output: Output = None, service: Service = HERE) -> int:
    """Get the token of a public queue on the broker, for programs that publish or consume there. Writes the token alone, which is the
    password; with --json the queue's name, the address and the token.

    Args:
        workflow: its id, or `latest`.
        alias: the queue's name in the workflow.
        output: write it to this file (made 0600) instead of stdout.
    """
    with connect(service) as client:
        found = client.get_queue_access(get_workflow_id(client, workflow), alias)
    if found.auth_token is None:
        raise ConflictError(f"queue {alias} of {found.workflow_id} has no token: {found.why}")
    _hand_over(_render_json(found) if service.json else found.auth_token, output)
    _say_access(found)
    return OK


def _get_token(target: Target) -> str:
    match target.token:
        case str(token):
            return token
        case ClientCredentials() as credentials:
            return credentials.get_grant().token
        case _:
            raise UnauthenticatedError("there is no token")


def _render_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _hand_over(text: str, output: Path | None) -> None:
    if output is None:
        put(text)
    else:
        write_secret(output, text)
        say(f"written to {output}, which you alone may read")


def _say_access(found: QueueAccessView) -> None:
    say(
        f"queue {found.queue_id} at {found.broker_address} ({found.broker_type}), good until {_render_end(found.expires_at)}"
    )


def _render_end(at: float | None) -> str:
    if at is None:
        return "it has no end"
    left_s = at - time.time()
    return f"{render_time(at)} ({f'{render_duration(left_s)} left' if left_s > 0 else 'over'})"
