"""Is every bad request of our own door answered with a Problem that helps, and never with a 5xx?"""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from muster.server.app import make_app
from server.stand import NEW, NEW_TASK, OPERATOR, TMS, USER, Json, Stand

pytestmark = pytest.mark.anyio

WORKFLOWS = "/muster/v1/workflows"
UUID = "TF-6b0259da-962b1dcf-6713e685-1b7b398a"
WORKFLOW_ID = "WF-6b0259da-962b1dcf"


async def problem(
    stand: Stand, method: str, path: str, body: Json = None, *, by: str | None = USER, **headers: str
) -> tuple[int, Json]:
    response = await stand.ask(method, path, body, by=by, headers=headers)
    found = response.json()
    assert set(found) == {"code", "error", "findings", "request_id"}
    assert found["request_id"] == response.headers["x-request-id"]
    return response.status_code, found


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"tasks": [], "name": "\xc3\x28"}', {}, 400),
        (b"[" * 50_000, {}, 400),
        (json.dumps(NEW).encode(), {"content-type": "text/plain"}, 400),
        (b"[]", {}, 422),
        (b"null", {}, 422),
        (b'"tasks"', {}, 422),
        (b"{}", {}, 422),
        ({**NEW, "unknown": 1}, {}, 422),
        ({**NEW, "tasks": [{**NEW_TASK, "unknown": 1}]}, {}, 422),
        ({**NEW, "name": "\x00"}, {}, 422),
        ({**NEW, "priority": "high"}, {}, 422),
        ({**NEW, "priority": 1e400}, {}, 400),
        ({**NEW, "tasks": [{**NEW_TASK, "n_workers": 10**30}]}, {}, 422),
        ({**NEW, "tasks": [{**NEW_TASK, "timeout_s": -1}]}, {}, 422),
        (NEW, {"idempotency-key": ""}, 422),
        (NEW, {"idempotency-key": "x" * 1000}, 422),
        (NEW, {"idempotency-key": "a\tb"}, 422),
        (b"x" * (9 << 20), {}, 413),
    ],
)
async def test_a_body_that_cannot_be_used(stand: Stand, body: Json, headers: dict[str, str], status: int) -> None:
    code = {400: "invalid", 413: "too-large", 422: "invalid"}[status]
    seen, found = await problem(stand, "POST", WORKFLOWS, body, **headers)
    assert (seen, found["code"]) == (status, code)
    assert found["error"]
    assert bool(found["findings"]) == (status == 422)


@pytest.mark.parametrize(
    "path",
    [
        f"{WORKFLOWS}/..%2f..%2fetc",
        f"{WORKFLOWS}/WF-1",
        f"{WORKFLOWS}/{WORKFLOW_ID}",
        f"{WORKFLOWS}/{WORKFLOW_ID}/",
        f"{WORKFLOWS}/{WORKFLOW_ID}/progress",
        f"{WORKFLOWS}/{WORKFLOW_ID}/account",
        f"{WORKFLOWS}/{WORKFLOW_ID}/errors",
        f"{WORKFLOWS}/{WORKFLOW_ID}/explanation",
        f"{WORKFLOWS}/%00",
        f"{WORKFLOWS}/%ff",
        f"/muster/v1/taskforces/{UUID}",
        "/muster/v1/taskforces/x%00",
        "/muster/v1/taskforces/..%2fx",
        "/muster/v1/nothing",
        "/muster/v1/openapi",
        "/muster/v1/openapi/openapi.json",
        "/muster/v1/openapi/x",
        "/schema",
        "/muster/v1",
        "/",
        "/healthz/",
    ],
)
async def test_what_there_is_not(stand: Stand, path: str) -> None:
    status, found = await problem(stand, "GET", path)
    assert (status, found["code"]) == (404, "not-found")


async def test_a_setting_of_the_worker_that_is_not_for_users(stand: Stand) -> None:
    theirs = {"MUSTER_WORKER_BATCH": 4, "MUSTER_WORKER_URL": "https://muster.example", "MUSTER_WORKER_COLOUR": "red"}
    task = {**NEW_TASK, "pilot_config": {"environment": theirs}}
    status, found = await problem(stand, "POST", WORKFLOWS, {**NEW, "tasks": [task]})
    assert (status, [one["field"] for one in found["findings"]]) == (
        422,
        [f"tasks[0].pilot_config.environment.MUSTER_WORKER_{name}" for name in ("URL", "COLOUR")],
    )


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=501", ["limit"]),
        ("limit=x", ["limit"]),
        ("mine=perhaps", ["mine"]),
        ("state=ended", ["state"]),
        ("after=x", ["after"]),
        ("after=%00", ["after"]),
        ("limit=x&mine=y", ["limit", "mine"]),
    ],
)
async def test_a_query_that_cannot_be_read(stand: Stand, query: str, fields: list[str]) -> None:
    status, found = await problem(stand, "GET", f"{WORKFLOWS}?{query}")
    assert (status, sorted(one["field"] for one in found["findings"])) == (422, fields)


async def test_an_after_that_no_workflow_has(stand: Stand) -> None:
    assert (await problem(stand, "GET", f"{WORKFLOWS}?after={WORKFLOW_ID}"))[0] == 404


@pytest.mark.parametrize("query", ["wait_s=nan", "wait_s=-1", "wait_s=soon", "wait_s=inf", "seen=" + "x" * 200])
async def test_a_progress_query_that_cannot_be_read(stand: Stand, query: str) -> None:
    workflow = await stand.submit()
    status, _ = await problem(stand, "GET", f"{WORKFLOWS}/{workflow['workflow_id']}/progress?{query}")
    assert status == 422


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_method_that_there_is_not(stand: Stand, method: str) -> None:
    status, found = await problem(stand, method, WORKFLOWS, by=None)
    assert (status, found["code"]) == (405, "method-not-allowed")


