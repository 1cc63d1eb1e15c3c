"""How does an answer look on the wire, before anybody parses it?

Source: wms.md section 2.
"""

from collections.abc import Iterator

import pytest

from compat.caller import Service, parse
from compat.exact import check
from compat.parties import Desk
from compat.samples import request, task


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def test_an_answer_that_is_known_already_is_a_304(desk: Desk) -> None:
    created = desk.create()
    paths = (
        "/",
        f"/workflows/{created['workflow']['workflow_id']}",
        f"/task-directives/{created['task_directives'][0]['task_id']}",
        "/schema/openapi",
    )
    for path in paths:
        if path.startswith("/workflows"):
            desk.ready_all(created["taskforces"])  # on /v0 activation changes the workflow
        etag = desk.user.get(path).headers["Etag"]
        answer = desk.user.get(path, status=304, headers={"If-None-Match": etag})
        assert answer.raw == b""
        assert desk.user.get(path, headers={"If-None-Match": '"another"'}).headers["Etag"] == etag


def test_an_object_that_has_changed_has_another_etag(desk: Desk) -> None:
    workflow_id = desk.create()["workflow"]["workflow_id"]
    before = desk.user.get(f"/workflows/{workflow_id}").headers["Etag"]
    desk.deactivate(workflow_id, "abort")

    answer = desk.user.get(f"/workflows/{workflow_id}", headers={"If-None-Match": before})

    assert answer.headers["Etag"] != before
    assert answer.body["deactivated"] == "ABORTED"


def test_text_beyond_ascii_is_escaped_and_comes_back_whole(desk: Desk) -> None:
    hard = 'süd 日本 \U0001f71a </script> \u2028 \x7f "quoted" \\ / \t'
    created = desk.create(request(task(task_args=hard)))

    answer = desk.user.get(f"/task-directives/{created['task_directives'][0]['task_id']}")

    assert answer.body["task_args"] == hard
    assert answer.raw.isascii()
    assert b"</" not in answer.raw
    assert b'"task_id": "' in answer.raw
    assert b'", "' in answer.raw


def test_unknown_query_parameters_are_ignored(desk: Desk) -> None:
    assert desk.user.get("/", {"nonsense": "1", "verbose": "yes"}).body == {}
    query = {"schedd": "NOWHERE", "collector": "NOWHERE", "nonsense": "1"}
    answer = desk.tms.get("/tms/pending-starter/taskforces", query)
    assert answer.body == {}


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8", "Application/JSON"],
)
def test_a_json_body_may_name_its_charset(desk: Desk, content_type: str) -> None:
    answer = desk.user.call(
        "POST",
        "/query/workflows",
        status=200,
        data=b'{"query": {"workflow_id": "WF-1"}}',
        headers={"Content-Type": content_type},
    )
    check(answer.body, desk.dialect.shapes.found["workflows"])
    assert answer.body["workflows"] == []


def test_a_body_in_utf_8_and_one_in_escapes_mean_the_same(desk: Desk) -> None:
    for text in ('{"query": {"task_image": "süd"}}', '{"query": {"task_image": "s\\u00fcd"}}'):
        answer = desk.user.call("POST", "/query/task-directives", status=200, data=text.encode())
        assert answer.body["task_directives"] == []


def test_numbers_are_seconds_since_the_epoch_by_the_server_s_clock(desk: Desk) -> None:
    created = desk.create()
    born = int(created["workflow"]["workflow_id"].split("-")[1], 16)

    for one in (created["workflow"], *created["task_directives"], *created["taskforces"]):
        assert abs(one["timestamp"] - born) < 60
    for entry in created["taskforces"][0]["phase_change_log"]:
        assert abs(entry["timestamp"] - born) < 60


def test_the_same_is_served_under_both_versions_on_one_address(desk: Desk) -> None:
    for version in ("v1", "v0"):
        assert parse(desk.call_with(desk.user.authorization, prefix=f"/{version}").get("/").raw) == {}
