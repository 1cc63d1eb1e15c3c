"""Where do EWMS clients look for objects? (wms.md 4.7 to 4.9, 15)"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from msgspec import UnsetType

from muster.domain.caller import Role
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import TaskDirective, Workflow
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.ewms.shapes import FindObject
from muster.server.doors.ewms.views import DEACTIVATED, render_directive, render_logged_taskforce, render_workflow
from muster.server.doors.reading import read_body
from muster.server.ports.finder import Attribute, Log, LoggedTaskforce, Source, Words
from muster.server.services.find_objects import Collection, find_page, parse_wanted
from muster.server.services.parts import Parts

OK = 200
EITHER = {"access": roles(Role.USER, Role.SYSTEM_TMS)}


def _as_they_are(*names: str) -> Mapping[str, Source]:
    return {name: Attribute(name) for name in names}


WORKFLOW_SOURCES: Final[Mapping[str, Source]] = {
    **_as_they_are("workflow_id", "priority"),
    "timestamp": Attribute("created_at"),
    "deactivated": Words("state", DEACTIVATED),
    "deactivated_ts": Attribute("ended_at"),
}
DIRECTIVE_SOURCES: Final[Mapping[str, Source]] = {
    **_as_they_are("task_id", "workflow_id", "cluster_locations", "task_image", "task_args", "task_env"),
    **_as_they_are("init_image", "init_args", "init_env", "input_queues", "output_queues"),
    "timestamp": Attribute("created_at"),
}
TASKFORCE_SOURCES: Final[Mapping[str, Source]] = {
    **_as_they_are("taskforce_uuid", "task_id", "workflow_id", "priority", "collector", "schedd", "n_workers"),
    **_as_they_are("worker_config", "pilot_config", "cluster_id", "submit_dict", "job_event_log_fpath"),
    **_as_they_are("compound_statuses", "top_task_errors"),
    "timestamp": Attribute("created_at"),
    "phase": Words("phase", {phase: phase.value for phase in Phase}),
    "phase_change_log": Log(
        {
            "target_phase": "target_phase",
            "timestamp": "at",
            "was_successful": "was_successful",
            "source_event_time": "source_event_time",
            "source_entity": "source_entity",
            "context": "context",
        }
    ),
}
"""Where in what we keep the fields of `views` come from."""


WORKFLOWS: Final = Collection[Workflow](
    lambda tx, look: tx.finder.find_workflows(look),
    WORKFLOW_SOURCES,
    lambda one: _to_json(render_workflow(one)),
)
DIRECTIVES: Final = Collection[TaskDirective](
    lambda tx, look: tx.finder.find_directives(look),
    DIRECTIVE_SOURCES,
    lambda one: _to_json(render_directive(one)),
)
TASKFORCES: Final = Collection[LoggedTaskforce](
    lambda tx, look: tx.finder.find_taskforces(look),
    TASKFORCE_SOURCES,
    lambda one: _to_json(render_logged_taskforce(one.taskforce, one.log)),
)


@post("/query/workflows", status_code=OK, opt=EITHER)
async def query_workflows(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """4.7"""
    return await _answer(request, parts, "workflows", WORKFLOWS)


@post("/query/task-directives", status_code=OK)
async def query_directives(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """4.8"""
    return await _answer(request, parts, "task_directives", DIRECTIVES)


@post("/query/taskforces", status_code=OK, opt=EITHER)
async def query_taskforces(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
    """4.9"""
    return await _answer(request, parts, "taskforces", TASKFORCES)


handlers: Sequence[HTTPRouteHandler] = (query_workflows, query_directives, query_taskforces)


async def _answer(request: SignedIn, parts: Parts, key: str, collection: Collection[Any]) -> Response[bytes]:
    asked = await read_body(request, FindObject)
    wanted = parse_wanted(
        asked.query, projection=None if isinstance(asked.projection, UnsetType) else asked.projection, after=asked.after
    )
    page = await find_page(parts, collection, wanted)
    body = msgspec.json.encode({key: [msgspec.Raw(one) for one in page.objects], "next_after": page.next_after})
    return Response(body, status_code=OK, media_type=MediaType.JSON)


def _to_json(shown: msgspec.Struct) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(shown)
    return document
