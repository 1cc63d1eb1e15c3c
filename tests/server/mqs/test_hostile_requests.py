"""Is whatever is sent to the queue service answered, and never with a 5xx?"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.stand import OPERATOR, WMS, Json, Stand

pytestmark = pytest.mark.anyio

PATH = "/v1/mqs/workflows/{}/mq-group/{}"
HUGE = 10**400

BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "another type": b"[]",
    "null": b"null",
    "not UTF-8": b'{"queue_aliases": ["\xff"]}',
    "half a surrogate": b'{"queue_aliases": ["\\ud800"]}',
    "a NUL": b'{"queue_aliases": ["a\\u0000b"]}',
    "a NUL in public": b'{"queue_aliases": ["a"], "public": ["\\u0000"]}',
    "a key twice": b'{"queue_aliases": ["a"], "queue_aliases": ["b"]}',
    "deep": b'{"queue_aliases": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a long alias": json.dumps({"queue_aliases": ["x" * 100_000]}).encode(),
    "many aliases": json.dumps({"queue_aliases": [str(one) for one in range(100_000)]}).encode(),
    "nothing public": b'{"queue_aliases": ["a"], "public": null}',
    "an object of a class": b'{"queue_aliases": {"__jsonclass__": ["os.system", []]}}',
    "criteria that are huge": b'{"criteria": {"priority": %d}}' % HUGE,
    "criteria beyond 64 bits": b'{"criteria": {"priority": %d}}' % 2**70,
    "criteria without end": b'{"criteria": {"priority": 1e400}}',
    "criteria that are none": b'{"criteria": {"priority": NaN}}',
    "criteria with a part": b'{"criteria": {"priority": 1.5}}',
    "criteria in words": b'{"criteria": {"priority": "high"}}',
    "criteria that are true": b'{"criteria": {"priority": true}}',
}
NAMES = ["x" * 3000, "WF-%00", "%F0%9F%90%8D", "a.b", "a%2Fb", "..", "%20", "-", "WF-1%0d%0aX: y"]


@pytest.mark.parametrize("version", ["v1", "v0"])
@pytest.mark.parametrize("what", ["reservation", "activation"])
async def test_bodies(broker_stand: Stand, what: str, version: str) -> None:
    path = PATH.format("WF-1", what).replace("v1", version, 1)
    for name, body in BODIES.items():
        response = await broker_stand.ask("POST", path, body, by=WMS)
        assert response.status_code < 500, (name, response.text)
        if response.status_code != 200:
            assert set(response.json()) == {"code", "error"}, name


async def test_names(broker_stand: Stand) -> None:
    for name in NAMES:
        base = f"/v1/mqs/workflows/{name}"
        for method, path, body in (
            ("POST", f"{base}/mq-group/reservation", {"queue_aliases": ["a"]}),
            ("POST", f"{base}/mq-group/activation", {}),
            ("GET", f"{base}/mq-group", None),
            ("GET", f"/v1/mqs/mq-profiles/{name}", None),
            ("GET", f"{base}/mq-profiles/public", None),
        ):
            response = await broker_stand.ask(method, path, body, by=OPERATOR)
            assert response.status_code < 500, (path, response.text)


async def test_what_is_too_long_or_too_much_is_told_with_what_would_do(broker_stand: Stand) -> None:
    for name, body, text in (
        ("x" * 201, {"queue_aliases": ["a"]}, "'workflow_id': must be at most 200 characters; it has 201"),
        ("WF-1", {"queue_aliases": ["a"] * 1001}, "'queue_aliases': must have no more than 1000 items; it has 1001"),
        (
            "WF-1",
            {"queue_aliases": ["a", "b\0c"]},
            "'queue_aliases[1]': is 'b\\x00c'; must be at most 2000 characters, without NUL",
        ),
    ):
        response = await broker_stand.ask("POST", PATH.format(name, "reservation"), body, by=WMS)
        assert (response.status_code, response.json()["error"]) == (400, text)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "POST"])
async def test_methods_that_a_route_does_not_have(stand: Stand, method: str) -> None:
    for path in ("/v1/mqs", "/v0/mqs/mq-profiles/a0", "/mqbroker-issuer/.well-known/jwks.json"):
        response = await stand.ask(method, path, b"", by=WMS)
        assert (response.status_code, response.json()["code"]) == (405, 405)


async def test_tags_of_the_key_set(broker_stand: Stand) -> None:
    path = "/mqbroker-issuer/.well-known/jwks.json"
    for tag in ("", '"', "*", "W/", "," * 5000, "\x7f", '"a", "b"'):
        response = await broker_stand.ask("GET", path, by=None, headers={"if-none-match": tag})
        assert response.status_code in {200, 304}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(["queue_aliases", "public", "criteria", "priority", "workflow_id", "more"])
REQUESTS = st.dictionaries(FIELDS, JSON | st.lists(st.text(max_size=10), max_size=4), max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=REQUESTS, what=st.sampled_from(["reservation", "activation"]), version=st.sampled_from(["v0", "v1"]))
async def test_whatever_has_the_names_of_fields(stand: Stand, body: Any, what: str, version: str) -> None:
    sent: Json = json.dumps(body).encode()
    response = await stand.ask("POST", PATH.format("WF-1", what).replace("v1", version, 1), sent, by=WMS)
    assert response.status_code in {200, 400, 404}, response.text
