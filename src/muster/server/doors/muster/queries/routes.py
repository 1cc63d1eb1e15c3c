"""Where are workflows, tasks and taskforces found by a filter?"""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from msgspec import UnsetType

from muster.client.shapes.queries import FoundPage, Query
from muster.domain.caller import Role
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.audit import READS
from muster.server.doors.documents import gives, takes
from muster.server.doors.muster.queries.collections import TASKFORCES, TASKS, WORKFLOWS
from muster.server.doors.reading import read_body
from muster.server.services.find_objects import Collection, find_page, parse_wanted
from muster.server.services.parts import Parts

OK = 200
_ASKED, _ANSWER = takes(Query), gives(OK, FoundPage)


@post("/query/workflows", status_code=OK, opt=READS, operation_class=_ASKED, responses=_ANSWER)
async def query_workflows(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """Workflows as the list of them shows them, by a filter."""
    return await _answer(request, parts, WORKFLOWS)


@post("/query/tasks", status_code=OK, opt=READS, operation_class=_ASKED, responses=_ANSWER)
async def query_tasks(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """Tasks, by a filter."""
    return await _answer(request, parts, TASKS)


@post(
    "/query/taskforces",
    status_code=OK,
    opt=READS | {"access": roles(Role.USER, Role.SYSTEM_TMS)},
    operation_class=_ASKED,
    responses=_ANSWER,
)
async def query_taskforces(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """Taskforces, by a filter."""
    return await _answer(request, parts, TASKFORCES)


handlers: Sequence[HTTPRouteHandler] = (query_workflows, query_tasks, query_taskforces)


async def _answer(request: SignedIn, parts: Parts, collection: Collection[Any]) -> Response[bytes]:
    """A page."""
    asked = await read_body(request, Query)
    projection = None if isinstance(asked.projection, UnsetType) else asked.projection
    wanted = parse_wanted(
        asked.query, projection=projection, after=asked.after, newest_first=asked.newest_first, limit=asked.limit
    )
    page = await find_page(parts, collection, wanted)
    body = msgspec.json.encode({"objects": [msgspec.Raw(one) for one in page.objects], "next_after": page.next_after})
    return Response(body, status_code=OK, media_type=MediaType.JSON)
