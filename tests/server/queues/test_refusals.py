"""Is every bad message refused with all its faults, and does it change nothing?"""

import base64
import json
from typing import Any

import pytest

from muster.domain.queue import BODY_BYTES_MAX, KEY_CHARS_MAX, PUBLISH_EVENTS_MAX, Counts
from muster.domain.workflow import WorkflowState
from server.queues.running_door import OPERATOR, STRANGER, Door, done

pytestmark = pytest.mark.anyio

PUBLISH = "/queues/source/events"


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        (b"", 400, []),
        (b"{", 400, []),
        (b"\xff", 400, []),
        (b"[]", 422, [""]),
        (b"{}", 422, [""]),
        ({"events": []}, 422, ["events"]),
        ({"events": [{}], "colour": 1}, 422, ["", "events[0]"]),
        ({"events": 3}, 422, ["events"]),
        ({"events": [{"body": 1, "kind": "xml"}]}, 422, ["events[0].kind"]),
        ({"events": [{"body": 1, "kind": "bytes"}, {"body": 1, "key": ""}]}, 422, ["events[0].body", "events[1].key"]),
        ({"events": [{"body": 1, "key": "k" * (KEY_CHARS_MAX + 1)}]}, 422, ["events[0].key"]),
        ({"events": [{"body": 1, "key": "a\0"}]}, 422, ["events[0].key"]),
        (b'{"events":[{"body":1},{"body":"\\ud83d"}]}', 422, ["events[1].body"]),
        (b'{"events":[{"body":1},{"body":{"a":["\xff"]}}]}', 422, ["events[1].body"]),
        (b'{"events":[{"body":1,"key":"\\udc00"}]}', 422, ["events[0].key"]),
        (b'{"events":[{"body":1,"key":"\xff"}]}', 422, ["events[0].key"]),
        (b'{"events":[{"body":' + b"[" * 300 + b"]" * 300 + b"}]}", 422, ["events[0].body"]),
        (b'{"events":[{"body":' + b"1" * 5000 + b"}]}", 422, ["events[0].body"]),
        (b'{"events":[{"body":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}", 400, []),
        ({"events": [{"body": "x" * BODY_BYTES_MAX}]}, 413, []),
        ({"events": [{"kind": "bytes", "body": base64.b64encode(bytes(BODY_BYTES_MAX + 1)).decode()}]}, 413, []),
        ({"events": [{"body": 1}] * (PUBLISH_EVENTS_MAX + 1)}, 413, []),
    ],
)
async def test_a_publication_with_a_fault_is_refused_whole(
    door: Door, body: Any, status: int, fields: list[str]
) -> None:
    answer = await door.ask("POST", door.of_workflow(PUBLISH), body=body)

    problem = answer.json()
    assert answer.status_code == status, answer.text
    if fields:
        assert sorted({finding["field"] for finding in problem["findings"]}) == fields
    assert await door.counts("source") == Counts()


async def test_every_fault_of_a_publication_is_told_at_once(door: Door) -> None:
    events = [{"body": 1, "key": ""}, {"body": 2}, {"body": 3, "kind": "bytes"}, {"body": 4, "key": "x" * 300}]

    answer = await door.ask("POST", door.of_workflow(PUBLISH), body={"events": events})

    assert [finding["field"] for finding in answer.json()["findings"]] == [
        "events[0].key",
        "events[2].body",
        "events[3].key",
    ]


@pytest.mark.parametrize(
    ("alias", "token", "status", "says"),
    [
        ("nowhere", "ada", 404, "source, hidden, sink"),
        ("hidden", "ada", 403, "not public"),
        ("sink", "ada", 409, "no task reads"),
        ("source", STRANGER, 403, "belongs to ada"),
        ("source", "nobody", 401, "not known"),
        ("source", OPERATOR, 200, ""),
    ],
)
async def test_who_may_publish_where(door: Door, alias: str, token: str, status: int, says: str) -> None:
    answer = await door.ask(
        "POST", door.of_workflow(f"/queues/{alias}/events"), token=token, body={"events": [{"body": 1}]}
    )

    assert answer.status_code == status
    assert says in answer.text


