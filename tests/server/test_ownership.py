"""Who may act on a workflow? Its owner and operators; every user where the setting says so, and then only what upstream lets them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.stand import NEW, OPERATOR, STRANGER, TMS, USER, Stand, open_stand

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["owned", "shared"])
async def stand(sqlite_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    async with open_stand(sqlite_url, shared_workflows=request.param) as stand:
        yield stand


def is_shared(stand: Stand) -> bool:
    return stand.parts.settings.shared_workflows


@pytest.fixture
async def workflow(stand: Stand) -> Any:
    return await stand.submit(NEW)


OURS, THEIRS = "/muster/v1", "/v1"
ENDINGS = [(OURS, "finish"), (OURS, "abort"), (THEIRS, "finished"), (THEIRS, "abort")]


@pytest.mark.parametrize(("door", "how"), ENDINGS)
async def test_another_user_may_end_a_workflow_only_where_they_are_shared(
    stand: Stand, workflow: Any, door: str, how: str
) -> None:
    path = f"{door}/workflows/{workflow['workflow_id']}/actions/{how}"

    assert (await stand.ask("POST", path, {}, by=TMS)).status_code == 403
    assert (await stand.ask("POST", path, {}, by=STRANGER)).status_code == (200 if is_shared(stand) else 403)
    assert (await stand.ask("POST", path, {}, by=USER)).status_code == 200


async def test_another_user_may_release_a_taskforce_only_where_they_are_shared(stand: Stand, workflow: Any) -> None:
    uuid = (await stand.show(workflow))["taskforces"][0]["taskforce_uuid"]
    path = f"{OURS}/taskforces/{uuid}/actions/release"

    assert (await stand.ask("POST", path, by=STRANGER)).is_success == is_shared(stand)
    assert (await stand.ask("POST", path, by=USER)).is_success
    assert (await stand.ask("POST", f"{OURS}/taskforces/TF-1-2-3-4/actions/release", by=USER)).status_code == 404


async def test_another_user_may_add_workers_only_where_they_are_shared(stand: Stand, workflow: Any) -> None:
    task = (await stand.show(workflow))["tasks"][0]["task_id"]
    ours, theirs = f"{OURS}/tasks/{task}/actions/add-workers", f"{THEIRS}/task-directives/{task}/actions/add-workers"

    for path, body in (
        (ours, {"location": "local", "n_workers": 1}),
        (theirs, {"cluster_location": "local", "n_workers": 1}),
    ):
        assert (await stand.ask("POST", path, body, by=STRANGER)).is_success == is_shared(stand)
        assert (await stand.ask("POST", path, body, by=USER)).is_success


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/events?bodies=true"),
        ("POST", "/dead-letters/actions/replay"),
        ("POST", "/queues/in/events"),
        ("POST", "/queues/in/actions/close"),
        ("POST", "/queues/out/consumers"),
    ],
)
async def test_what_upstream_does_not_know_is_for_owner_and_operators_also_where_workflows_are_shared(
    stand: Stand, workflow: Any, method: str, path: str
) -> None:
    body = {"events": [{"body": 1}]} if path.endswith("/events") else {}
    path = f"{OURS}/workflows/{workflow['workflow_id']}{path}"

    assert (await stand.ask(method, path, body, by=STRANGER)).status_code == 403
    for allowed in (OPERATOR, USER):
        assert (await stand.ask(method, path, body, by=allowed)).is_success


async def test_every_user_may_read(stand: Stand, workflow: Any) -> None:
    for path in ("", "/progress", "/account", "/errors", "/events", "/dead-letters"):
        await stand.get(f"{OURS}/workflows/{workflow['workflow_id']}{path}", by=STRANGER)
