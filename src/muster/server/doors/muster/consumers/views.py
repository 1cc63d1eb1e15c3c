"""How do consumers look on our door?"""

import re

from muster.client.shapes.consumers import Consume, Consumed, Consumer, OpenConsumer
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.domain.ids import parse_event_id
from muster.server.doors.broken_text import parse_message
from muster.server.doors.muster.events.views import render_leased
from muster.server.services.consume_events import ConsumerAnswer, ConsumerCall, ConsumerId

LEASE_S_MIN = 1.0
LEASE_S_MAX = 86_400.0

_CONSUMER_ID = re.compile(r"CO-([0-9a-f]{1,16})-([0-9a-f]{1,8})")


def render_consumer(consumer: ConsumerId) -> Consumer:
    """The consumer's name holds its session and its lease in milliseconds."""
    return Consumer(f"CO-{consumer.session:x}-{round(consumer.lease_s * 1000):x}", consumer.lease_s)


def parse_consumer_id(text: str) -> ConsumerId:
    """Raises NotFoundError for a text that names none."""
    match = _CONSUMER_ID.fullmatch(text)
    session, lease_s = (int(match[1], 16), int(match[2], 16) / 1000) if match else (0, 0.0)
    if not (0 < session < 1 << 63 and LEASE_S_MIN <= lease_s <= LEASE_S_MAX):
        raise NotFoundError("no consumer is named so")
    return ConsumerId(session, lease_s)


def parse_lease_s(raw: bytes) -> float:
    """How long the new consumer's leases last; an empty body takes the default. Raises UnreadableError, InvalidError."""
    message = parse_message(raw, OpenConsumer) if raw.strip() else OpenConsumer()
    if not LEASE_S_MIN <= message.lease_s <= LEASE_S_MAX:
        raise InvalidError([Finding("lease_s", f"must be {LEASE_S_MIN:g} to {LEASE_S_MAX:g} seconds")])
    return message.lease_s


def parse_consume(raw: bytes) -> ConsumerCall:
    """Raises UnreadableError, InvalidError."""
    message = parse_message(raw, Consume)
    findings: list[Finding] = []
    if not 1 <= message.call <= 1 << 53:
        findings.append(Finding("call", "must be 1 or more"))
    if not 0 <= message.want < 1 << 31:
        findings.append(Finding("want", "must be 0 or more"))
    if not 0 <= message.wait_s <= 1e9:
        findings.append(Finding("wait_s", "must be 0 or more"))
    acked = _parse_pairs(message.ack, "ack", findings)
    nacked = _parse_pairs(message.nack, "nack", findings)
    if findings:
        raise InvalidError(findings)
    return ConsumerCall(message.call, acked, nacked, message.want, message.wait_s)


def render_consumed(answer: ConsumerAnswer) -> Consumed:
    """The answer of a step; verdicts of `ack`, then of `nack`."""
    return Consumed(
        events=[render_leased(leased) for leased in answer.leased],
        verdicts=[verdict.value for verdict in answer.verdicts],
        drained=answer.drained,
    )


def _parse_pairs(pairs: list[tuple[str, int]], path: str, findings: list[Finding]) -> list[tuple[int, int]]:
    parsed: list[tuple[int, int]] = []
    for index, (text, fence) in enumerate(pairs):
        event = parse_event_id(text)
        if event is None:
            findings.append(Finding(f"{path}[{index}]", f"{text[:40]!r} is not an event id"))
        elif not 0 <= fence < 1 << 31:
            findings.append(Finding(f"{path}[{index}]", "the fence is not one that was given"))
        else:
            parsed.append((event, fence))
    return parsed