async def test_head_and_options_are_answered_without_a_token(stand: Stand) -> None:
    head = await stand.ask("HEAD", WORKFLOWS, by=None)
    assert head.status_code == 405
    options = await stand.ask("OPTIONS", WORKFLOWS, by=None)
    assert (options.status_code, options.content) == (204, b"")
    assert "POST" in options.headers["allow"]


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer nobody", "bearer  nobody", "ada"]
)
async def test_who_is_not_known_is_asked_to_sign_in(stand: Stand, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    response = await stand.ask("POST", WORKFLOWS, b"{", by=None, headers=headers)
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_who_may_not_is_told(stand: Stand) -> None:
    status, found = await problem(stand, "POST", WORKFLOWS, NEW, by=TMS)
    assert (status, found["code"]) == (403, "forbidden")


async def test_only_health_and_the_description_are_public(stand: Stand) -> None:
    public = {"/healthz", "/readyz", "/muster/v1/openapi.json"}
    for path in (*public, "/metrics", "/muster/v1/whoami", WORKFLOWS):
        assert (await stand.ask("GET", path, by=None)).status_code == (200 if path in public else 401), path


async def test_an_id_that_the_client_gave_is_kept_if_it_can_be_one(stand: Stand) -> None:
    given = await stand.ask("GET", "/healthz", headers={"x-request-id": "abc-1.2_3"})
    assert given.headers["x-request-id"] == "abc-1.2_3"
    for bad in ("a b", "x" * 200, "<script>"):
        made = await stand.ask("GET", "/healthz", headers={"x-request-id": bad})
        assert made.headers["x-request-id"] != bad


async def test_readiness_is_told(stand: Stand) -> None:
    assert (await stand.ask("GET", "/readyz", by=None)).json()["status"] == "ready"
    stand.parts.stopping.asked = True
    response = await stand.ask("GET", "/readyz", by=None)
    assert (response.status_code, response.json()["status"]) == (503, "stopping")


async def test_what_is_measured_has_no_name_that_a_client_chose(stand: Stand) -> None:
    await stand.ask("GET", f"{WORKFLOWS}/{WORKFLOW_ID}")
    await stand.ask("GET", "/a/path/nobody/knows")
    await stand.ask("BREW", "/healthz")
    text = (await stand.ask("GET", "/metrics", by=OPERATOR)).text
    assert 'route="/muster/v1/workflows/{workflow_id}"' in text
    for chosen in (WORKFLOW_ID, "nobody", "BREW"):
        assert chosen not in text


async def test_the_description_names_every_body_and_answer(stand: Stand) -> None:
    document = await stand.get("/muster/v1/openapi.json")
    submit = document["paths"][WORKFLOWS]["post"]
    assert submit["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/NewWorkflow"
    }
    assert submit["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].endswith("WorkflowView")
    assert not any(path.startswith("/v1") for path in document["paths"])
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    missing = {
        ref for ref in (part.split('"')[0] for part in text.split("#/components/schemas/")[1:]) if ref not in schemas
    }
    assert missing == set()


WITHOUT_BODY = {
    "/muster/v1/admin/reset",
    "/muster/v1/workflows/{workflow_id}/queues/{alias}/actions/close",
    "/muster/v1/workflows/{workflow_id}/actions/finish",
    "/muster/v1/workflows/{workflow_id}/actions/abort",
    "/muster/v1/workflows/{workflow_id}/actions/resume",
    "/muster/v1/consumers/{consumer}/actions/close",
    "/muster/v1/taskforces/{uuid}/actions/release",
}
OPEN = {"/healthz", "/readyz", "/muster/v1/openapi.json", "/muster/v1/worker/enrol"}


async def test_the_description_says_what_every_post_takes_and_who_needs_a_token(stand: Stand) -> None:
    paths = (await stand.get("/muster/v1/openapi.json"))["paths"]

    posts = {path for path, item in paths.items() if "post" in item}
    assert {path for path in posts if "requestBody" not in paths[path]["post"]} == WITHOUT_BODY
    schemas = [
        answer["content"]["application/json"]["schema"]
        for path in posts
        for status, answer in paths[path]["post"]["responses"].items()
        if status.startswith("2") and "content" in answer
    ]
    assert [schema for schema in schemas if schema.get("type") == "string"] == []
    security = {(path, method): one["security"] for path, item in paths.items() for method, one in item.items()}
    assert {path for (path, _), needed in security.items() if needed == []} <= OPEN
    assert security["/muster/v1/worker/step", "post"] == security["/muster/v1/workflows", "get"] == [{"token": []}]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(NEW_TASK, VALUES)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "priority", "public_queue_aliases", "x"), VALUES)),
)
async def test_no_value_anywhere_makes_the_service_stumble(stand: Stand, task: Json, whole: Json) -> None:
    body = json.dumps({**NEW, **whole, "tasks": [{**NEW_TASK, **task}]}).encode("utf-8", "surrogatepass")
    response = await stand.ask("POST", WORKFLOWS, body)
    assert response.status_code in (201, 400, 422), response.text


async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_fault_of_ours(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app(stand.parts)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    for path in ("/muster/v1/workflows", "/v1/workflows", "/muster/v1/worker/enrol"):
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"authorization", f"Bearer {USER}".encode()), (b"content-length", b"400")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "state": {},
        }
        await app(scope, receive, send)

    assert [one["status"] for one in sent if one["type"] == "http.response.start"] == [400, 400, 400]
    assert "unexpected error" not in capsys.readouterr().out
