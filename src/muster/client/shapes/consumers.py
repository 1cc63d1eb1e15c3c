"""How do people consume a queue?"""

import msgspec
from msgspec import Raw

from muster.client.shapes.message import Answer, Request


class LeasedEvent(Answer):
    """An event on lease."""

    event: str
    fence: int
    attempt: int
    limit: int
    kind: str
    body: Raw
    key: str | None = None


class OpenConsumer(Request):
    """POST .../queues/{alias}/consumers"""

    lease_s: float = 60.0


class Consumer(Answer):
    """A person's session on a queue."""

    consumer: str
    lease_s: float


class Consume(Request):
    """POST /muster/v1/consumers/{consumer}/step: ack what was kept, nack (release) what was not, lease the next `want`.

    `call` counts the session's calls from 1; a retry repeats it. `ack`, `nack`: `[event, fence]` pairs.
    """

    call: int
    ack: list[tuple[str, int]] = msgspec.field(default_factory=list)
    nack: list[tuple[str, int]] = msgspec.field(default_factory=list)
    want: int = 0
    wait_s: float = 0.0


class Consumed(Answer):
    """`drained`: the queue can get no more events and has none left for anybody."""

    events: list[LeasedEvent]
    verdicts: list[str]
    drained: bool
