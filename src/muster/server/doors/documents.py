"""How is our door described to programs? Its OpenAPI document, with the bodies that the routes read themselves."""

from dataclasses import dataclass
from functools import cache
from http import HTTPMethod
from typing import Any, ClassVar

import msgspec
from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody

from muster.client.shapes.message import Problem
from muster.server.doors.access import ANYONE, CHECKED_BY_ROUTE, PUBLIC

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


def gives(status: int, type_: type[msgspec.Struct]) -> dict[int, ResponseSpec]:
    """An answer that is encoded before the framework sees it."""
    return {status: ResponseSpec(data_container=type_, generate_examples=False, description="done")}


def make_config(version: str) -> OpenAPIConfig:
    """What the document says of itself. The framework's own pages are closed: ours is the only one."""
    closed = Router(_FRAMEWORKS, route_handlers=[], include_in_schema=False, guards=[_close], opt={"access": PUBLIC})
    return OpenAPIConfig(
        title="Muster",
        version=version,
        use_handler_docstrings=True,
        render_plugins=[JsonRenderPlugin()],
        openapi_router=closed,
    )


async def _close(_connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    raise NotFoundException


def describe(app: Litestar) -> dict[str, Any]:
    """The document of our own door."""
    document = app.openapi_schema.to_schema()
    types = {
        handler.operation_class.body_type
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler) and issubclass(handler.operation_class, _Described)
    }
    _, schemas = msgspec.json.schema_components(
        sorted([*types, Problem], key=lambda one: one.__name__), ref_template=_REF
    )
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    problem = {
        "description": "any error",
        "content": {"application/json": {"schema": {"$ref": _REF.format(name=Problem.__name__)}}},
    }
    document["components"]["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
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
            item[method]["responses"]["default"] = problem
    return document
