"""How does publishing look on our door?"""

import msgspec

from muster.client.shapes.events import NewEventBody, Publish, PublishedView
from muster.domain.errors import Finding, InvalidError, TooLargeError
from muster.domain.ids import render_event_id
from muster.domain.queue import KEY_CHARS_MAX, PUBLISH_EVENTS_MAX
from muster.server.doors.broken_text import parse_message
from muster.server.doors.judging import FINDINGS_MAX
from muster.server.ports.events import NewEvent
from muster.server.services.event_body import BodyTooLargeError, parse_body
from muster.server.services.publish_events import Publication, PublicationAnswer


def parse_publication(raw: bytes, *, workflow_id: str, alias: str) -> Publication:
    """Read a publish call.

    Raises:
        UnreadableError: it is not JSON.
        InvalidError: some event must not be published; every fault is a finding.
        TooLargeError: too many events, or a body over 1 MiB.
    """
    message = parse_message(raw, Publish)
    if len(message.events) > PUBLISH_EVENTS_MAX:
        raise TooLargeError(f"events: {len(message.events)} in one call; at most {PUBLISH_EVENTS_MAX} are allowed")
    if not message.events and not message.close:
        raise InvalidError([Finding("events", "is empty; that makes sense only together with `close`")])
    findings: list[Finding] = []
    oversized: list[Finding] = []
    events: list[NewEvent] = []
    for index, one in enumerate(message.events):
        if one.key is not None and (reason := _find_fault_of_key(one.key)) is not None:
            findings.append(Finding(f"events[{index}].key", reason))
        try:
            events.append(_parse_event(one))
        except BodyTooLargeError as error:
            oversized.append(Finding(f"events[{index}].body", str(error)))
        except ValueError as error:
            findings.append(Finding(f"events[{index}].body", str(error)))
    if findings:
        raise InvalidError(findings[:FINDINGS_MAX])
    if oversized:
        raise TooLargeError("; ".join(map(str, oversized[:20])))
    return Publication(workflow_id, alias, events, close=message.close)


def render_published(answer: PublicationAnswer) -> bytes:
    """The answer of a publish call, as it is stored for a repeat."""
    return msgspec.json.encode(
        PublishedView(
            events=[render_event_id(one.event) for one in answer.published],
            duplicates=sum(not one.is_new for one in answer.published),
            closed=answer.closed,
            differing=[place for place, one in enumerate(answer.published) if one.is_other],
        )
    )


def _parse_event(message: NewEventBody) -> NewEvent:
    return NewEvent(parse_body(message.kind, bytes(message.body)), message.key)


def _find_fault_of_key(key: str) -> str | None:
    if not 1 <= len(key) <= KEY_CHARS_MAX:
        return f"has {len(key)} characters; 1 to {KEY_CHARS_MAX} are allowed"
    return "holds the character NUL" if "\0" in key else None
