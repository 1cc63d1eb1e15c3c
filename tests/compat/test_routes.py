"""Is every route there, for whom it is meant, and nothing beside it? And in which order is a call judged?

Source: wms.md sections 2, 2.2, 2.4, 3 and 4; mqs.md sections 2, 3 and 4. Unknown routes answer with the JSON body of every
other error (section 21 allows it in place of upstream's page). Refusals are 403, never 401.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Answer, Caller, Service
from compat.parties import Desk
from compat.routes import METHODS, PROTECTED, ROLES, ROUTES, Route
from compat.samples import request, submit_report, task, unknown_ids


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def caller_of(desk: Desk, route: Route, authorization: str | None) -> Caller:
    return desk.call_with(authorization, prefix=None if route.is_versioned else "")


def try_route(caller: Caller, route: Route, *, status: int | None) -> Answer:
    """Call a route about something that does not exist, with the body that clients send when they have nothing to say."""
    return caller.call(route.method, route.fill(), status=status, data=b"{}" if route.method == "POST" else None)


@pytest.mark.parametrize("route", PROTECTED, ids=str)
def test_a_role_that_the_route_does_not_list_is_refused(desk: Desk, route: Route) -> None:
    for role in sorted(set(ROLES) - route.roles):
        answer = try_route(desk.call_as(role), route, status=403)
        assert answer.error == "authorization failed", role


@pytest.mark.parametrize("route", PROTECTED, ids=str)
def test_a_role_that_the_route_lists_is_let_in(desk: Desk, route: Route) -> None:
    for role in sorted(route.roles):
        answer = try_route(desk.call_as(role), route, status=None)
        assert answer.status not in {403, 405}, role


@pytest.mark.parametrize("route", PROTECTED, ids=str)
def test_without_a_token_it_is_a_403(desk: Desk, route: Route) -> None:
    answer = try_route(desk.nobody, route, status=403)

    assert answer.error == "authentication failed"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", "Bearer \u00e4", "Basic dXNlcjpwYXNzd29yZA==", "Bearer null"],
)
def test_a_token_that_is_none_is_a_403(desk: Desk, authorization: str) -> None:
    for path in ("/workflows/WF-1", "/mqs"):
        answer = desk.call_with(authorization).get(path, status=403)
        assert answer.error == "authentication failed"


def test_a_token_without_its_signature_is_a_403(desk: Desk, service: Service) -> None:
    unsigned = service.token("user").rpartition(".")[0]

    for authorization in (f"Bearer {unsigned}.", f"Bearer {unsigned}", f"Bearer {unsigned}.AAAA"):
        assert desk.call_with(authorization).get("/", status=403).error == "authentication failed"


def test_what_anybody_may_read_needs_no_token_and_minds_no_wrong_one(desk: Desk) -> None:
    for authorization in (None, "Bearer x"):
        desk.call_with(authorization, prefix="").get("/mqbroker-issuer/.well-known/jwks.json")


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_another_method_is_a_405_without_sign_in(desk: Desk, route: Route) -> None:
    caller = caller_of(desk, route, None)
    for method in METHODS:
        if method == route.method:
            continue
        answer = caller.call(method, route.fill(), status=405)
        assert answer.reason == "Method Not Allowed", method
        if method != "HEAD":
            assert answer.body == {"code": 405, "error": "Method Not Allowed"}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/nothing",
        "/workflows/",
        "/workflows/WF-1/",
        "/workflows/WF-1/actions",
        "/workflows/WF-1/actions/delete",
        "/workflows/a.b",
        "/workflows/a%20b",
        "/workflows/a%2Fb",
        "/taskforces",
        "/taskforces/TF-1/",
        "/taskforces/TF:1",
        "/task-directives/TK-1/actions/add-workers/",
        "/query",
        "/query/queues",
        "/tms/pending-starter",
        "/tms/pending-starter/taskforces/",
        "/tms/condor-submit/taskforces",
        "/tms/condor-submit/taskforces/TF-1/succeeded",
        "/schema/openapi/",
        "/mqs/",
        "/mqs/nothing",
        "/mqs/workflows/WF-1",
        "/mqs/workflows/WF-1/mq-group/",
        "/mqs/workflows/a.b/mq-group",
        "/mqs/mq-profiles/",
        "/mqs/mq-profiles/a.b",
        "/mqs/workflows/WF-1/mq-profiles",
        "/mqs/workflows/WF-1/mq-profiles/private",
        "/mqbroker-issuer/.well-known/jwks.json",
    ],
)
def test_an_unknown_path_is_a_404_without_sign_in(desk: Desk, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        desk.nobody.call(method, path, status=404)


def test_the_bare_roots_answer_with_nothing(desk: Desk) -> None:
    assert desk.user.get("/").body == {}
    assert desk.user.get("/mqs").body == {}
    assert desk.wms.get("/mqs").body == {}


def test_who_calls_is_judged_before_what_is_sent(desk: Desk) -> None:
    for path in ("/workflows", "/query/task-directives"):
        for data in (b"{", b"[]", b'{"nonsense": 1}', b""):
            assert desk.nobody.call("POST", path, status=403, data=data).error == "authentication failed"
            assert desk.tms.call("POST", path, status=403, data=data).error == "authorization failed"


def test_what_is_sent_is_judged_before_what_it_is_about(desk: Desk) -> None:
    ids = unknown_ids()
    cases = [
        (desk.tms, f"/tms/condor-complete/taskforces/{ids['taskforce_uuid']}", {"condor_complete_ts": 1}),
        (desk.tms, f"/tms/condor-submit/taskforces/{ids['taskforce_uuid']}", submit_report()),
        (
            desk.user,
            f"/task-directives/{ids['task_id']}/actions/add-workers",
            {"cluster_location": "test-alpha", "n_workers": 1},
        ),
    ]
    for caller, path, body in cases:
        caller.post(path, {"nonsense": 1}, status=400)
        caller.post(path, body, status=404)


def test_a_workflow_that_is_refused_for_two_reasons_is_refused_for_its_shape(desk: Desk) -> None:
    answer = desk.user.post("/workflows", request(task(cluster_locations=["nowhere"], task_image=1)), status=400)

    assert "task_image" in answer.error
