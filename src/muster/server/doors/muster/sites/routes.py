"""Where do our site agents claim and report?"""

from collections.abc import Sequence

from litestar import post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.sites import (
    Claim,
    Claims,
    Completed,
    PhaseAnswer,
    Removed,
    SiteFailure,
    SiteReport,
    Submitted,
)
from muster.domain.caller import Role
from muster.domain.ids import TASKFORCE_UUID
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.connection import while_connected
from muster.server.doors.documents import takes
from muster.server.doors.muster.sites.policy import check_agent, check_claim, check_submitted, check_time
from muster.server.doors.muster.sites.views import parse_report, render_claims, render_phase
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, parse_id, read_body
from muster.server.services import record_site_report as reports
from muster.server.services.claim_taskforces import ClaimRequest, claim_taskforces
from muster.server.services.parts import Parts
from muster.server.services.record_site_report import Cluster, HeldClaim
from muster.server.services.record_statuses import record_statuses

_AGENT = {"access": roles(Role.SYSTEM_TMS)}


@post(
    "/site/claims",
    status_code=200,
    opt=_AGENT,
    operation_class=takes(Claim),
    request_max_body_size=SMALL_BODY_BYTES_MAX,
)
async def claim(request: SignedIn, parts: NamedDependency[Parts]) -> Claims:
    """Take taskforces to start and to stop; parks when there are none."""
    wanted = await read_body(request, Claim)
    check_claim(wanted)
    claim_request = ClaimRequest(
        agent=wanted.agent,
        locations=wanted.locations,
        limit=wanted.limit,
        wait_s=wanted.wait_s,
        lease_s=wanted.lease_s,
        held=frozenset(wanted.held),
    )
    claimed = await while_connected(request, lambda: claim_taskforces(parts, claim_request))
    return render_claims(claimed, worker_key=parts.worker_key, lease_s=wanted.lease_s)


@post("/site/taskforces/{uuid:str}/submitted", status_code=200, opt=_AGENT, operation_class=takes(Submitted))
async def submitted(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> PhaseAnswer:
    """A cluster exists."""
    _check(uuid)
    told = await read_body(request, Submitted)
    check_submitted(told)
    cluster = Cluster(told.cluster_id, told.n_workers, told.submit_dict, told.job_event_log_fpath)
    return render_phase(await reports.record_submitted(parts, uuid, HeldClaim(told.agent, told.fence), cluster))


@post("/site/taskforces/{uuid:str}/submit-failed", status_code=200, opt=_AGENT, operation_class=takes(SiteFailure))
async def submit_failed(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> PhaseAnswer:
    """Submitting failed; after too many times in a row, or a `final` one, the taskforce is held."""
    _check(uuid)
    told = await read_body(request, SiteFailure)
    held = _held(told.agent, told.fence)
    return render_phase(await reports.record_submit_failed(parts, uuid, held, told.error, final=told.final))


@post("/site/taskforces/{uuid:str}/removed", status_code=200, opt=_AGENT, operation_class=takes(Removed))
async def removed(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> PhaseAnswer:
    """The cluster was removed."""
    _check(uuid)
    told = await read_body(request, Removed)
    return render_phase(await reports.record_removed(parts, uuid, _held(told.agent, told.fence)))


@post("/site/taskforces/{uuid:str}/remove-failed", status_code=200, opt=_AGENT, operation_class=takes(SiteFailure))
async def remove_failed(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> PhaseAnswer:
    """Removing the cluster failed."""
    _check(uuid)
    told = await read_body(request, SiteFailure)
    held = _held(told.agent, told.fence)
    return render_phase(await reports.record_remove_failed(parts, uuid, held, told.error, final=told.final))


@post("/site/taskforces/{uuid:str}/completed", status_code=200, opt=_AGENT, operation_class=takes(Completed))
async def completed(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> PhaseAnswer:
    """No worker is left."""
    _check(uuid)
    told = await read_body(request, Completed)
    at = check_time(told.at, field="at")
    return render_phase(await reports.record_completed(parts, uuid, _held(told.agent, told.fence), at=at))


@post(
    "/site/reports",
    status_code=200,
    opt=_AGENT,
    operation_class=takes(SiteReport),
    request_max_body_size=SMALL_BODY_BYTES_MAX,
)
async def report(request: SignedIn, parts: NamedDependency[Parts]) -> dict[str, list[str]]:
    """How workers fare; each field that is sent replaces the one before."""
    told = await read_body(request, SiteReport)
    check_agent(told.agent)
    recorded = await record_statuses(parts, parse_report(told))
    return {"unknown": list(recorded.unknown)}


handlers: Sequence[HTTPRouteHandler] = (claim, submitted, submit_failed, removed, remove_failed, completed, report)


def _check(uuid: str) -> None:
    parse_id(TASKFORCE_UUID, uuid, what="taskforce")


def _held(agent: str, fence: int) -> HeldClaim:
    check_agent(agent)
    return HeldClaim(agent, fence)
