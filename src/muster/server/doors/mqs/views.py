"""How do groups of queues, and keys, look to clients of the queue service? Exactly upstream's fields, nothing of ours."""

from collections.abc import Iterator, Sequence

from muster.domain.errors import Finding, InvalidError
from muster.domain.mq_profile import MqGroup
from muster.domain.queue_token import PublicKey
from muster.server.doors.mq_profiles import render_profile
from muster.server.doors.mqs.shapes import GroupAnswer, KeyObject, KeySetObject, MQGroupObject, OldReservation
from muster.server.services.reserve_queues import ShownGroup

ALIASES_MAX = 1000
"""Queues of one group."""
ALIAS_CHARS_MAX = 2000
WORKFLOW_ID_CHARS_MAX = 200


def check_reservation(workflow_id: str, wanted: OldReservation, *, may_be_empty: bool) -> None:
    """Raises InvalidError, naming everything that cannot be kept."""
    if findings := list(_judge(workflow_id, wanted, may_be_empty=may_be_empty)):
        raise InvalidError(findings)


def _judge(workflow_id: str, wanted: OldReservation, *, may_be_empty: bool) -> Iterator[Finding]:
    if len(workflow_id) > WORKFLOW_ID_CHARS_MAX:
        yield Finding("workflow_id", f"must be at most {WORKFLOW_ID_CHARS_MAX} characters; it has {len(workflow_id)}")
    count = len(wanted.queue_aliases)
    if not count and not may_be_empty:
        yield Finding("queue_aliases", "must have at least 1 items")
    if count > ALIASES_MAX:
        yield Finding("queue_aliases", f"must have no more than {ALIASES_MAX} items; it has {count}")
    for index, alias in enumerate(wanted.queue_aliases[:ALIASES_MAX]):
        if len(alias) > ALIAS_CHARS_MAX or "\0" in alias:
            reason = f"is {alias[:100]!r}; must be at most {ALIAS_CHARS_MAX} characters, without NUL"
            yield Finding(f"queue_aliases[{index}]", reason)


def render_group(group: MqGroup) -> MQGroupObject:
    """mqs.md 5"""
    criteria = None if group.criteria is None else dict(group.criteria)
    return MQGroupObject(group.workflow_id, group.created_at, criteria)


def render_shown_group(shown: ShownGroup) -> GroupAnswer:
    """A group with its profiles."""
    return GroupAnswer(render_group(shown.group), [render_profile(one) for one in shown.profiles])


def render_keys(keys: Sequence[PublicKey]) -> KeySetObject:
    """The keys by which the broker verifies tokens, which are RSA."""
    return KeySetObject([KeyObject(one.kid, "RSA", ["verify"], one.n, one.e) for one in keys])
