"""Do events whose body is a file go the way of all events, and does the file go with the last of them?"""

import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import update

from muster.domain.errors import UnavailableError
from muster.domain.file import GRACE_S
from muster.server.adapters.sql.file_schema import file as file_table
from muster.server.adapters.sql.transaction import SqlTransaction
from muster.server.services.purge import purge
from muster.server.services.sweep_files import STRAY_S, FilesSwept, sweep_files
from server.stand import USER, Json, Stand, ok, open_stand
from server.test_files import LARGE, NOWHERE, list_files, path_of, promise, send, upload

pytestmark = pytest.mark.anyio

NOTHING = FilesSwept(0, 0, 0)


@pytest.fixture
def files_dir(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def stand(database_url: str, files_dir: Path) -> AsyncIterator[Stand]:
    async with open_stand(
        database_url, files_dir=files_dir, bodies_kept_s=0.001, purge_interval_s=3600.0, file_bytes_max=4 << 20
    ) as stand:
        yield stand


@pytest.fixture
async def workflow(stand: Stand) -> Json:
    return await stand.submit()


def reference_of(stored: Json) -> Json:
    return {name: stored[name] for name in ("file", "size_bytes", "checksum", "content")}


def done_with_file(leased: Json, stored: Json) -> Json:
    """What a worker hands in whose result is that file."""
    results = [{"kind": "file", "body": stored["file"]}]
    return {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "results": results}


async def publish(stand: Stand, workflow: Json, *events: Json, status: int = 200) -> Json:
    path = f"/muster/v1/workflows/{workflow['workflow_id']}/queues/in/events"
    answer = await stand.ask("POST", path, {"events": list(events)})
    assert answer.status_code == status, answer.text
    return answer.json()


def age(files_dir: Path, seconds: float) -> None:
    for path in files_dir.rglob("*"):
        if path.is_file():
            os.utime(path, (0, path.stat().st_mtime - seconds))


async def make_older(stand: Stand, files_dir: Path, seconds: float) -> None:
    """As if nobody had used any file for so long."""

    def work(tx: SqlTransaction) -> None:
        tx._session.execute(update(file_table).values(touched_at=file_table.c.touched_at - seconds))

    await stand.parts.store.write(work)  # type: ignore[arg-type]
    age(files_dir, seconds)


async def purge_all(stand: Stand) -> None:
    place = None
    while True:
        done = await purge(stand.parts, place=place, for_s=0.0)
        if (place := done.place) is None:
            return


async def test_a_file_goes_through_a_workflow_as_the_body_of_its_events(stand: Stand, workflow: Json) -> None:
    stored = await upload(stand, workflow, LARGE)
    published = await publish(
        stand,
        workflow,
        {"kind": "file", "body": stored["file"], "key": "a"},
        {"kind": "file", "body": reference_of(stored)},
        {"body": 1},
    )
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    leased = (await stand.step(worker, 1, want=3))["events"]
    fetched = await stand.ask("GET", f"/muster/v1/worker/files/{stored['file']}", by=worker["token"])

    assert [(one["kind"], one["key"]) for one in leased] == [("file", "a"), ("file", None), ("json", None)]
    assert [json.loads(one["body"]) for one in leased] == [reference_of(stored)] * 2 + [1]
    assert fetched.content == LARGE
    event = await stand.get(f"/muster/v1/events/{published['events'][0]}")
    assert (event["kind"], event["body"]) == ("file", reference_of(stored))
    assert worker["file_bytes_max"] == 4 << 20


async def test_a_result_that_is_a_file_is_the_next_events_body(stand: Stand, workflow: Json) -> None:
    await stand.publish(workflow, 1)
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    stored = await upload(stand, workflow, LARGE)
    finished = done_with_file(leased, stored)

    verdicts = [(await stand.step(worker, call, finished=[finished]))["verdicts"] for call in (2, 2, 3)]

    assert verdicts == [["done"]] * 3
    event = await stand.get(f"/muster/v1/events/{leased['event']}")
    result = await stand.get(f"/muster/v1/events/{event['results'][0]}")
    assert (result["kind"], result["body"]) == ("file", reference_of(stored))


async def test_a_file_that_is_not_there_cannot_be_referred_to(stand: Stand, workflow: Json) -> None:
    other = await upload(stand, await stand.submit(), LARGE)
    unsent = await promise(stand, workflow, b"never sent")

    for file in (NOWHERE, other["file"], unsent["file"]):
        found = await publish(stand, workflow, {"body": 1}, {"kind": "file", "body": file}, status=422)
        assert [one["field"] for one in found["findings"]] == ["events[1].body"]
        assert file in found["findings"][0]["reason"]
    events = await stand.get(f"/muster/v1/workflows/{workflow['workflow_id']}/events?queue=in")
    assert events["events"] == []


@pytest.mark.parametrize(
    "body", [None, 1, "", "x", NOWHERE.upper(), {"file": 1}, {"id": NOWHERE}, [NOWHERE], NOWHERE + "\n"]
)
async def test_what_names_no_file_is_refused(stand: Stand, workflow: Json, body: Json) -> None:
    found = await publish(stand, workflow, {"kind": "file", "body": body}, status=422)

    assert [one["field"] for one in found["findings"]] == ["events[0].body"]


async def test_a_result_whose_file_is_not_there_is_refused_and_nothing_is_judged(stand: Stand, workflow: Json) -> None:
    await stand.publish(workflow, 1)
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    finished = {
        "event": leased["event"],
        "fence": leased["fence"],
        "outcome": "done",
        "results": [{"kind": "file", "body": NOWHERE}],
    }

    answer = await stand.ask(
        "POST",
        "/muster/v1/worker/step",
        {"call": 2, "finished": [finished], "want": 0, "wait_s": 0},
        by=worker["token"],
    )

    assert (answer.status_code, answer.json()["findings"][0]["field"]) == (422, "finished[0].results[0].body")
    assert (await stand.get(f"/muster/v1/events/{leased['event']}"))["state"] == "in_work"


async def test_a_file_to_which_an_event_refers_stays_and_one_that_was_never_published_goes(
    stand: Stand, workflow: Json, files_dir: Path
) -> None:
    kept = await upload(stand, workflow, LARGE)
    await publish(stand, workflow, {"kind": "file", "body": kept["file"]})
    lost = await upload(stand, workflow, b"never published")
    await promise(stand, workflow, b"never sent")

    assert await sweep_files(stand.parts) == NOTHING
    await make_older(stand, files_dir, GRACE_S + 60)
    assert await sweep_files(stand.parts) == FilesSwept(files=2, strays=0, drafts=0)
    assert await sweep_files(stand.parts) == NOTHING

    assert list_files(files_dir) == [LARGE]
    assert (await stand.ask("GET", path_of(workflow, lost["file"]))).status_code == 404
    assert (await stand.ask("GET", path_of(workflow, kept["file"]))).content == LARGE


async def test_files_go_with_the_bodies_of_their_events(stand: Stand, workflow: Json, files_dir: Path) -> None:
    stored = await upload(stand, workflow, LARGE)
    await publish(stand, workflow, {"kind": "file", "body": stored["file"]})
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    finished = {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "results": []}
    await stand.step(worker, 2, finished=[finished])
    await make_older(stand, files_dir, GRACE_S + 60)
    assert await sweep_files(stand.parts) == NOTHING

    await purge_all(stand)

    assert (await stand.get(f"/muster/v1/events/{leased['event']}"))["kind"] == "purged"
    assert await sweep_files(stand.parts) == FilesSwept(files=1, strays=0, drafts=0)
    assert list_files(files_dir) == []


async def test_a_result_that_is_kept_with_its_event_keeps_its_file(stand: Stand, files_dir: Path) -> None:
    task = {"cluster_locations": ["local"], "task_image": "", "task_args": "true", "input_queue_aliases": ["in"]}
    workflow = await stand.submit({"public_queue_aliases": ["in"], "tasks": [task]})
    await stand.publish(workflow, 1)
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    stored = await upload(stand, workflow, LARGE)
    finished = done_with_file(leased, stored)
    await stand.step(worker, 2, finished=[finished])
    await make_older(stand, files_dir, GRACE_S + 60)

    assert await sweep_files(stand.parts) == NOTHING
    event = await stand.get(f"/muster/v1/events/{leased['event']}")
    assert event["result"] == {"kind": "file", "body": reference_of(stored)}


async def test_a_removal_that_broke_off_in_the_middle_is_ended_by_the_next_pass(
    stand: Stand, workflow: Json, files_dir: Path
) -> None:
    await upload(stand, workflow, LARGE)
    await make_older(stand, files_dir, GRACE_S + 60)

    def claim(tx: SqlTransaction) -> None:
        before = tx.now() - GRACE_S
        tx.files.claim_unreferred(tx.files.list_idle(before=before, after="", limit=10), before=before)

    await stand.parts.store.write(claim)  # type: ignore[arg-type]
    again = await promise(stand, workflow, LARGE)  # the one that is going cannot be had any more

    assert again["state"] == "promised"
    assert await sweep_files(stand.parts) == FilesSwept(files=1, strays=0, drafts=0)
    assert list_files(files_dir) == []
    assert ok(await send(stand, path_of(workflow, again["file"]), LARGE))["state"] == "stored"


async def test_what_has_no_row_is_told_after_a_day_and_stays(stand: Stand, workflow: Json, files_dir: Path) -> None:
    stored = await upload(stand, workflow, LARGE)
    await publish(stand, workflow, {"kind": "file", "body": stored["file"]})
    stray = files_dir / NOWHERE[:2] / NOWHERE[2:4] / NOWHERE
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"of a database that was restored")

    assert await sweep_files(stand.parts) == NOTHING
    await make_older(stand, files_dir, STRAY_S + 60)
    assert await sweep_files(stand.parts) == FilesSwept(files=0, strays=1, drafts=0)
    assert stray.exists()
    assert LARGE in list_files(files_dir)