@pytest.mark.parametrize(
    ("alias", "token", "status"),
    [("sink", "ada", 201), ("source", "ada", 409), ("hidden", "ada", 403), ("sink", STRANGER, 403), ("x", "ada", 404)],
)
async def test_who_may_consume_where(door: Door, alias: str, token: str, status: int) -> None:
    answer = await door.ask("POST", door.of_workflow(f"/queues/{alias}/consumers"), token=token)

    assert answer.status_code == status, answer.text


async def test_a_workflow_that_was_aborted_takes_no_events(door: Door) -> None:
    await door.deactivate(WorkflowState.ABORTED)

    answer = await door.ask("POST", door.of_workflow(PUBLISH), body={"events": [{"body": 1}]})
    replay = await door.ask("POST", door.of_workflow("/dead-letters/actions/replay"), body={})

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert (replay.status_code, replay.json()["code"]) == (409, "conflict")
    assert "was aborted, and stays so: submit it again" in replay.json()["error"]


RESULTS = b'{"call":1,"finished":[{"event":"EV-0000000000000001","fence":1,"outcome":"done","results":[%s]}]}'
EVENT = {"event": "EV-0000000000000001", "fence": 1, "outcome": "done"}


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        (b"", 400, []),
        (b"{", 400, []),
        ({}, 422, [""]),
        ({"call": 0}, 422, ["call"]),
        ({"call": "1"}, 422, ["call"]),
        ({"call": 1, "want": -1, "wait_s": -1}, 422, ["wait_s", "want"]),
        ({"call": 1, "more": 1}, 422, [""]),
        ({"call": 1, "finished": [{**EVENT, "event": "EV-1"}]}, 422, ["finished[0].event"]),
        ({"call": 1, "finished": [{**EVENT, "event": "EV-ffffffffffffffff"}]}, 422, ["finished[0].event"]),
        ({"call": 1, "finished": [{**EVENT, "fence": 2**31}]}, 422, ["finished[0].fence"]),
        ({"call": 1, "finished": [{**EVENT, "outcome": "lost"}]}, 422, ["finished[0].outcome"]),
        (
            {
                "call": 1,
                "finished": [{**EVENT, "outcome": "released", "results": [{"body": 1}], "error": {"text": ""}}],
            },
            422,
            ["finished[0].error", "finished[0].results"],
        ),
        (
            RESULTS % b'{"body":1},{"body":"\xff"}',
            422,
            ["finished[0].results[1].body"],
        ),
        (
            RESULTS % b'{"body":1},{"body":"\\ud800"}',
            422,
            ["finished[0].results[1].body"],
        ),
        ({"call": 1, "finished": [{**EVENT, "results": [{"body": "x" * BODY_BYTES_MAX}]}]}, 413, []),
    ],
)
async def test_a_step_with_a_fault_is_refused_whole(door: Door, body: Any, status: int, fields: list[str]) -> None:
    await door.publish(1)
    worker = await door.enrol()

    answer = await worker.ask("step", body)

    assert answer.status_code == status, answer.text
    assert sorted({finding["field"] for finding in answer.json()["findings"]}) == fields
    assert await door.counts("source") == Counts(published=1, waiting=1)


