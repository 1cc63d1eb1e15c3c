"""Where is a taskforce looked at, where are the workers of a workflow, and where is a taskforce released?"""

import re
from collections.abc import Sequence
from typing import Annotated

from litestar import get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter

from muster.client.shapes.workers import WorkerPage
from muster.client.shapes.workflows import TaskforceView
from muster.domain.caller import Role
from muster.domain.errors import Finding, InvalidError
from muster.domain.ids import TASKFORCE_UUID, WORKFLOW_ID
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.muster.taskforces.views import render_taskforce, render_workers
from muster.server.doors.reading import parse_id
from muster.server.services.list_workers import WorkerSearch, list_workers
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import get_taskforce
from muster.server.services.release_taskforce import release_taskforce

LIMIT_DEFAULT = 100
LIMIT_MAX = 1000
SESSION = re.compile(r"[0-9]{1,18}", re.ASCII)

Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)]


@get("/workflows/{workflow_id:str}/workers")
async def list_up(
    parts: NamedDependency[Parts],
    workflow_id: FromPath[str],
    taskforce: FromQuery[str | None] = None,
    after: FromQuery[str | None] = None,
    limit: Limit = LIMIT_DEFAULT,
) -> WorkerPage:
    """The workers that are up now, of all of its taskforces or of one, the oldest first."""
    findings: list[Finding] = []
    if taskforce is not None and TASKFORCE_UUID.fullmatch(taskforce) is None:
        findings.append(Finding("taskforce", f"{taskforce[:40]!r} is not the uuid of a taskforce"))
    if after is not None and SESSION.fullmatch(after) is None:
        findings.append(Finding("after", "must be the `next_after` of a page"))
    if findings:
        raise InvalidError(findings)
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    search = WorkerSearch(workflow_id, taskforce, int(after or 0), limit)
    return render_workers(search, *await list_workers(parts, search))


@get("/taskforces/{uuid:str}", opt={"access": roles(Role.USER, Role.SYSTEM_TMS)})
async def show(parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceView:
    """A taskforce, every field."""
    parse_id(TASKFORCE_UUID, uuid, what="taskforce")
    return render_taskforce(await get_taskforce(parts, uuid))


@post("/taskforces/{uuid:str}/actions/release", status_code=200)
async def release(request: SignedIn, parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceView:
    """Try again to start or to stop a taskforce that is held. One that is not held stays as it is."""
    parse_id(TASKFORCE_UUID, uuid, what="taskforce")
    return render_taskforce(await release_taskforce(parts, request.user, uuid))


handlers: Sequence[HTTPRouteHandler] = (list_up, show, release)
