"""Where do EWMS clients look for objects? (wms.md 4.7 to 4.9, 15)"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from msgspec import UnsetType

from muster.domain.caller import Role
from muster.domain.workflow import TaskDirective, Workflow
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.audit import READS
from muster.server.doors.documents import gives, takes
from muster.server.doors.ewms import shapes, shapes_v0, sources, sources_v0, views, views_v0
from muster.server.doors.ewms.versions import V0, V1, Version
from muster.server.doors.reading import read_body
from muster.server.ports.finder import Found, LoggedTaskforce, Look
from muster.server.ports.store import Transaction
from muster.server.services.find_objects import Collection, find_all, find_page, parse_wanted
from muster.server.services.parts import Parts
from muster.server.services.read_workflow import WholeTaskforce

OK = 200
EITHER = READS | {"access": roles(Role.USER, Role.SYSTEM_TMS)}
ALL_BYTES_MAX = 256 << 20
"""Bytes of an answer that has everything, for clients that know no pages."""


@dataclass(frozen=True)
class Queries:
    """What a version's queries find, and how they are asked and answered."""

    asked_type: type[shapes.FindObject | shapes_v0.FindObjectV0]
    workflows: Collection[Any]
    directives: Collection[Any]
    taskforces: Collection[Any]
    workflows_type: type[msgspec.Struct]
    directives_type: type[msgspec.Struct]
    taskforces_type: type[msgspec.Struct]


_V1: Final = Queries(
    asked_type=shapes.FindObject,
    workflows=Collection[Workflow](
        lambda tx, look: tx.finder.find_workflows(look),
        sources.WORKFLOW_SOURCES,
        lambda one: _to_json(views.render_bare_workflow(one)),
    ),
    directives=Collection[TaskDirective](
        lambda tx, look: tx.finder.find_directives(look),
        sources.DIRECTIVE_SOURCES,
        lambda one: _to_json(views.render_directive(one)),
    ),
    taskforces=Collection[LoggedTaskforce](
        lambda tx, look: tx.finder.find_taskforces(look),
        sources.TASKFORCE_SOURCES,
        lambda one: _to_json(views.render_logged_taskforce(one.taskforce, one.log)),
    ),
    workflows_type=shapes.FoundWorkflows,
    directives_type=shapes.FoundDirectives,
    taskforces_type=shapes.FoundTaskforces,
)


def _find_activated(tx: Transaction, look: Look) -> Found[tuple[Workflow, float | None]]:
    found = tx.finder.find_workflows(look)
    activated = tx.mq_groups.list_activations([one.workflow_id for _, one in found.objects])
    return Found([(number, (one, activated.get(one.workflow_id))) for number, one in found.objects], found.reached)


def _find_with_tasks(tx: Transaction, look: Look) -> Found[WholeTaskforce]:
    found = tx.finder.find_taskforces(look)
    tasks = tx.workflows.find_directives([one.taskforce.task_id for _, one in found.objects])
    whole = [
        (number, WholeTaskforce(one.taskforce, tasks[one.taskforce.task_id], one.log, workers=0))
        for number, one in found.objects
    ]
    return Found(whole, found.reached)


_V0: Final = Queries(
    asked_type=shapes_v0.FindObjectV0,
    workflows=Collection[tuple[Workflow, float | None]](
        _find_activated,
        sources_v0.WORKFLOW_SOURCES_V0,
        lambda one: _to_json(views_v0.render_activated_workflow(*one)),
    ),
    directives=Collection[TaskDirective](
        lambda tx, look: tx.finder.find_directives(look),
        sources_v0.DIRECTIVE_SOURCES_V0,
        lambda one: _to_json(views_v0.render_directive(one)),
    ),
    taskforces=Collection[WholeTaskforce](
        _find_with_tasks,
        sources_v0.TASKFORCE_SOURCES_V0,
        lambda one: _to_json(views_v0.render_taskforce(one)),
    ),
    workflows_type=shapes_v0.FoundWorkflowsV0,
    directives_type=shapes_v0.FoundDirectivesV0,
    taskforces_type=shapes_v0.FoundTaskforcesV0,
)
QUERIES: Final[Mapping[str, Queries]] = {V1.prefix: _V1, V0.prefix: _V0}


def make_handlers(version: Version) -> Sequence[HTTPRouteHandler]:
    """The routes of a version."""
    queries = QUERIES[version.prefix]
    asked = takes(queries.asked_type)

    @post(
        "/query/workflows",
        status_code=OK,
        opt=EITHER,
        operation_class=asked,
        responses=gives(OK, queries.workflows_type),
    )
    async def query_workflows(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
        """4.7"""
        return await _answer(request, parts, "workflows", queries, queries.workflows)

    @post(
        "/query/task-directives",
        status_code=OK,
        opt=READS,
        operation_class=asked,
        responses=gives(OK, queries.directives_type),
    )
    async def query_directives(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
        """4.8"""
        return await _answer(request, parts, "task_directives", queries, queries.directives)

    @post(
        "/query/taskforces",
        status_code=OK,
        opt=EITHER,
        operation_class=asked,
        responses=gives(OK, queries.taskforces_type),
    )
    async def query_taskforces(request: SignedIn, parts: NamedDependency[Parts]) -> Response[bytes]:
        """4.9"""
        return await _answer(request, parts, "taskforces", queries, queries.taskforces)

    return (query_workflows, query_directives, query_taskforces)


async def _answer(
    request: SignedIn, parts: Parts, key: str, queries: Queries, collection: Collection[Any]
) -> Response[bytes]:
    """A page, or all there is, as the version has it."""
    asked = await read_body(request, queries.asked_type)
    projection = None if isinstance(asked.projection, UnsetType) else asked.projection
    answer: dict[str, Any] = {}
    if isinstance(asked, shapes.FindObject):
        wanted = parse_wanted(asked.query, projection=projection, after=asked.after)
        page = await find_page(parts, collection, wanted)
        objects, answer["next_after"] = page.objects, page.next_after
    else:
        wanted = parse_wanted(asked.query, projection=projection)
        objects = await find_all(parts, collection, wanted, bytes_max=ALL_BYTES_MAX)
    body = msgspec.json.encode({key: [msgspec.Raw(one) for one in objects]} | answer)
    return Response(body, status_code=OK, media_type=MediaType.JSON)


def _to_json(shown: msgspec.Struct) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(shown)
    return document