@pytest.mark.parametrize("harm", ["lost", "cut", "damaged"])
async def test_bytes_that_the_store_has_lost_can_be_sent_again(
    stand: Stand, workflow: Json, files_dir: Path, harm: str
) -> None:
    stored = await upload(stand, workflow, LARGE)
    await publish(stand, workflow, {"kind": "file", "body": stored["file"]})
    place = files_dir / stored["file"][:2] / stored["file"][2:4] / stored["file"]
    match harm:
        case "lost":
            place.unlink()
        case "cut":
            place.write_bytes(LARGE[:-1])
        case _:
            place.write_bytes(LARGE[:-1] + b"!")
            with contextlib.suppress(httpx.HTTPError, AssertionError, UnavailableError):
                await stand.ask("GET", path_of(workflow, stored["file"]))

    again = await upload(stand, workflow, LARGE)

    assert (again["file"], again["state"]) == (stored["file"], "stored")
    assert list_files(files_dir) == [LARGE]


async def test_a_key_known_with_the_same_file_is_the_same_event(stand: Stand, workflow: Json) -> None:
    first = await upload(stand, workflow, LARGE)
    await publish(stand, workflow, {"kind": "file", "body": first["file"], "key": "a"})
    second = await upload(stand, workflow, LARGE)
    other = await upload(stand, workflow, LARGE[1:])

    same = await publish(stand, workflow, {"kind": "file", "body": second["file"], "key": "a"})
    differing = await publish(stand, workflow, {"kind": "file", "body": other["file"], "key": "a"})

    assert (same["duplicates"], same["differing"]) == (1, [])
    assert (differing["duplicates"], differing["differing"]) == (1, [0])


async def test_people_consume_references(stand: Stand, workflow: Json) -> None:
    await stand.publish(workflow, 1)
    order = await stand.start(workflow)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    stored = await upload(stand, workflow, LARGE)
    result = {"kind": "file", "body": stored["file"]}
    finished = {"event": leased["event"], "fence": leased["fence"], "outcome": "done", "results": [result]}
    await stand.step(worker, 2, finished=[finished])
    queue = f"/muster/v1/workflows/{workflow['workflow_id']}/queues/out"
    consumer = await stand.post(f"{queue}/consumers", {}, by=USER)

    consumed = await stand.post(f"/muster/v1/consumers/{consumer['consumer']}/step", {"call": 1, "want": 5})

    assert [(one["kind"], one["body"]) for one in consumed["events"]] == [("file", reference_of(stored))]
