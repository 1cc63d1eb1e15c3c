"""Does the service live, can it work, how much did it do, and whom does it take me for?"""

from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from muster.client.shapes.service import Health, Whoami
from muster.domain.errors import InvalidError, UnavailableError
from muster.server.doors.access import ANYONE, PUBLIC, SignedIn
from muster.server.doors.documents import find_documents
from muster.server.doors.front import find_meters
from muster.server.services.parts import Parts

NAME = "muster"
"""Of this door, among the documents."""
_METRICS_TYPE = CONTENT_TYPE_LATEST.partition("; charset")[0]
"""The framework adds the character set."""


@get("/healthz", opt={"access": PUBLIC})
async def healthz(parts: NamedDependency[Parts]) -> Health:
    """The process lives and answers; nothing else is looked at."""
    return Health("ok", parts.version)


@get("/readyz", opt={"access": PUBLIC})
async def readyz(parts: NamedDependency[Parts]) -> Response[Health]:
    """200 when it can serve; 503 while it starts or stops, or when the database does not answer."""
    if parts.stopping.asked:
        return Response(Health("stopping", parts.version), status_code=503)
    try:
        await parts.store.check()
    except UnavailableError:
        return Response(Health("unavailable", parts.version, "the database does not answer"), status_code=503)
    except InvalidError as error:
        return Response(Health("unavailable", parts.version, str(error)), status_code=503)
    return Response(Health("ready", parts.version))


@get("/metrics", opt={"access": ANYONE})
async def metrics(request: SignedIn) -> Response[bytes]:
    """Prometheus's text."""
    text = generate_latest(find_meters(request.app).registry)
    return Response(text, media_type=_METRICS_TYPE)


@get("/whoami", opt={"access": ANYONE})
async def whoami(request: SignedIn) -> Whoami:
    """Who the token belongs to, and what its issuer says of them."""
    caller = request.user
    roles = sorted(role.value for role in caller.roles)
    return Whoami(caller.name, roles, sorted(caller.groups), caller.issuer, caller.expires_at)


@get("/openapi.json", opt={"access": PUBLIC}, include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The description of this door."""
    return find_documents(request.app).get(NAME)


at_root: Sequence[HTTPRouteHandler] = (healthz, readyz, metrics)
handlers: Sequence[HTTPRouteHandler] = (whoami, openapi)
