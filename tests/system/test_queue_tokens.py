"""Does the real RabbitMQ let programs do what their tokens say, with the keys of our running service, and nothing else?"""

import base64
import hmac
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from harness.addresses import take_address
from harness.amqp import Deed, attempt, consume, declare, delete, publish, purge, stay
from harness.certificates import Authority
from harness.waiting import wait_for
from muster.domain.mq_profile import ALL, TokenStamp
from muster.domain.queue_token import Broker, join_issuer, render_claims
from muster.server.adapters.key_files.pair import parse_pair
from server.mqs.keys import Files, Pem, pair
from services.fetching import NotFetchedError
from services.rabbitmq import TokenRules, run_rabbitmq

pytestmark = [pytest.mark.server, pytest.mark.system]

Json = Any
PORT = 8443
SERVER_ID, SERVER_TYPE = "muster-tests", "rabbitmq-of-the-tests"
MUSTER = Path(sys.executable).parent / "muster"


@dataclass
class Scene:
    """Our service over TLS, and a broker that reads its keys."""

    address: str
    files: Files
    http: httpx.Client

    @property
    def broker(self) -> Broker:
        """As the service knows it, to make out tokens that it would never give."""
        issuer = join_issuer(f"https://{self.address}:{PORT}")
        return Broker("rabbitmq", self.address, "user", SERVER_ID, SERVER_TYPE, issuer, 3600.0, 0.5)

    def ask(self, method: str, path: str, body: Json = None) -> Json:
        answer = self.http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def reserve(self, workflow_id: str) -> Json:
        """A queue of another service's workflow, as its profile."""
        path = f"/v1/mqs/workflows/{workflow_id}/mq-group"
        self.ask("POST", f"{path}/reservation", {"queue_aliases": ["q"], "public": []})
        return self.ask("POST", f"{path}/activation", {"criteria": {"priority": 50}})["mqprofiles"][0]

    def submit(
        self, location: str, *tasks: tuple[list[str], list[str]], private: Sequence[str] = ()
    ) -> dict[str, Json]:
        """The profiles of a new workflow's public queues, by alias."""
        aliases = {alias for task in tasks for side in task for alias in side}
        new = {
            "public_queue_aliases": sorted(aliases - set(private)),
            "tasks": [
                {
                    "cluster_locations": [location],
                    "task_image": "image:1" if location != "local" else "",
                    "task_args": "cat {{INFILE}}",
                    "input_queue_aliases": inputs,
                    "output_queue_aliases": outputs,
                    "n_workers": 1,
                }
                for inputs, outputs in tasks
            ],
        }
        workflow_id = self.ask("POST", "/muster/v1/workflows", new)["workflow_id"]
        path = f"/v1/mqs/workflows/{workflow_id}/mq-profiles/public"

        def look() -> list[Json] | None:
            profiles: list[Json] = self.ask("GET", path)["mqprofiles"]
            return profiles if profiles and all(one["is_activated"] for one in profiles) else None

        found = wait_for(look, "the queues are activated") or []
        return {one["alias"]: one for one in found}

    def list_queues(self, workflow_id: str) -> list[Json]:
        queues: list[Json] = self.ask("GET", f"/muster/v1/workflows/{workflow_id}")["queues"]
        return queues

    def attempt(self, token: str, *deeds: Deed) -> list[object]:
        return anyio.run(partial(attempt, self.address, token, *deeds))

    def sign(self, queue: str, signer: Pem, **changes: Json) -> str:
        """A token as the service would have made it out, but for the changes of its claims."""
        now = time.time()
        claims = render_claims(self.broker, TokenStamp(signer.kid, now, now + 3600), mqid=queue, rights=ALL)
        return parse_pair(signer.public, signer.private).sign({**claims, **changes})


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("queue-tokens")
    with ExitStack() as stack:
        address = stack.enter_context(take_address())
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        certificate, key = authority.issue(address).write(folder / "tls")
        files = Files(folder / "keys")
        files.write(pair(0))
        url = f"https://{address}:{PORT}"
        images = folder / "images"
        (images / "ewms-pilot:1.2.3").mkdir(parents=True)
        variables = {
            "MUSTER_DATABASE_URL": f"sqlite:///{folder / 'muster.db'}",
            "MUSTER_TOKEN_FILE": str(folder / "token"),
            "MUSTER_HOST": address,
            "MUSTER_PORT": str(PORT),
            "MUSTER_TLS_CERTIFICATE_FILE": str(certificate),
            "MUSTER_TLS_KEY_FILE": str(key),
            "MUSTER_LOCATIONS": json.dumps(
                {"local": {"schedd": "local"}, "theirs": {"schedd": "ap", "agent": "upstream"}}
            ),
            "MUSTER_PILOT_IMAGES_DIR": str(images),
            # As a deployment of upstream's queue service has them.
            "HERE_URL": url,
            "BROKER_URL": address,
            "BROKER_TYPE": "rabbitmq",
            "BROKER_QUEUE_AUTH_PUBLIC_KEY_FILE": str(files.public),
            "BROKER_QUEUE_AUTH_PRIVATE_KEY_FILE": str(files.private),
            "BROKER_RESOURCE_SERVER_ID": SERVER_ID,
            "BROKER_RESOURCE_SERVER_TYPE": SERVER_TYPE,
        }
        stack.enter_context(_serve(folder, variables))
        http = httpx.Client(
            base_url=url,
            verify=ssl.create_default_context(cafile=ca_file),
            headers={"authorization": f"Bearer {(folder / 'token').read_text().strip()}"},
            trust_env=False,
            timeout=30,
        )
        stack.enter_context(http)
        rules = TokenRules(f"{url}/mqbroker-issuer/.well-known/jwks.json", ca_file, SERVER_ID, SERVER_TYPE)
        try:
            stack.enter_context(run_rabbitmq(address, folder / "rabbitmq", rules))
        except NotFetchedError as error:
            pytest.skip(str(error))
        yield Scene(address, files, http)


