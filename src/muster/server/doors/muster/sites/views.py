"""How do orders and answers to a site's agent look, and its reports?"""

import msgspec

from muster.client.shapes.sites import Claims, Expected, PhaseAnswer, SiteReport, StartOrder, StopOrder
from muster.domain.pool_facts import PoolFacts
from muster.server.services.claim_taskforces import Claimed
from muster.server.services.record_site_report import PhaseNow
from muster.server.services.record_statuses import StatusReport
from muster.server.services.worker_token import enrolment_secret


def render_claims(claimed: Claimed, *, worker_key: bytes, lease_s: float) -> Claims:
    """Orders under claim. The secret is the same whenever it is asked for."""
    return Claims(
        start=[
            StartOrder(
                taskforce_uuid=one.taskforce.taskforce_uuid,
                workflow_id=one.taskforce.workflow_id,
                task_id=one.taskforce.task_id,
                location=one.taskforce.location,
                schedd=one.taskforce.schedd,
                fence=one.taskforce.claim_fence,
                n_workers=one.taskforce.n_workers,
                task_image=one.directive.task_image,
                worker_config=dict(one.taskforce.worker_config),
                pilot_config=dict(one.taskforce.pilot_config),
                secret=enrolment_secret(worker_key, one.taskforce.taskforce_uuid),
            )
            for one in claimed.start
        ],
        stop=[
            StopOrder(
                taskforce_uuid=one.taskforce.taskforce_uuid,
                schedd=one.taskforce.schedd,
                fence=one.taskforce.claim_fence,
                cluster_id=one.taskforce.cluster_id,
                grace_s=one.grace_s,
            )
            for one in claimed.stop
        ],
        lost=list(claimed.lost),
        lease_s=lease_s,
        expected=[Expected(one.taskforce_uuid, one.claim_fence) for one in claimed.expected],
    )


def render_phase(now: PhaseNow) -> PhaseAnswer:
    """What a report did."""
    return PhaseAnswer(now.taskforce_uuid, now.phase.value, now.accepted)


def parse_report(told: SiteReport) -> StatusReport:
    """What an agent says of its taskforces."""
    return StatusReport(
        told.compound_statuses,
        told.top_task_errors,
        told.agent,
        facts={uuid: PoolFacts(**msgspec.structs.asdict(one)) for uuid, one in told.facts.items()},
        reasons=told.reasons,
    )
