"""How are the doors described to programs? An OpenAPI document each, with the bodies that the routes read themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPMethod, HTTPStatus
from importlib.metadata import metadata
from typing import Any, ClassVar

import msgspec
from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
)

from muster.server.doors.access import ANYONE, CHECKED_BY_ROUTE, PUBLIC
from muster.server.doors.event_stream import MEDIA_TYPE
from muster.server.doors.links import add_links

_FRAMEWORKS = "/muster/v1/openapi"
_REF = "#/components/schemas/{name}"
_BEARER = "token"


class _Described(Operation):
    """An operation that knows the struct of its body."""

    body_type: ClassVar[type[msgspec.Struct]]


@cache
def takes(type_: type[msgspec.Struct], *, is_needed: bool = True) -> type[Operation]:
    """An operation whose body is the struct; where it is not needed, none means the struct's defaults."""
    content = {"application/json": OpenAPIMediaType(schema=Reference(ref=_REF.format(name=type_.__name__)))}

    @dataclass
    class Takes(_Described):
        body_type: ClassVar[type[msgspec.Struct]] = type_

        def __post_init__(self) -> None:
            self.request_body = RequestBody(content=content, required=is_needed)

    return Takes


@cache
def takes_bytes(media_type: str) -> type[Operation]:
    """An operation whose body is any bytes."""

    @dataclass
    class TakesBytes(Operation):
        def __post_init__(self) -> None:
            schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
            self.request_body = RequestBody(content={media_type: OpenAPIMediaType(schema=schema)}, required=True)

    return TakesBytes


def sends_bytes(media_type: str) -> dict[int, ResponseSpec]:
    """An answer of any bytes."""
    return {HTTPStatus.OK: ResponseSpec(bytes, generate_examples=False, description="bytes", media_type=media_type)}


def gives(status: int, type_: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """An answer that is encoded before the framework sees it."""
    return {status: ResponseSpec(data_container=type_, generate_examples=False, description="done")}


def tells(*, none: int) -> dict[int, ResponseSpec]:
    """An answer that goes on, as server-sent events; or one with the status `none`, and nothing in it."""
    return {
        HTTPStatus.OK: ResponseSpec(str, generate_examples=False, description="events", media_type=MEDIA_TYPE),
        none: ResponseSpec(None, generate_examples=False, description="there is nothing more to tell"),
    }


def make_closed_config() -> OpenAPIConfig:
    """For the application itself: the framework's own pages are closed, since each door has its document."""
    closed = Router(_FRAMEWORKS, route_handlers=[], include_in_schema=False, guards=[_close], opt={"access": PUBLIC})
    return OpenAPIConfig(
        title="", version="", use_handler_docstrings=True, render_plugins=[JsonRenderPlugin()], openapi_router=closed
    )


async def _close(_connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    raise NotFoundException


@dataclass(frozen=True)
class Door:
    """What a document tells of.

    Args:
        version: of the door, not of the service.
        routes: prefix → handlers.
        error_type: the body of every error.
        is_upstream: its `info` has what the originals' have (wms.md 4.2).
    """

    title: str
    version: str
    routes: Mapping[str, Sequence[HTTPRouteHandler]]
    error_type: type[msgspec.Struct]
    is_upstream: bool = False


class Documents:
    """The documents of all doors, by a door's name. Each is made when somebody first asks for it."""

    def __init__(self, doors: Mapping[str, Door]) -> None:
        self._doors = doors
        self._made: dict[str, dict[str, Any]] = {}

    def get(self, name: str) -> dict[str, Any]:
        """The document of a door."""
        if name not in self._made:
            self._made[name] = _describe(self._doors[name])
        return self._made[name]


def find_documents(app: Litestar) -> Documents:
    """The documents of an application."""
    documents: Documents = app.state.documents
    return documents


def _describe(door: Door) -> dict[str, Any]:
    """The routes of a door, put together for their description alone."""
    handlers = [handler for some in door.routes.values() for handler in some if handler.include_in_schema is not False]
    app = Litestar(
        route_handlers=[Router(prefix, route_handlers=list(some)) for prefix, some in door.routes.items()],
        dependencies={"parts": Provide(lambda: None, sync_to_thread=False)},
        openapi_config=OpenAPIConfig(title=door.title, version=door.version, use_handler_docstrings=True),
        logging_config=None,  # else it puts lines of its own kind in the place of the service's log
    )
    document = app.openapi_schema.to_schema()
    document.pop("servers", None)
    types = {one.operation_class.body_type for one in handlers if issubclass(one.operation_class, _Described)}
    _, schemas = msgspec.json.schema_components(
        sorted([*types, door.error_type], key=lambda one: one.__name__), ref_template=_REF
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    document["components"]["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
    error = {
        "description": "any error",
        "content": {"application/json": {"schema": {"$ref": _REF.format(name=door.error_type.__name__)}}},
    }
    open_ = {
        (route.path_format, method.lower())
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
        if handler.opt.get("access", ANYONE) is PUBLIC and not handler.opt.get(CHECKED_BY_ROUTE)
    }
    methods = {method.value.lower() for method in HTTPMethod}
    for path, item in document["paths"].items():
        for method in methods & set(item):
            item[method]["security"] = [] if (path, method) in open_ else [{_BEARER: []}]
            # The framework documents its own shape of a 400, which this service never sends.
            item[method]["responses"].pop("400", None)
            item[method]["responses"]["default"] = error
    add_links(document)
    if door.is_upstream:
        document["info"] |= _read_package()
    return document


def _read_package() -> dict[str, Any]:
    package = metadata("muster-compute")
    return {
        "summary": package["Summary"],
        "description": package["Description"],
        "contact": {"name": package["Author"]},
        "license": {"name": package["License-Expression"]},
    }
