"""Can a broker check the tokens of queues with what is published, and what do they allow?

Source: mqs.md sections 4.8, 7.1, 7.3, 13; the issue's item 4 for the rights: of a public queue a user needs to write where
tasks only read, to read where tasks only write, else both. Signatures are checked by the broker itself, in the tests of the
queue service. Without a broker there are no tokens.
"""

import base64
import time
from collections.abc import Iterator

import pytest

from compat.caller import Service, parse
from compat.exact import Json, check
from compat.mqs_shapes import JsonWebKeys
from compat.parties import Desk
from compat.samples import request, task

PATH = "/mqbroker-issuer/.well-known/jwks.json"
YEAR_S = 366 * 86400


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def published_kids(desk: Desk) -> list[str]:
    return [key.kid for key in check(desk.call_with(None, prefix="").get(PATH).body, JsonWebKeys).keys]


def read_token(token: str) -> tuple[Json, Json]:
    """Header and claims; the signature is not looked at."""
    header, claims, signature = token.split(".")
    assert signature
    return read_part(header), read_part(claims)


def read_part(part: str) -> Json:
    read: Json = parse(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read


def test_the_keys_are_published_for_everybody(desk: Desk) -> None:
    kids = published_kids(desk)

    assert len(set(kids)) == len(kids)


def test_every_token_is_signed_with_a_published_key_and_says_what_it_is(desk: Desk) -> None:
    created = desk.create()
    desk.ready_all(created["taskforces"])

    for profile in desk.public_profiles(created["workflow"]["workflow_id"]):
        if profile["auth_token"] is None:
            assert (profile["broker_type"], profile["broker_address"]) == (None, None)
            continue
        header, claims = read_token(profile["auth_token"])
        assert header == {"alg": "RS256", "kid": header["kid"], "typ": "JWT"}
        assert header["kid"] in published_kids(desk)
        assert set(claims) == {"iss", "sub", "aud", "iat", "nbf", "exp", "authorization_details"}
        assert claims["iss"].endswith("mqbroker-issuer")
        assert profile["broker_address"].startswith(f"{claims['sub']}@")
        assert claims["iat"] - 60 <= claims["nbf"] <= time.time() + 60 < claims["exp"] <= claims["iat"] + YEAR_S


@pytest.mark.parametrize(("inputs", "outputs"), [(["q"], ["other"]), (["other"], ["q"]), (["q"], ["q"])])
def test_with_a_queue_that_upstream_s_pilots_reach_themselves_a_program_may_do_everything(
    desk: Desk, inputs: list[str], outputs: list[str]
) -> None:
    """Workflows at upstream's locations: their queues are on the broker, and whoever holds a token declares them."""
    body = request(task(input_queue_aliases=inputs, output_queue_aliases=outputs), public_queue_aliases=["q"])
    created = desk.create(body)
    desk.ready_all(created["taskforces"])

    (profile,) = desk.public_profiles(created["workflow"]["workflow_id"])
    if profile["auth_token"] is None:
        assert (profile["broker_type"], profile["broker_address"]) == (None, None)
        return
    _, claims = read_token(profile["auth_token"])
    broker, details = claims["aud"], claims["authorization_details"]
    kind = details[0]["type"]
    queue = {
        "type": kind,
        "locations": [f"cluster:{broker}/queue:{profile['mqid']}"],
        "actions": ["configure", "read", "write"],
    }
    exchange = {"type": kind, "locations": [f"cluster:{broker}/exchange:amq.default"], "actions": ["write"]}
    assert details == [queue, exchange]
