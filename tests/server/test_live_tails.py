"""Is what a task prints while it is at work shown to whom it belongs, as long as somebody looks, and in bounded memory?"""

import base64

import pytest

from muster.domain.errors import UnavailableError
from muster.server.services.live_tails import WATCH_S, WATCHED_MAX, LiveStream, LiveTails, Tail
from server.stand import NEW, NEW_TASK, OPERATOR, STRANGER, Json, Stand

pytestmark = pytest.mark.anyio

RENEW = "/muster/v1/worker/renew"
TRIED_TWICE: Json = {**NEW, "tasks": [{**NEW_TASK, "attempts": 2, "retry_s": 0}]}
NOTHING = LiveStream(b"", 0)


def tail(leased: Json, text: bytes, **more: Json) -> Json:
    data = base64.b64encode(text).decode()
    stdout = {"data": data, "size_bytes": len(text)}
    return {
        "event": leased["event"],
        "fence": leased["fence"],
        "stdout": stdout,
        "stderr": {"data": "", "size_bytes": 0},
    } | more


async def begin(stand: Stand) -> tuple[Json, Json]:
    """A worker, and the event that it is at work at."""
    workflow = await stand.submit(TRIED_TWICE)
    order = await stand.start(workflow)
    await stand.publish(workflow, 1)
    worker = await stand.enrol(order["taskforce_uuid"])
    [leased] = (await stand.step(worker, 1, want=1))["events"]
    return worker, leased


async def renew(stand: Stand, worker: Json, leased: Json, *tails: Json) -> Json:
    body = {"held": [[leased["event"], leased["fence"]]], "tails": list(tails)}
    return await stand.post(RENEW, body, by=worker["token"])


async def look(stand: Stand, leased: Json) -> Json:
    return await stand.get(f"/muster/v1/events/{leased['event']}/tail")


async def test_who_looks_has_the_worker_asked_and_sees_what_it_brings(stand: Stand) -> None:
    worker, leased = await begin(stand)
    assert (await renew(stand, worker, leased))["watched"] == []

    first = await look(stand, leased)
    asked = await renew(stand, worker, leased)
    await renew(stand, worker, leased, tail(leased, b"point 17\n"))
    second = await look(stand, leased)

    nothing = {"lease": None, "stdout": None, "stderr": None, "at": None}
    assert first == {"event": leased["event"], "state": "in_work"} | nothing
    assert asked["watched"] == [leased["event"]]
    assert second["at"] > 0
    assert second | {"at": None} == {
        "event": leased["event"],
        "state": "in_work",
        "lease": 1,
        "stdout": {"data": base64.b64encode(b"point 17\n").decode(), "size_bytes": 9},
        "stderr": {"data": "", "size_bytes": 0},
        "at": None,
    }


async def test_the_last_word_stays_a_while_and_a_new_attempt_has_its_own(stand: Stand) -> None:
    worker, leased = await begin(stand)
    await look(stand, leased)
    await renew(stand, worker, leased, tail(leased, b"first"))
    failed = {"event": leased["event"], "fence": 1, "outcome": "failed", "error": {"text": "no", "fingerprint": "no"}}
    await stand.step(worker, 2, finished=[failed])
    waiting = await look(stand, leased)
    [again] = (await stand.step(worker, 3, want=1))["events"]
    await renew(stand, worker, again, tail(again, b"second"))
    await renew(stand, worker, again, tail(leased, b"late"))
    seen = await look(stand, again)
    done = {"event": again["event"], "fence": 2, "outcome": "done", "results": []}
    await stand.step(worker, 4, finished=[done])
    over = await look(stand, again)

    assert (waiting["state"], waiting["lease"]) == ("waiting", 1)
    assert (seen["lease"], base64.b64decode(seen["stdout"]["data"])) == (2, b"second")
    assert (over["state"], over["lease"]) == ("done", 2)


async def test_nobody_speaks_for_another_ones_event(stand: Stand) -> None:
    worker, leased = await begin(stand)
    other, others = await begin(stand)
    await look(stand, leased)

    answer = await stand.post(RENEW, {"held": [[leased["event"], 1]], "tails": [tail(leased, b"x")]}, by=other["token"])
    await renew(stand, worker, leased, tail({**leased, "fence": 9}, b"x"))

    assert (answer["lost"], answer["watched"]) == ([leased["event"]], [])
    assert (await look(stand, leased))["lease"] is None
    assert others["event"] != leased["event"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event": "nonsense"}, "tails[0].event"),
        ({"stdout": {"data": "?", "size_bytes": 1}}, "tails[0].stdout.data"),
        ({"stderr": {"data": base64.b64encode(bytes(16385)).decode(), "size_bytes": 1}}, "tails[0].stderr.data"),
        ({"stdout": {"data": "", "size_bytes": -1}}, "tails[0].stdout.size_bytes"),
        ({"fence": -1}, "tails[0].fence"),
    ],
)
async def test_a_tail_that_is_none_is_refused_by_name(stand: Stand, changes: Json, field: str) -> None:
    worker, leased = await begin(stand)

    answer = await stand.ask("POST", RENEW, {"held": [], "tails": [tail(leased, b"x", **changes)]}, by=worker["token"])

    assert (answer.status_code, [one["field"] for one in answer.json()["findings"]]) == (422, [field])


async def test_owner_and_operators_see_it_and_nobody_else_makes_a_worker_speak(stand: Stand) -> None:
    worker, leased = await begin(stand)
    path = f"/muster/v1/events/{leased['event']}/tail"

    assert (await stand.ask("GET", path, by=STRANGER)).status_code == 403
    assert (await renew(stand, worker, leased))["watched"] == []
    assert (await stand.ask("GET", path, by=OPERATOR)).status_code == 200
    assert (await stand.ask("GET", "/muster/v1/events/EV-0000000000000001/tail")).status_code == 404


def test_it_is_forgotten_when_nobody_looks_and_there_are_never_too_many() -> None:
    now = [0.0]
    tails = LiveTails(clock=lambda: now[0])
    for event in range(WATCHED_MAX):
        assert tails.watch(event) is None
    with pytest.raises(UnavailableError, match="try again"):
        tails.watch(WATCHED_MAX)
    tails.keep(Tail(0, 1, NOTHING, NOTHING))
    tails.keep(Tail(999, 1, NOTHING, NOTHING))
    assert tails.list_watched([0, 999]) == [0]
    now[0] = WATCH_S / 2
    assert tails.watch(0) == Tail(0, 1, NOTHING, NOTHING)

    now[0] = WATCH_S + 1
    assert tails.list_watched(range(WATCHED_MAX)) == [0]
    now[0] = 2 * WATCH_S + 1
    assert tails.list_watched([0]) == []
    assert tails.find(0) is None
    tails.watch(WATCHED_MAX)
