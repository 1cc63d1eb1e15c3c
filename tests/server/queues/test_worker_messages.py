"""Do the worker's messages and the door's fit each other, and does no body change between them?"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.json_texts import HARD, TEXTS
from muster.domain.errors import InvalidError
from muster.domain.ids import render_event_id
from muster.domain.usage import NO_USAGE, Usage
from muster.server.doors.muster.workers import views
from muster.server.ports.queue_engine import Body, BodyKind, Leased
from muster.server.services.step_worker import WorkerAnswer
from muster.worker import messages
from muster.worker.messages import Handed
from muster.worker.results import render_bytes, render_json
from server.queues.running_door import Door

BODIES = TEXTS.map(lambda text: Body(BodyKind.JSON, text.encode())) | st.binary().map(
    lambda data: Body(BodyKind.BYTES, data)
)


@given(st.lists(BODIES, max_size=5))
def test_the_worker_reads_the_bodies_that_the_door_sends(bodies: list[Body]) -> None:
    leased = [Leased(number, 1, 1, body) for number, body in enumerate(bodies, 1)]

    answer = messages.parse_step_answer(views.render_step(WorkerAnswer(1, [], leased)))

    assert [(lease.kind, lease.body) for lease in answer.leases] == [
        (body.kind.name.lower(), body.data) for body in bodies
    ]


@given(st.lists(BODIES, max_size=5))
def test_the_door_reads_the_results_that_the_worker_sends(bodies: list[Body]) -> None:
    handed = [
        Handed(
            render_event_id(number),
            1,
            "done",
            (render_json if body.kind is BodyKind.JSON else render_bytes)(body.data, "a result"),
        )
        for number, body in enumerate(bodies, 1)
    ]

    call = views.parse_step(messages.render_step(1, handed, want=0, wait_s=0))

    assert [list(one.results) for one in call.finished] == [[body] for body in bodies]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (messages.Usage(1.5, 1 << 30, 12), Usage(1.5, 1 << 30, 12)),
        (messages.Usage(None, None, 0), Usage(None, None, 0)),
        (None, NO_USAGE),
    ],
)
def test_what_an_attempt_took_travels_with_it(sent: messages.Usage | None, read: Usage) -> None:
    handed = Handed(render_event_id(1), 1, "done", wall_s=2.0, usage=sent)

    [told] = views.parse_step(messages.render_step(1, [handed], want=0, wait_s=0)).finished
    [untold] = views.parse_step(messages.render_step(1, [handed], want=0, wait_s=0, with_usage=False)).finished

    assert [told.usage, untold.usage] == [read, NO_USAGE]


@pytest.mark.parametrize(
    "usage",
    [
        {"cpu_s": -1},
        {"cpu_s": 1e300},
        {"cpu_s": "much"},
        {"memory_bytes": -1},
        {"memory_bytes": 1 << 70},
        {"memory_bytes": 0.5},
        {"bytes_in": 1 << 60},
        {"gpu_s": 1},
        [],
    ],
)
def test_a_usage_that_makes_no_sense_is_refused_by_name(usage: object) -> None:
    attempt = {"event": render_event_id(1), "fence": 1, "outcome": "done", "usage": usage}

    with pytest.raises(InvalidError) as refused:
        views.parse_step(json.dumps({"call": 1, "finished": [attempt]}).encode())

    [finding] = refused.value.findings
    assert finding.field.startswith("finished[0].usage")


@pytest.mark.anyio
async def test_hard_texts_go_from_publisher_to_worker_to_consumer_as_they_were_written(door: Door) -> None:
    texts = [text.encode() for text in HARD]
    published = b",".join(b'{"body":' + text + b"}" for text in texts)
    await door.post(door.of_workflow("/queues/source/events"), b'{"events":[' + published + b"]}")
    worker = await door.enrol()

    leases = messages.parse_step_answer((await worker.ask("step", {"call": 1, "want": len(texts)})).content).leases
    handed = [Handed(one.event, one.fence, "done", render_json(one.body, "a result")) for one in leases]
    answer = await worker.ask("step", messages.render_step(2, handed, want=0, wait_s=0))
    consumer = (await door.post(door.of_workflow("/queues/sink/consumers"), {"lease_s": 30}))["consumer"]
    consumed = await door.ask("POST", f"/consumers/{consumer}/step", body={"call": 1, "want": len(texts)})

    assert [one.body for one in leases] == texts
    assert answer.json()["verdicts"] == ["done"] * len(texts)
    for text in texts:
        assert b'"body":' + text + b"," in consumed.content