async def test_long_error_texts_are_cut_and_odd_ones_kept(door: Door) -> None:
    (event_id,) = await door.publish(1)
    worker = await door.enrol()
    (event,) = await worker.lease()
    error = {"text": "a\0b" + "x" * 9000, "stdout_tail": "y" * 9000 + "end", "exit_code": -9}

    answer = await worker.step({**done(event), "outcome": "failed", "error": error})

    (attempt,) = (await door.get(f"/events/{event_id}"))["history"]
    assert answer["verdicts"] == ["requeued"]
    assert attempt["error"]["text"].startswith("a\ufffdbxxx")
    assert len(attempt["error"]["text"]) == 4096
    assert attempt["error"]["stdout_tail"].endswith("end")
    assert attempt["error"]["exit_code"] == -9


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/workflows/WF-00000000-00000000/events", 404),
        ("GET", "/workflows/x/events", 404),
        ("GET", "/events/EV-0000000000000001", 404),
        ("GET", "/events/x", 404),
        ("POST", "/consumers/CO-1-ea60/step", 404),
        ("POST", "/consumers/x/step", 404),
        ("POST", "/consumers/CO-ffffffffffffffff-ea60/step", 404),
    ],
)
async def test_what_does_not_exist_is_not_found(door: Door, method: str, path: str, status: int) -> None:
    answer = await door.ask(method, path, body={"call": 1} if method == "POST" else None)

    assert (answer.status_code, answer.json()["code"]) == (status, "not-found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("after=x", "after"),
        ("limit=0", "limit"),
        ("limit=5000", "limit"),
        ("limit=x", "limit"),
        ("bodies=x", "bodies"),
    ],
)
async def test_a_query_that_cannot_be_is_refused(door: Door, query: str, field: str) -> None:
    answer = await door.ask("GET", door.of_workflow(f"/events?{query}"))

    assert answer.status_code == 422, answer.text
    assert [finding["field"] for finding in answer.json()["findings"]] == [field]


async def test_a_consumer_belongs_to_who_opened_it(door: Door) -> None:
    worker = await door.enrol()
    consumer = (await door.post(door.of_workflow("/queues/sink/consumers")))["consumer"]

    answers = [
        (await door.ask("POST", f"/consumers/{consumer}/{word}", token=STRANGER, body={"call": 1})).status_code
        for word in ("step", "actions/close")
    ]
    forged = await door.ask("POST", f"/consumers/CO-{int(worker.enrolled['session']):x}-ea60/step", body={"call": 1})

    assert answers == [403, 403]
    assert forged.status_code == 404


async def test_bodies_are_for_the_owner_and_operators(door: Door) -> None:
    (event,) = await door.publish("private")

    statuses = [(await door.ask("GET", f"/events/{event}", token=token)).status_code for token in (STRANGER, OPERATOR)]
    listed = await door.ask("GET", door.of_workflow("/events"), token=STRANGER)
    in_bulk = [
        (await door.ask("GET", door.of_workflow("/events?bodies=true"), token=token)).status_code
        for token in (STRANGER, OPERATOR)
    ]

    assert statuses == in_bulk == [403, 200]
    assert listed.status_code == 200
    assert "private" not in listed.text


async def test_only_dead_letters_are_replayed_and_nothing_when_one_is_not(door: Door) -> None:
    path = door.of_workflow("/dead-letters/actions/replay")
    (alive,) = await door.publish(1)

    waiting = await door.ask("POST", path, body={"events": [alive]})
    foreign = await door.ask("POST", path, body={"events": [alive, "EV-0000000000000001", "x"]})
    unknown = await door.ask("POST", path, body={"events": [alive, "EV-0000000000000001"]})
    stranger = await door.ask("POST", path, token=STRANGER, body={})
    nothing = await door.ask("POST", path, body={})
    astray = await door.ask("POST", path, body={"queue": "sauce"})
    both = await door.ask("POST", path, body={"queue": "source", "events": [alive]})

    assert (astray.status_code, "its queues: " in astray.json()["error"]) == (404, True)
    assert [finding["field"] for finding in both.json()["findings"]] == ["queue"]
    assert waiting.status_code == 409
    assert f"{alive} is waiting" in waiting.json()["error"]
    assert [finding["field"] for finding in foreign.json()["findings"]] == ["events[2]"]
    assert [finding["field"] for finding in unknown.json()["findings"]] == ["events[1]"]
    assert stranger.status_code == 403
    assert nothing.json() == {"replayed": [], "left": 0, "more": False, "reopened": False}


async def test_no_bad_message_is_our_fault(door: Door) -> None:
    worker = await door.enrol()
    junk = [
        b"null",
        b'"a"',
        b"[[[]]]",
        b'{"call":1e999}',
        b'{"call":1,"finished":{}}',
        json.dumps({"held": 1}).encode(),
    ]

    statuses = {
        (await worker.ask(word, body)).status_code for word in ("enrol", "step", "renew", "leave") for body in junk
    }

    assert statuses <= {200, 400, 401, 403, 404, 409, 413, 422}
