"""Does an event live its whole life over HTTP, and may every call of it arrive twice?"""

import json

import anyio
import pytest

from muster.domain.queue import Counts
from server.queues.running_door import Door, as_bytes, done, failed, insert_workflow, released

pytestmark = pytest.mark.anyio


async def test_an_event_is_published_worked_on_and_its_result_consumed(door: Door) -> None:
    published = await door.publish({"x": 1}, {"x": 2}, "three", close=True)
    worker = await door.enrol()

    leased = await worker.lease(10)
    verdicts = (await worker.step(*(done(event, {"got": json.loads(event["body"])}) for event in leased)))["verdicts"]

    consumer = (await door.post(door.of_workflow("/queues/sink/consumers"), {"lease_s": 30}))["consumer"]
    got = await door.post(f"/consumers/{consumer}/step", {"call": 1, "want": 10})
    acks = [[event["event"], event["fence"]] for event in got["events"]]
    last = await door.post(f"/consumers/{consumer}/step", {"call": 2, "ack": acks, "want": 10, "wait_s": 5})

    assert [event["event"] for event in leased] == published
    assert [event["body"] for event in leased] == ['{"x": 1}', '{"x": 2}', '"three"']
    assert all(event["attempt"] == 1 and event["limit"] == 2 for event in leased)
    assert verdicts == ["done"] * 3
    assert [event["body"] for event in got["events"]] == [{"got": {"x": 1}}, {"got": {"x": 2}}, {"got": "three"}]
    assert last == {"events": [], "verdicts": ["done"] * 3, "drained": True}
    assert await door.counts("source") == Counts(published=3, done=3)
    assert await door.counts("sink") == Counts(published=3, done=3)


async def test_bodies_of_every_kind_arrive_as_they_were_sent(door: Door) -> None:
    texts = [
        b'{"a" :  1.0e5, "b":[ ]}',
        b'"\\u00e4\\u0000"',
        '"ä🜚"'.encode(),
        b"null",
        b"-0",
        b"1e999",
        b'"\\ud83d\\ude00"',
    ]
    body = b'{"events":[' + b",".join(b'{"body":' + text + b"}" for text in texts) + b"]}"
    await door.post(door.of_workflow("/queues/source/events"), body)
    await door.post(door.of_workflow("/queues/source/events"), {"events": [as_bytes(b"\0\xff")]})
    worker = await door.enrol()

    answer = await worker.ask("step", {"call": 1, "want": 10})

    *events, last = answer.json()["events"]
    assert [(event["kind"], event["body"].encode()) for event in events] == [("json", text) for text in texts]
    assert (last["kind"], last["body"]) == ("bytes", as_bytes(b"\0\xff")["body"])


async def test_a_step_that_arrives_twice_is_done_once(door: Door) -> None:
    await door.publish(1, 2, 3)
    worker = await door.enrol()

    first = await worker.step(want=2)
    again = await worker.step(want=2, again=True)
    handed_in = [done(event, "r") for event in first["events"]]
    second = await worker.step(*handed_in, want=2)
    second_again = await worker.step(*handed_in, want=2, again=True)

    assert first == again
    assert second == second_again
    assert second["verdicts"] == ["done", "done"]
    assert await door.counts("source") == Counts(published=3, in_work=1, done=2)
    assert await door.counts("sink") == Counts(published=2, waiting=2)


async def test_a_publication_that_arrives_twice_with_its_key_is_done_once(door: Door) -> None:
    key = {"idempotency-key": "k1"}

    first = await door.publish(1, 2, close=True, headers=key)
    again = await door.publish(1, 2, close=True, headers=key)
    other = await door.ask(
        "POST", door.of_workflow("/queues/source/events"), body={"events": [{"body": 3}]}, headers=key
    )

    assert first == again
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency-mismatch"
    assert await door.counts("source") == Counts(published=2, waiting=2)


async def test_two_publications_at_once_with_one_key_are_done_once(door: Door) -> None:
    answers: list[list[str]] = []

    async def publish() -> None:
        answers.append(await door.publish(*range(100), headers={"idempotency-key": "k2"}))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(publish)

    assert answers == [answers[0]] * 5
    assert (await door.counts("source")).published == 100


async def test_an_event_with_a_known_key_is_not_published_again(door: Door) -> None:
    path = door.of_workflow("/queues/source/events")
    first = await door.post(path, {"events": [{"body": 1, "key": "a"}, {"body": 2, "key": "b"}]})

    second = await door.post(
        path, {"events": [{"body": 1, "key": "a"}, {"body": 3, "key": "c"}, {"body": 4, "key": "c"}]}
    )

    assert second["events"][0] == first["events"][0]
    assert second["events"][1] == second["events"][2]
    assert (second["duplicates"], second["differing"]) == (2, [2])
    assert await door.counts("source") == Counts(published=3, waiting=3)


