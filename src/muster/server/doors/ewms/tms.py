"""Where does upstream's task management service ask and report? (wms.md 4.13 to 4.18)

A 4xx ends its process, so what can be taken is taken; what the table refuses is written down and answered with 200.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from msgspec import UNSET, UnsetType

from muster.domain.caller import Role
from muster.domain.errors import Finding, InvalidError
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.audit import note_tokens
from muster.server.doors.documents import gives, takes
from muster.server.doors.ewms.naming import said
from muster.server.doors.ewms.shapes import (
    CondorComplete,
    CondorSubmit,
    Failed,
    StatusResult,
    StatusResults,
    StatusUpdate,
    TaskforceUuid,
)
from muster.server.doors.ewms.versions import Version
from muster.server.doors.muster.sites.policy import check_time, judge_cluster
from muster.server.doors.reading import SMALL_BODY_BYTES_MAX, parse_body, read_body
from muster.server.services import offer_upstream
from muster.server.services import record_site_report as reports
from muster.server.services.parts import Parts
from muster.server.services.record_site_report import Cluster
from muster.server.services.record_statuses import StatusReport, record_statuses

OK, SOME_FAILED = 200, 207
EITHER = {"access": roles(Role.USER, Role.SYSTEM_TMS)}
AGENT = {"access": roles(Role.SYSTEM_TMS)}


@post("/tms/condor-submit/taskforces/{uuid:str}", status_code=OK, opt=AGENT, operation_class=takes(CondorSubmit))
async def condor_submit(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceUuid:
    """4.14"""
    told = await read_body(request, CondorSubmit)
    findings = list(judge_cluster(cluster_id=told.cluster_id, n_workers=told.n_workers, fpath=told.job_event_log_fpath))
    if findings:
        raise InvalidError(findings)
    cluster = Cluster(told.cluster_id, told.n_workers, told.submit_dict, told.job_event_log_fpath)
    with said(f"no 'pending-starter' taskforce found with uuid: {uuid}", uuid):
        await reports.record_submitted(parts, uuid, None, cluster)
    return TaskforceUuid(uuid)


@post(
    "/tms/condor-submit/taskforces/{uuid:str}/failed",
    status_code=OK,
    opt=AGENT,
    operation_class=takes(Failed, is_needed=False),
)
async def condor_submit_failed(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceUuid:
    """4.14, failed"""
    told = await _read_failed(request)
    with said(f"no 'pending-starter' taskforce found with uuid: {uuid}", uuid):
        await reports.record_submit_failed(parts, uuid, None, told.error)
    return TaskforceUuid(uuid)


@post("/tms/condor-rm/taskforces/{uuid:str}", status_code=OK, opt=AGENT)
async def condor_rm(parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceUuid:
    """4.16"""
    with said(f"no taskforce found with uuid: {uuid}", uuid):
        await reports.record_removed(parts, uuid, None)
    return TaskforceUuid(uuid)


@post(
    "/tms/condor-rm/taskforces/{uuid:str}/failed",
    status_code=OK,
    opt=AGENT,
    operation_class=takes(Failed, is_needed=False),
)
async def condor_rm_failed(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceUuid:
    """4.16, failed"""
    told = await _read_failed(request)
    with said(f"no taskforce found with uuid: {uuid}", uuid):
        await reports.record_remove_failed(parts, uuid, None, told.error)
    return TaskforceUuid(uuid)


@post(
    "/tms/statuses/taskforces",
    status_code=OK,
    opt=AGENT,
    request_max_body_size=SMALL_BODY_BYTES_MAX,
    operation_class=takes(StatusUpdate),
    responses=gives(SOME_FAILED, StatusResults),
)
async def statuses(request: SignedIn, parts: NamedDependency[Parts]) -> Response[StatusResults]:
    """4.17"""
    told = await read_body(request, StatusUpdate)
    report = StatusReport(
        compound_statuses=_require_some(told.compound_statuses_by_taskforce, "compound_statuses_by_taskforce"),
        top_task_errors=_require_some(told.top_task_errors_by_taskforce, "top_task_errors_by_taskforce"),
    )
    recorded = await record_statuses(parts, report)
    failed = [StatusResult(uuid, "failed", "no taskforce found with uuid") for uuid in recorded.unknown]
    results = StatusResults([*failed, *(StatusResult(uuid, "updated") for uuid in recorded.updated)])
    return Response(results, status_code=SOME_FAILED if failed else OK)


@post("/tms/condor-complete/taskforces/{uuid:str}", status_code=OK, opt=AGENT, operation_class=takes(CondorComplete))
async def condor_complete(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceUuid:
    """4.18"""
    told = await read_body(request, CondorComplete)
    at = check_time(told.condor_complete_ts, field="condor_complete_ts")
    with said(f"no non-condor-completed taskforce found with uuid: {uuid}", uuid):
        await reports.record_completed(parts, uuid, None, at=at)
    return TaskforceUuid(uuid)


def make_handlers(version: Version) -> Sequence[HTTPRouteHandler]:
    """The routes of a version."""

    @get("/tms/pending-starter/taskforces", opt=EITHER, responses=gives(OK, version.offer_type))
    async def pending_starter(
        request: SignedIn,
        parts: NamedDependency[Parts],
        schedd: FromQuery[str | None] = None,
        collector: FromQuery[str | None] = None,
    ) -> Response[Any]:
        """4.13. `{}`: there is nothing to start. The queues' tokens are for who starts the workers, not for who looks on."""
        is_agent = Role.SYSTEM_TMS in request.user.roles
        asked = _read_agent(version, schedd, collector)
        await offer_upstream.note_agent(parts, request.user, asked[0])
        found = await offer_upstream.find_start(parts, *asked, with_tokens=is_agent)
        note_tokens(request, () if found is None else found.profiles)
        return Response({} if found is None else version.render_offer(found))

    @get("/tms/pending-stopper/taskforces", opt=EITHER, responses=gives(OK, version.taskforce_type))
    async def pending_stopper(
        request: SignedIn,
        parts: NamedDependency[Parts],
        schedd: FromQuery[str | None] = None,
        collector: FromQuery[str | None] = None,
    ) -> Response[Any]:
        """4.15. `{}`: there is nothing to stop."""
        asked = _read_agent(version, schedd, collector)
        await offer_upstream.note_agent(parts, request.user, asked[0])
        is_agent = Role.SYSTEM_TMS in request.user.roles
        found = await offer_upstream.find_stop(parts, *asked, with_queues=version.shows_queues, with_tokens=is_agent)
        note_tokens(request, () if found is None else found.profiles)
        return Response({} if found is None else version.render_offered(found))

    return (
        pending_starter,
        pending_stopper,
        condor_submit,
        condor_submit_failed,
        condor_rm,
        condor_rm_failed,
        statuses,
        condor_complete,
    )


def _read_agent(version: Version, schedd: str | None, collector: str | None) -> tuple[str, str | None]:
    """Who asks. `/v1` passes a collector over (wms.md 4.13). Raises InvalidError for one that does not say."""
    given = {"collector": collector, "schedd": schedd} if version.needs_collector else {"schedd": schedd}
    findings = [
        Finding("", f"Missing required query parameter: {name}")
        for name, value in given.items()
        if not value or "\0" in value
    ]
    if findings:
        raise InvalidError(findings)
    return given["schedd"] or "", given.get("collector")


def _require_some(told: dict[str, Any] | UnsetType, field: str) -> dict[str, Any]:
    """A field that is sent names at least one taskforce."""
    if told is UNSET:
        return {}
    if not told:
        raise InvalidError([Finding(field, "must have at least 1 entries")])
    return told


async def _read_failed(request: SignedIn) -> Failed:
    """Upstream's agent sends `{}`, which is as good as nothing."""
    raw = await request.body()
    return parse_body(raw, Failed) if raw.strip() else Failed()