class _serve:  # noqa: N801 - reads as what it does
    """`muster serve` as a process, ready at the start of the block and ended at its end."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        self._log = folder / "serve.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", MUSTER, "serve", "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={**kept, **variables},
            )

    def __enter__(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()
        assert json.loads(line)["url"].startswith("https://")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        if self._process.stdout is not None:
            self._process.stdout.close()


# -- what each token opens -----------------------------------------------------------------------------------------------


def test_where_tasks_read_programs_publish_and_read_nothing(scene: Scene) -> None:
    queues = scene.submit("local", (["in"], ["out"]))
    queue, token = queues["in"]["mqid"], queues["in"]["auth_token"]
    assert queues["in"]["broker_address"] == f"user@{scene.address}"

    assert scene.attempt(token, declare(queue), publish(queue, b"1"), consume(queue)) == [None, None, "refused"]


def test_where_tasks_write_programs_read_and_publish_nothing(scene: Scene) -> None:
    queues = scene.submit("local", (["in"], ["out"]))
    queue, token = queues["out"]["mqid"], queues["out"]["auth_token"]
    assert scene.attempt(token, declare(queue)) == [None]
    filler = scene.sign(queue, pair(0))  # what the bridge will do
    assert scene.attempt(filler, publish(queue, b"42")) == [None]

    assert scene.attempt(token, consume(queue), publish(queue, b"1")) == [b"42", "refused"]


@pytest.mark.parametrize("location", ["local", "theirs"])
def test_a_queue_that_goes_both_ways_is_open_both_ways(scene: Scene, location: str) -> None:
    queues = scene.submit(location, (["loop"], ["loop"]))
    queue, token = queues["loop"]["mqid"], queues["loop"]["auth_token"]

    assert scene.attempt(token, declare(queue), publish(queue, b"7"), consume(queue)) == [None, None, b"7"]


def test_upstreams_workers_and_programs_do_everything_with_direct_queues(scene: Scene) -> None:
    for one in scene.submit("theirs", (["in"], ["out"])).values():
        queue = one["mqid"]
        assert scene.attempt(one["auth_token"], declare(queue), publish(queue, b"7"), consume(queue)) == [
            None,
            None,
            b"7",
        ]


def test_the_token_of_a_queue_that_is_not_on_the_broker_opens_nothing(scene: Scene) -> None:
    queues = scene.submit("local", (["in"], ["hidden"]), (["hidden"], ["out"]), private=["hidden"])
    [hidden] = {one["queue_id"] for one in scene.list_queues(queues["in"]["workflow_id"])} - {
        one["mqid"] for one in queues.values()
    }
    token = scene.ask("GET", f"/v1/mqs/mq-profiles/{hidden}")["auth_token"]

    assert scene.attempt(token, declare(hidden)) == ["login refused"]


def test_another_queue_can_be_neither_read_nor_declared(scene: Scene) -> None:
    mine, other = scene.reserve("WF-mine"), scene.reserve("WF-other")
    queue = other["mqid"]
    assert scene.attempt(other["auth_token"], declare(queue), publish(queue, b"theirs")) == [None, None]

    assert scene.attempt(mine["auth_token"], consume(queue), declare(queue)) == ["refused", "refused"]
    assert scene.attempt(other["auth_token"], consume(queue)) == [b"theirs"]


def test_what_cannot_be_prevented_is_as_the_docs_say(scene: Scene) -> None:
    """Not that it were wanted: who writes to the default exchange reaches every queue by its name, and `configure` deletes."""
    mine, other = scene.submit("local", (["in"], ["out"])), scene.reserve("WF-reached")
    queue, token = mine["in"]["mqid"], mine["in"]["auth_token"]
    assert scene.attempt(other["auth_token"], declare(other["mqid"])) == [None]

    assert scene.attempt(token, declare(queue), publish(other["mqid"], b"hello"), purge(queue), delete(queue)) == [
        None,
        None,
        "refused",
        None,
    ]
    assert scene.attempt(token, purge(other["mqid"]), delete(other["mqid"])) == ["refused", "refused"]
    assert scene.attempt(other["auth_token"], consume(other["mqid"])) == [b"hello"]


# -- keys ----------------------------------------------------------------------------------------------------------------


def test_tokens_of_both_keys_are_taken_across_rotations(scene: Scene) -> None:
    held: list[Json] = []
    try:
        for number in (0, 1, 2, 0):
            scene.files.write(pair(number))
            held.append(scene.reserve(f"WF-rotation-{len(held)}"))
            for one in held:
                queue = one["mqid"]
                assert scene.attempt(one["auth_token"], declare(queue), publish(queue, b"x"), consume(queue)) == [
                    None,
                    None,
                    b"x",
                ]
    finally:
        scene.files.write(pair(0))


def test_a_connection_ends_with_its_token(scene: Scene) -> None:
    queue = scene.reserve("WF-short")["mqid"]
    token = scene.sign(queue, pair(0), exp=time.time() + 4)
    anyio.run(partial(stay, scene.address, token))
    assert scene.attempt(token, declare(queue)) == ["login refused"]


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_a_good_token_of_the_same_make_is_taken(scene: Scene) -> None:
    """Or the refusals below would say nothing."""
    queue = scene.reserve("WF-good")["mqid"]
    assert scene.attempt(scene.sign(queue, pair(0)), declare(queue)) == [None]


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": 1000.0, "nbf": 1000.0, "exp": 2000.0},
        {"aud": "another-broker"},
        {"authorization_details": None},
    ],
    ids=["expired", "for another broker", "without rights"],
)
def test_tokens_of_other_claims_are_refused(scene: Scene, changes: Json) -> None:
    queue = scene.reserve("WF-claims")["mqid"]
    assert scene.attempt(scene.sign(queue, pair(0), **changes), declare(queue)) == ["login refused"]


def test_rights_of_a_foreign_type_are_none(scene: Scene) -> None:
    queue = scene.reserve("WF-type")["mqid"]
    details = render_claims(scene.broker, TokenStamp("k", 0.0, 1.0), mqid=queue, rights=ALL)["authorization_details"]
    foreign = [{**one, "type": "another-type"} for one in details]
    assert scene.attempt(scene.sign(queue, pair(0), authorization_details=foreign), declare(queue)) == ["login refused"]


def forge(good: str, how: str) -> str:
    """The claims of a good token under another signature."""
    header, claims, _ = good.split(".")
    stranger = parse_pair(pair(3).public, pair(3).private)
    match how:
        case "alg none":
            return f"{_encode({'alg': 'none', 'kid': pair(0).kid, 'typ': 'JWT'})}.{claims}."
        case "HS256 with the public key":
            signed = f"{_encode({'alg': 'HS256', 'kid': pair(0).kid, 'typ': 'JWT'})}.{claims}"
            return f"{signed}.{_write(hmac.digest(pair(0).public, signed.encode(), 'sha256'))}"
        case "a key that is not published":
            return stranger.sign(json.loads(_read(claims)))
        case _:  # another key, under the name of ours
            by_stranger = RSAKey.import_key(pair(3).private)
            protected = json.loads(_read(header))
            return jws.serialize_compact(protected, _read(claims), by_stranger, algorithms=["RS256"])


@pytest.mark.parametrize(
    "how",
    ["alg none", "HS256 with the public key", "a key that is not published", "another key under the name of ours"],
)
def test_forged_tokens_are_refused(scene: Scene, how: str) -> None:
    queue = scene.reserve("WF-forged")["mqid"]
    forged = forge(scene.sign(queue, pair(0)), how)
    assert scene.attempt(forged, declare(queue)) == ["login refused"]


def _encode(header: Json) -> str:
    return _write(json.dumps(header).encode())


def _write(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