async def test_a_failed_event_is_tried_again_and_then_is_a_dead_letter_that_can_be_replayed(door: Door) -> None:
    (event,) = await door.publish({"n": 1})
    worker = await door.enrol()

    (first,) = await worker.lease()
    requeued = await worker.step(failed(first, "first"), want=1)
    (second,) = requeued["events"]
    dead = await worker.step(failed(second, "second"), want=1)
    letters = await door.get(door.of_workflow("/dead-letters"))
    history = await door.get(f"/events/{event}")
    replayed = await door.post(door.of_workflow("/dead-letters/actions/replay"), {"events": [event]})
    (third,) = await worker.lease()

    assert requeued["verdicts"] == ["requeued"]
    assert (second["event"], second["attempt"]) == (event, 2)
    assert dead["verdicts"] == ["dead"]
    assert dead["events"] == []
    (letter,) = letters["dead_letters"]
    assert (letter["event"], letter["queue"], letter["attempts"]) == (event, "source", 2)
    assert letter["error"]["text"] == "second"
    assert letter["error"]["exit_code"] == 3
    assert (history["state"], history["body"], history["attempts"]) == ("dead", {"n": 1}, 2)
    assert [(one["outcome"], one["error"]["text"]) for one in history["history"]] == [
        ("failed", "first"),
        ("failed", "second"),
    ]
    assert history["history"][0]["worker"] == "77.0@node-1.example.org"
    assert replayed == {"replayed": [event], "left": 0, "more": False, "reopened": False}
    assert (third["event"], third["attempt"]) == (event, 1)


async def test_a_released_event_goes_back_uncounted(door: Door) -> None:
    await door.publish(1)
    worker = await door.enrol()

    for _ in range(5):
        (event,) = await worker.lease()
        answer = await worker.step(released(event))
        assert (event["attempt"], answer["verdicts"]) == (1, ["requeued"])

    assert await door.counts("source") == Counts(published=1, waiting=1)


async def test_a_worker_that_leaves_gives_back_what_it_holds(door: Door) -> None:
    await door.publish(1, 2)
    worker, other = await door.enrol(proc=0), await door.enrol(proc=1)
    await worker.lease(2)

    first = await worker.ask("leave", {"reason": "evicted"})
    again = await worker.ask("leave", {"reason": "evicted"})
    after = await worker.ask("step", {"call": 9, "want": 1})

    assert (first.status_code, first.json()) == (200, {})
    assert again.status_code in {200, 410}
    assert (after.status_code, after.json()["code"]) == (410, "session-ended")
    assert [event["attempt"] for event in await other.lease(2)] == [1, 1]


async def test_who_consumes_results_sees_the_key_of_the_input(door: Door) -> None:
    path = door.of_workflow("/queues/source/events")
    await door.post(path, {"events": [{"body": 1, "key": "file-1"}, {"body": 2}]})
    worker = await door.enrol()
    keyed, plain = await worker.lease(2)
    await worker.step(done(keyed, "r1", "r2"), done(plain, "r3"))
    consumer = (await door.post(door.of_workflow("/queues/sink/consumers")))["consumer"]

    results = (await door.post(f"/consumers/{consumer}/step", {"call": 1, "want": 9}))["events"]

    assert [(one["body"], one["key"]) for one in results] == [("r1", "file-1"), ("r2", "file-1"), ("r3", None)]
    assert (await door.get(f"/events/{results[0]['event']}"))["key"] == "file-1"


async def test_a_consumer_that_nacks_sees_the_event_again_and_outlives_the_workflow(door: Door) -> None:
    await door.publish(1)
    worker = await door.enrol()
    (event,) = await worker.lease()
    await worker.step(done(event, "r"))
    await worker.ask("leave", {"reason": "done"})
    await door.deactivate()
    consumer = (await door.post(door.of_workflow("/queues/sink/consumers")))["consumer"]

    (one,) = (await door.post(f"/consumers/{consumer}/step", {"call": 1, "want": 1}))["events"]
    nacked = await door.post(
        f"/consumers/{consumer}/step", {"call": 2, "nack": [[one["event"], one["fence"]]], "want": 1}
    )
    (two,) = nacked["events"]
    last = await door.post(
        f"/consumers/{consumer}/step", {"call": 3, "ack": [[two["event"], two["fence"]]], "want": 1, "wait_s": 9}
    )

    assert nacked["verdicts"] == ["requeued"]
    assert two["event"] == one["event"]
    assert last == {"events": [], "verdicts": ["done"], "drained": True}
    for _ in range(2):
        assert await door.post(f"/consumers/{consumer}/actions/close") == {}
    gone = await door.ask("POST", f"/consumers/{consumer}/step", body={"call": 4, "want": 1})
    assert gone.status_code == 410


async def test_closing_a_queue_twice_changes_nothing_and_ends_publishing(door: Door) -> None:
    path = door.of_workflow("/queues/source/actions/close")

    first = await door.post(path)
    again = await door.post(path)
    late = await door.ask("POST", door.of_workflow("/queues/source/events"), body={"events": [{"body": 1}]})
    empty = await door.post(door.of_workflow("/queues/source/events"), {"events": [], "close": True})

    assert first == again
    assert first["closed_at"] is not None
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert empty == {"events": [], "duplicates": 0, "closed": True, "differing": []}


