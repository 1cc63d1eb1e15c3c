"""Do bodies too large for a message go in and out of the file store, whole, and to those alone who may have them?"""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from muster.domain.file import UNPUBLISHED_MAX
from server.stand import OPERATOR, STRANGER, USER, Json, Stand, ok, open_stand

pytestmark = pytest.mark.anyio

LARGE = bytes(range(256)) * (12 << 10)  # 3 MiB
NOWHERE = "0123456789abcdef" * 2


def promise_of(data: bytes, content: str = "bytes") -> Json:
    return {
        "size_bytes": len(data),
        "checksum": f"sha256:{hashlib.sha256(data).hexdigest()}",
        "content": content,
    }


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


@pytest.fixture
def files_dir(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def stand(database_url: str, files_dir: Path) -> AsyncIterator[Stand]:
    async with open_stand(database_url, files_dir=files_dir, file_bytes_max=4 << 20) as stand:
        yield stand


@pytest.fixture
async def workflow(stand: Stand) -> Json:
    return await stand.submit()


def path_of(workflow: Json, file: str = "") -> str:
    return f"/muster/v1/workflows/{workflow['workflow_id']}/files" + (f"/{file}" if file else "")


async def promise(stand: Stand, workflow: Json, data: bytes, **changes: Any) -> Json:
    return await stand.post(path_of(workflow), promise_of(data) | changes)


async def send(stand: Stand, path: str, data: bytes, *, by: str = USER) -> httpx.Response:
    headers = {"authorization": f"Bearer {by}", "content-type": "application/octet-stream"}
    return await stand.http.put(path, content=in_pieces(data), headers=headers)


async def upload(stand: Stand, workflow: Json, data: bytes) -> Json:
    promised = await promise(stand, workflow, data)
    return ok(await send(stand, path_of(workflow, promised["file"]), data))


def list_files(files_dir: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(files_dir.rglob("*")) if path.is_file()]


@pytest.mark.parametrize("data", [b"", b"1", LARGE], ids=["empty", "byte", "large"])
async def test_what_was_sent_is_fetched(stand: Stand, workflow: Json, data: bytes) -> None:
    promised = await promise(stand, workflow, data)
    stored = ok(await send(stand, path_of(workflow, promised["file"]), data))
    fetched = await stand.ask("GET", path_of(workflow, promised["file"]))

    assert promised == promise_of(data) | {
        "file": promised["file"],
        "workflow_id": workflow["workflow_id"],
        "state": "promised",
    }
    assert stored == promised | {"state": "stored"}
    assert (fetched.status_code, fetched.content) == (200, data)
    assert fetched.headers["content-length"] == str(len(data))
    assert fetched.headers["content-type"] == "application/octet-stream"


async def test_every_call_may_arrive_twice(stand: Stand, workflow: Json, files_dir: Path) -> None:
    first, second = [await promise(stand, workflow, LARGE) for _ in range(2)]
    sent = [ok(await send(stand, path_of(workflow, first["file"]), LARGE)) for _ in range(2)]
    third = await promise(stand, workflow, LARGE)

    assert first == second
    assert sent == [third, third]
    assert list_files(files_dir) == [LARGE]


async def test_the_same_bytes_are_another_file_where_they_are_something_else_or_somewhere_else(
    stand: Stand, workflow: Json
) -> None:
    other = await stand.submit()

    files = {
        (await promise(stand, where, b"[1]", content=content))["file"]
        for where in (workflow, other)
        for content in ("json", "text", "bytes")
    }

    assert len(files) == 6


async def test_what_is_not_what_was_promised_is_refused_and_nothing_is_kept(
    stand: Stand, workflow: Json, files_dir: Path
) -> None:
    promised = await promise(stand, workflow, LARGE)
    path = path_of(workflow, promised["file"])

    answers = [await send(stand, path, data) for data in (b"", LARGE[:-1], LARGE + b"1", LARGE[:-1] + b"\0")]

    assert [(one.status_code, one.json()["code"]) for one in answers] == [(422, "rejected")] * 4
    assert list_files(files_dir) == []
    assert (await stand.ask("GET", path)).status_code == 404
    assert ok(await send(stand, path, LARGE))["state"] == "stored"


async def test_files_are_their_owners(stand: Stand, workflow: Json) -> None:
    stored = await upload(stand, workflow, LARGE)
    path = path_of(workflow, stored["file"])

    for answer in (
        await stand.ask("POST", path_of(workflow), promise_of(b"1"), by=STRANGER),
        await send(stand, path, LARGE, by=STRANGER),
        await stand.ask("GET", path, by=STRANGER),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await stand.ask("GET", path, by=OPERATOR)).content == LARGE


async def test_a_file_is_found_under_its_own_workflow_alone(stand: Stand, workflow: Json) -> None:
    other = await stand.submit()
    stored = await upload(stand, workflow, LARGE)

    assert (await stand.ask("GET", path_of(other, stored["file"]))).status_code == 404
    assert (await send(stand, path_of(other, stored["file"]), LARGE)).status_code == 404


@pytest.mark.parametrize("name", [NOWHERE, "x", "..%2f..%2fetc%2fpasswd", "%2e%2e", NOWHERE.upper(), "%00" * 32, "ä"])
async def test_no_other_name_is_a_file(stand: Stand, workflow: Json, name: str) -> None:
    for method in ("GET", "PUT"):
        for path in (path_of(workflow, name), f"/muster/v1/worker/files/{name}"):
            worker = await _enrol(stand) if "worker" in path else None
            by = USER if worker is None else worker["token"]
            answer = await stand.ask(method, path, b"" if method == "PUT" else None, by=by)
            assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"size_bytes": -1}, "size_bytes"),
        ({"size_bytes": 10**30}, "size_bytes"),
        ({"size_bytes": "1"}, "size_bytes"),
        ({"checksum": "md5:" + "0" * 32}, "checksum"),
        ({"checksum": "sha256:" + "0" * 63}, "checksum"),
        ({"checksum": "sha256:" + "0" * 64 + "\n"}, "checksum"),
        ({"content": "picture"}, "content"),
        ({"name": "../x"}, ""),
    ],
)
async def test_a_promise_that_makes_no_sense_is_refused(
    stand: Stand, workflow: Json, changes: Json, field: str
) -> None:
    answer = await stand.ask("POST", path_of(workflow), promise_of(b"1") | changes)

    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["findings"]] == [field]


