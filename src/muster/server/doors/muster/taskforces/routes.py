"""Where is a taskforce looked at, and where is it released?"""

from collections.abc import Sequence

from litestar import get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.workflows import TaskforceView
from muster.domain.caller import Role
from muster.domain.ids import TASKFORCE_UUID
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.muster.taskforces.views import render_taskforce
from muster.server.doors.reading import parse_id
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import get_taskforce
from muster.server.services.release_taskforce import release_taskforce


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


handlers: Sequence[HTTPRouteHandler] = (show, release)
