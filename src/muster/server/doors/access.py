"""Who may come in? The guard of every route: a token, checked; a role, where the route wants one.

A route says what it wants in its `opt`: `access=PUBLIC`, or `access=roles(Role.USER)`; without one it wants a `user`.
Routes of workers have their own guard.
"""

from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler

from muster.domain.caller import Caller, Role
from muster.domain.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from muster.server.services.parts import Parts
from muster.settings.sign_in import SignIn

PUBLIC: frozenset[Role] | None = None
"""Anyone may come in."""
CHECKED_BY_ROUTE = "checked_by_route"
"""In a route's `opt`: open to the guard, and not to anyone: it checks a token of another kind itself."""
ANYONE: frozenset[Role] = frozenset()
"""Anyone signed in."""

SignedIn: TypeAlias = Request[Caller, None, State]
"""A request whose caller is known: `request.user`."""


def roles(*wanted: Role) -> frozenset[Role]:
    """For callers with one of the roles; an operator has them all."""
    return frozenset(wanted)


_USER = roles(Role.USER)


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Let the caller in or raise UnauthenticatedError or ForbiddenError."""
    if connection.scope.get("method") == "OPTIONS":
        return  # what a route allows is no secret
    wanted = handler.opt.get("access", _USER)
    if wanted is PUBLIC:
        return
    parts: Parts = connection.app.state.parts
    is_off = parts.settings.way_in is SignIn.OFF
    outcomes = parts.measures.sign_ins
    try:
        caller = await parts.identity.identify("" if is_off else read_bearer(connection))
    except UnauthenticatedError:
        outcomes["refused"] += 1
        raise
    except UnavailableError:
        outcomes["unavailable"] += 1
        raise
    connection.scope["user"] = caller  # known also where it may not come in
    is_allowed = not wanted or caller.has(*wanted)
    outcomes["accepted" if is_allowed else "forbidden"] += 1
    if not is_allowed:
        has = ", ".join(sorted(caller.roles)) or "none"
        raise ForbiddenError(f"this needs one of the roles: {', '.join(sorted(wanted))}; {caller.name} has: {has}")


def read_bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The token that the request carries. Raises UnauthenticatedError when there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("a token is missing: send the header `Authorization: Bearer <token>`")
    return token.strip()