async def test_a_file_over_the_limit_is_refused_with_the_limit(stand: Stand, workflow: Json) -> None:
    answer = await stand.ask("POST", path_of(workflow), promise_of(b"1") | {"size_bytes": (4 << 20) + 1})

    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert "4194304 (MUSTER_FILE_BYTES_MAX)" in answer.json()["error"]


async def test_only_so_many_files_wait_for_their_events(stand: Stand, workflow: Json) -> None:
    for number in range(UNPUBLISHED_MAX):
        await promise(stand, workflow, b"%d" % number)

    refused = await stand.ask("POST", path_of(workflow), promise_of(b"one more"))

    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await promise(stand, workflow, b"7"))["state"] == "promised"


async def test_a_workflow_that_is_over_takes_no_more_files_and_gives_those_it_has(stand: Stand, workflow: Json) -> None:
    stored = await upload(stand, workflow, LARGE)
    await stand.end(workflow, "abort")

    refused = await stand.ask("POST", path_of(workflow), promise_of(b"1"))

    assert refused.status_code == 409
    assert (await stand.ask("GET", path_of(workflow, stored["file"]))).content == LARGE


async def test_a_service_without_a_file_store_says_which_setting_it_lacks(database_url: str) -> None:
    async with open_stand(database_url) as stand:
        workflow = await stand.submit()
        answers = [
            await stand.ask("POST", path_of(workflow), promise_of(b"1")),
            await send(stand, path_of(workflow, NOWHERE), b"1"),
            await stand.ask("GET", path_of(workflow, NOWHERE)),
        ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "rejected")
        assert "MUSTER_FILES_DIR" in answer.json()["error"]


async def test_a_file_that_is_gone_from_the_store_is_not_found(stand: Stand, workflow: Json, files_dir: Path) -> None:
    stored = await upload(stand, workflow, LARGE)
    path = path_of(workflow, stored["file"])
    _place(files_dir, stored["file"]).write_bytes(LARGE[:-1])
    short = await stand.ask("GET", path)
    _place(files_dir, stored["file"]).unlink()
    gone = await stand.ask("GET", path)

    assert (short.status_code, gone.status_code) == (404, 404)
    assert "not as long" in short.json()["error"]


async def test_a_worker_uploads_for_its_taskforce_and_reads_nothing_that_it_does_not_hold(
    stand: Stand, workflow: Json
) -> None:
    stored = await upload(stand, workflow, LARGE)
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    token = worker["token"]

    promised = await stand.post("/muster/v1/worker/files", promise_of(b"a result"), by=token)
    sent = ok(await send(stand, f"/muster/v1/worker/files/{promised['file']}", b"a result", by=token))
    fetched = await stand.ask("GET", path_of(workflow, promised["file"]))
    others = await stand.ask("GET", f"/muster/v1/worker/files/{stored['file']}", by=token)

    assert sent == promised | {"state": "stored"}
    assert fetched.content == b"a result"
    assert (others.status_code, others.json()["code"]) == (404, "not-found")


async def test_a_worker_uploads_what_it_has_in_hand_at_the_workflows_end(stand: Stand, workflow: Json) -> None:
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.end(workflow, "finish")

    promised = await stand.post("/muster/v1/worker/files", promise_of(b"a result"), by=worker["token"])
    sent = await send(stand, f"/muster/v1/worker/files/{promised['file']}", b"a result", by=worker["token"])

    assert ok(sent)["state"] == "stored"


async def test_a_worker_whose_session_is_over_uploads_nothing(stand: Stand, workflow: Json) -> None:
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    await stand.post("/muster/v1/worker/leave", {"reason": "done"}, by=worker["token"])

    answer = await stand.ask("POST", "/muster/v1/worker/files", promise_of(b"1"), by=worker["token"])

    assert answer.status_code == 410


async def test_files_of_workers_want_a_workers_token(stand: Stand) -> None:
    for method, path in (
        ("POST", "/muster/v1/worker/files"),
        ("PUT", f"/muster/v1/worker/files/{NOWHERE}"),
        ("GET", f"/muster/v1/worker/files/{NOWHERE}"),
    ):
        for by in (USER, None):
            assert (await stand.ask(method, path, b"", by=by)).status_code == 401


def _place(files_dir: Path, file: str) -> Path:
    return files_dir / file[:2] / file[2:4] / file


async def _enrol(stand: Stand) -> Json:
    order = await stand.start(await stand.submit())
    return await stand.enrol(order["taskforce_uuid"])
