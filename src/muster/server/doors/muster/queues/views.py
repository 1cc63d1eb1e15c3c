"""How do publishing, and the way to a queue on the broker, look on our door?"""

import msgspec

from muster.client.shapes.events import NewEventBody, Publish, PublishedView
from muster.client.shapes.workflows import QueueAccessView
from muster.domain.errors import Finding, InvalidError, TooLargeError
from muster.domain.ids import render_event_id
from muster.domain.mq_profile import GroupedProfile
from muster.domain.queue import KEY_CHARS_MAX, PUBLISH_EVENTS_MAX, Queue
from muster.server.doors.broken_text import parse_message
from muster.server.doors.judging import FINDINGS_MAX
from muster.server.ports.events import NewEvent
from muster.server.services.event_body import BodyTooLargeError, parse_body
from muster.server.services.publish_events import Publication, PublicationAnswer
from muster.server.services.queue_tokens import ShownProfile


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


def render_access(queue: Queue, shown: ShownProfile, *, has_broker: bool) -> QueueAccessView:
    """A public queue as programs reach it on the broker, with its token."""
    grouped, token = shown.grouped, shown.token
    stamp = grouped.profile.stamp
    broker = None if token is None else shown.broker
    return QueueAccessView(
        workflow_id=queue.workflow_id,
        alias=queue.alias,
        queue_id=queue.queue_id,
        is_activated=grouped.group.activated_at is not None,
        broker_type=None if broker is None else broker.kind,
        broker_address=None if broker is None else broker.login_address,
        auth_token=token,
        expires_at=None if token is None or stamp is None else stamp.expires_at,
        why=None if token is not None else _explain_no_token(grouped, has_broker=has_broker),
    )


def _explain_no_token(grouped: GroupedProfile, *, has_broker: bool) -> str:
    if not has_broker:
        return "this service has no broker (MUSTER_BROKER_URL): publish to the queue and consume from it through the service"
    if not grouped.is_live:
        return "the workflow has ended: its tokens are not made anew"
    if grouped.group.activated_at is None:
        return "the workflow's queues are not ready yet"
    return "the service has no keys to sign with (MUSTER_BROKER_PRIVATE_KEY_FILE)"


def _parse_event(message: NewEventBody) -> NewEvent:
    return NewEvent(parse_body(message.kind, bytes(message.body)), message.key)


def _find_fault_of_key(key: str) -> str | None:
    if not 1 <= len(key) <= KEY_CHARS_MAX:
        return f"has {len(key)} characters; 1 to {KEY_CHARS_MAX} are allowed"
    return "holds the character NUL" if "\0" in key else None
