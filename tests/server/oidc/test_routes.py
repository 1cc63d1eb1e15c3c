"""Which routes does a token of an issuer open? Those of the roles that its claims give."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from muster.server.adapters.oidc.identity import open_oidc
from muster.settings.sign_in import IssuerSettings
from server.oidc.issuer import FakeIssuer, rsa
from server.stand import EWMS_NEW, NEW, Stand, open_stand

pytestmark = pytest.mark.anyio

Claims = dict[str, Any]
NOBODY: Claims = {"groups": [], "ewms_role": None}
USER, TMS, WMS = ({**NOBODY, "ewms_role": role} for role in ("user", "system-tms", "system-wms"))


@asynccontextmanager
async def stand_over(issuer: FakeIssuer, database_url: str, **changes: Any) -> AsyncIterator[Stand]:
    settings = IssuerSettings(url=issuer.url, **changes)
    async with (
        open_oidc([settings], reread_s=0.01) as identity,
        open_stand(database_url, identity=identity) as stand,
    ):
        yield stand


ROLES = {
    "an institute": ({"groups": ["/institutions/IceCube"]}, ["user"]),
    "a part of an institute": ({"groups": ["/other", "/institutions/IceCube/UW/staff"]}, ["user"]),
    "the developers": ({"groups": ["/tokens/ewms-dev"]}, ["user"]),
    "a group that begins so": ({"groups": ["/tokens/ewms-dev/x", "/institutions/ice", "x/institutions/IceCube"]}, []),
    "a role": (USER, ["user"]),
    "a task management service": (TMS, ["system-tms"]),
    "a workflow service": (WMS, ["system-wms"]),
    "both": ({"groups": ["/institutions/IceCube"], "ewms_role": "system-tms"}, ["system-tms", "user"]),
    "a role that is none": ({**NOBODY, "ewms_role": "operator"}, []),
    "claims of other types": ({"groups": True, "ewms_role": {"user": True}}, []),
}


@pytest.mark.parametrize(("claims", "roles"), ROLES.values(), ids=ROLES)
async def test_roles_are_upstreams_unless_they_are_set(
    issuer: FakeIssuer, sqlite_url: str, claims: dict[str, Any], roles: list[str]
) -> None:
    async with stand_over(issuer, sqlite_url) as stand:
        me = await stand.get("/muster/v1/whoami", by=issuer.token(**claims, exp=4e9))

    groups = claims["groups"] if isinstance(claims["groups"], list) else []
    assert me == {"name": "ada", "roles": roles, "groups": sorted(groups), "issuer": issuer.url, "expires_at": 4e9}


async def test_routes_are_for_their_roles_at_both_doors(issuer: FakeIssuer, sqlite_url: str) -> None:
    report: Claims = {"top_task_errors_by_taskforce": {"x": {}}}
    claim = {"agent": "a", "locations": ["local"], "wait_s": 0}
    async with stand_over(issuer, sqlite_url) as stand:
        statuses = {
            (path, name): (await stand.ask("POST", path, body, by=issuer.token(**claims))).status_code
            for path, body in (
                ("/muster/v1/workflows", NEW),
                ("/v1/workflows", EWMS_NEW),
                ("/muster/v1/site/claims", claim),
                ("/v1/tms/statuses/taskforces", report),
            )
            for name, claims in (("user", USER), ("tms", TMS), ("wms", WMS), ("nobody", NOBODY))
        }

    assert {pair for pair, status in statuses.items() if status != 403} == {
        ("/muster/v1/workflows", "user"),
        ("/v1/workflows", "user"),
        ("/muster/v1/site/claims", "tms"),
        ("/v1/tms/statuses/taskforces", "tms"),
    }


async def test_an_operator_is_who_the_setting_names(issuer: FakeIssuer, sqlite_url: str) -> None:
    async with stand_over(issuer, sqlite_url, operator_group="/muster/operators") as stand:
        workflow = (await stand.post("/muster/v1/workflows", NEW, by=issuer.token()))["workflow_id"]
        path = f"/muster/v1/workflows/{workflow}/actions/abort"
        assert (await stand.ask("POST", path, by=issuer.token(sub="eve"))).status_code == 403
        olga = issuer.token(sub="olga", groups=["/muster/operators"])
        assert (await stand.ask("POST", path, by=olga)).status_code == 200


async def test_what_is_wrong_with_a_token_is_said_at_our_door_and_upstreams_words_at_theirs(
    issuer: FakeIssuer, sqlite_url: str
) -> None:
    expired = issuer.token(exp=1)
    async with stand_over(issuer, sqlite_url) as stand:
        ours = await stand.ask("GET", "/muster/v1/whoami", by=expired)
        theirs = await stand.ask("GET", "/v1/", by=expired)
        roleless = await stand.ask("GET", "/v1/", by=issuer.token(**NOBODY))

    assert (ours.status_code, ours.json()["error"]) == (401, "the token has expired: get a new one")
    assert ours.headers["www-authenticate"] == "Bearer"
    assert (theirs.status_code, theirs.json()) == (403, {"code": 403, "error": "authentication failed"})
    assert (roleless.status_code, roleless.json()) == (403, {"code": 403, "error": "authorization failed"})


async def test_an_issuer_that_is_away_is_a_503_that_may_be_tried_again(issuer: FakeIssuer, sqlite_url: str) -> None:
    async with stand_over(issuer, sqlite_url) as stand:
        await stand.get("/muster/v1/whoami", by=issuer.token())
        issuer.answers["/jwks"] = (500, {}, b"")
        unknown = issuer.token(rsa("second"))
        for path in ("/muster/v1/whoami", "/v1/"):
            answer = await stand.ask("GET", path, by=unknown)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        await stand.get("/muster/v1/whoami", by=issuer.token(sub="bob"))


async def test_odd_headers_are_no_token(issuer: FakeIssuer, sqlite_url: str) -> None:
    good = issuer.token()
    async with stand_over(issuer, sqlite_url) as stand:
        for value in ("", "Bearer", "Bearer ", f"Basic {good}", good, f"Bearer {good} x", f"Bearer {good},{good}"):
            answer = await stand.ask("GET", "/muster/v1/whoami", by=None, headers={"authorization": value})
            assert answer.status_code == 401, value
        assert (
            await stand.ask("GET", "/muster/v1/whoami", by=None, headers={"authorization": f"bearer  {good}"})
        ).is_success


async def test_a_workflow_of_a_group_is_its_members_too(issuer: FakeIssuer, sqlite_url: str) -> None:
    ice, other = "/institutions/IceCube/UW", "/institutions/IceCube/Aachen"
    ada, eve = issuer.token(groups=[ice, other]), issuer.token(sub="eve", groups=[other])
    bob = issuer.token(sub="bob", groups=[ice])
    async with stand_over(issuer, sqlite_url) as stand:
        made = await stand.post("/muster/v1/workflows", {**NEW, "group": ice}, by=ada)
        path = f"/muster/v1/workflows/{made['workflow_id']}"
        refused = await stand.ask("POST", f"{path}/actions/abort", {}, by=eve)
        batch = {"events": [{"body": 1}]}
        event = (await stand.post(f"{path}/queues/in/events", batch, by=bob))["events"][0]
        read = [(await stand.ask("GET", f"/muster/v1/events/{event}", by=one)).status_code for one in (ada, bob, eve)]
        ended = await stand.post(f"{path}/actions/abort", by=bob)
        shown = await stand.get(path, by=eve)

    assert (made["owner"], made["group"]) == ("ada", ice)
    assert refused.json()["error"] == (
        f"workflow {made['workflow_id']} belongs to ada; only the owner, the group {ice} and operators may do this"
    )
    assert read == [200, 200, 403]
    assert (ended["state"], shown["ended_by"]) == ("aborted", "bob")


async def test_a_workflow_without_a_group_is_its_owners_alone(issuer: FakeIssuer, sqlite_url: str) -> None:
    async with stand_over(issuer, sqlite_url) as stand:
        made = await stand.post("/muster/v1/workflows", NEW, by=issuer.token())
        path = f"/muster/v1/workflows/{made['workflow_id']}/actions/abort"

        assert made["group"] is None
        assert (await stand.ask("POST", path, {}, by=issuer.token(sub="bob"))).status_code == 403


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (
            "/institutions/IceCube/Aachen",
            "you are not in '/institutions/IceCube/Aachen'; your groups: /institutions/Ice",
        ),
        ("x" * 300, "must be at most 256 characters, without control characters"),
        ("a\x1bb", "must be at most 256 characters, without control characters"),
    ],
)
async def test_a_group_that_is_not_the_callers_is_refused(
    issuer: FakeIssuer, sqlite_url: str, group: str, reason: str
) -> None:
    async with stand_over(issuer, sqlite_url) as stand:
        refused = await stand.ask("POST", "/muster/v1/workflows", {**NEW, "group": group}, by=issuer.token())

    assert (refused.status_code, [one["field"] for one in refused.json()["findings"]]) == (422, ["group"])
    assert refused.json()["findings"][0]["reason"].startswith(reason)