async def test_events_are_listed_by_queue_and_state_in_pages(door: Door) -> None:
    ids = await door.publish(*range(7))
    worker = await door.enrol()
    leased = await worker.lease(3)
    await worker.step(done(leased[0], "r"), failed(leased[1]))

    seen: list[str] = []
    after = ""
    for _ in range(10):
        page = await door.get(door.of_workflow(f"/events?queue=source&limit=2{after}"))
        seen += [event["event"] for event in page["events"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    states = {
        state: [
            event["event"]
            for event in (await door.get(door.of_workflow(f"/events?state={state}&queue=source")))["events"]
        ]
        for state in ("waiting", "in_work", "done", "dead")
    }
    everywhere = await door.get(door.of_workflow("/events"))

    assert seen == ids
    assert states == {"waiting": [ids[1], *ids[3:]], "in_work": [ids[2]], "done": [ids[0]], "dead": []}
    assert [event["queue"] for event in everywhere["events"]] == ["source"] * 7 + ["sink"]
    result = await door.get(f"/events/{everywhere['events'][-1]['event']}")
    assert (result["parent"], result["queue"]) == (ids[0], "sink")
    assert (await door.get(f"/events/{ids[0]}"))["results"] == [result["event"]]


async def test_events_are_listed_with_their_bodies_as_they_were_published(door: Door) -> None:
    path = door.of_workflow("/queues/source/events")
    await door.post(path, b'{"events":[{"body": {"x": 1.10}, "key": "k"}]}')
    await door.post(path, {"events": [as_bytes(b"\0\xff")]})

    answer = await door.ask("GET", door.of_workflow("/events?bodies=true"))
    rows = answer.json()["events"]

    assert b'"body":{"x": 1.10}' in answer.content
    assert [(row["kind"], row["key"], row["body"]) for row in rows] == [
        ("json", "k", {"x": 1.1}),
        ("bytes", None, "AP8="),
    ]
    for row in rows:
        whole = await door.get(f"/events/{row['event']}")
        assert row == {name: whole[name] for name in row}
    assert set((await door.get(door.of_workflow("/events")))["events"][0]) == set(rows[0]) - {"kind", "body"}


async def test_a_page_of_long_bodies_ends_early_and_the_next_goes_on(door: Door) -> None:
    texts = [f"{number}" + "x" * (900 << 10) for number in range(11)]
    ids = [one for text in texts for one in await door.publish(text)]

    pages: list[list[str]] = []
    after = ""
    for _ in range(20):
        page = await door.get(door.of_workflow(f"/events?bodies=true&limit=9{after}"))
        pages.append([event["event"] for event in page["events"]])
        assert [event["body"] for event in page["events"]] == [texts[ids.index(one)] for one in pages[-1]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"

    assert [len(page) for page in pages] == [4, 4, 3]
    assert [one for page in pages for one in page] == ids
    assert (await door.get(door.of_workflow(f"/events?bodies=true&after={ids[-1]}"))) == {
        "events": [],
        "next_after": None,
    }


async def test_more_dead_letters_than_one_transaction_takes_are_replayed_in_order(door: Door) -> None:
    door.layout = await insert_workflow(door.parts, attempts=1, brake_attempts=0)
    ids = await door.publish(*range(1010))
    worker = await door.enrol()
    events = await worker.lease(1010)
    await worker.step(*(failed(event) for event in events))
    path = door.of_workflow("/dead-letters/actions/replay")

    named = await door.post(path, {"events": [ids[5], ids[3], ids[5]]})
    of_another = await door.post(path, {"queue": "sink"})
    rest = await door.post(path, {"queue": "source"})
    again = await worker.lease(2)

    assert (of_another["replayed"], of_another["left"]) == ([], 1008)

    assert (named["replayed"], named["left"]) == ([ids[3], ids[5]], 1008)
    assert (rest["replayed"], rest["left"]) == ([one for one in ids if one not in {ids[3], ids[5]}], 0)
    assert [event["event"] for event in again] == ids[:2]
    assert await door.counts("source") == Counts(published=1010, waiting=1008, in_work=2, failed=1010)


async def test_the_last_result_of_a_workflow_that_finishes_itself_rings_at_once(door: Door) -> None:
    door.layout = await insert_workflow(door.parts, finish_when_done=True)
    await door.publish(1, 2)
    worker = await door.enrol()
    one, two = await worker.lease(2)
    with door.parts.waking.listen("drain") as bell:
        rung = [await bell.wait(0)]
        await door.post(door.of_workflow("/queues/source/actions/close"))
        rung.append(await bell.wait(0))
        await worker.step(failed(one))
        rung.append(await bell.wait(0))
        await worker.step(done(two, "r"))
        rung.append(await bell.wait(0))

    assert rung == [False, True, False, True]
