"""How do hosts look on our door?"""

from collections.abc import Sequence

from muster.client.shapes.hosts import Hosts, HostView
from muster.domain.hosts import HostRecord


def render_hosts(workflow_id: str, records: Sequence[HostRecord], at: float) -> Hosts:
    """The hosts of a workflow."""
    return Hosts(workflow_id, at, [_render(one, at) for one in records])


def _render(record: HostRecord, at: float) -> HostView:
    is_resting = record.is_resting(at=at)
    return HostView(
        task_id=record.task_id,
        host=record.host,
        site=record.site,
        done=record.done,
        failed=record.failed,
        blamed=record.blamed,
        fingerprint=record.fingerprint,
        failed_at=record.failed_at,
        rests_until=record.rests_until if is_resting else None,
        reason=record.reason if is_resting else None,
        trusted_at=record.trusted_at,
        trusted_by=record.trusted_by,
    )
