"""Where is a taskforce looked at?"""

from collections.abc import Sequence

from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.workflows import TaskforceView
from muster.domain.caller import Role
from muster.domain.ids import TASKFORCE_UUID
from muster.server.doors.access import roles
from muster.server.doors.muster.taskforces.views import render_taskforce
from muster.server.doors.reading import parse_id
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import get_taskforce


@get("/taskforces/{uuid:str}", opt={"access": roles(Role.USER, Role.SYSTEM_TMS)})
async def show(parts: NamedDependency[Parts], uuid: FromPath[str]) -> TaskforceView:
    """A taskforce, every field."""
    parse_id(TASKFORCE_UUID, uuid, what="taskforce")
    return render_taskforce(await get_taskforce(parts, uuid))


handlers: Sequence[HTTPRouteHandler] = (show,)
