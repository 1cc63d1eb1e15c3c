"""Where is seen how a workflow's hosts do, and where is one trusted?"""

from collections.abc import Sequence

from litestar import get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from muster.client.shapes.hosts import Hosts, TrustHost
from muster.domain.errors import Finding, InvalidError
from muster.domain.ids import WORKFLOW_ID
from muster.server.doors.access import SignedIn
from muster.server.doors.documents import takes
from muster.server.doors.muster.hosts.views import render_hosts
from muster.server.doors.reading import parse_id, read_body
from muster.server.services.keep_hosts import list_hosts, trust_host
from muster.server.services.parts import Parts


@get("/workflows/{workflow_id:str}/hosts")
async def list_(parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> Hosts:
    """How its attempts ended at each host, and which hosts rest."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    return render_hosts(workflow_id, *await list_hosts(parts, workflow_id))


@post("/workflows/{workflow_id:str}/hosts/actions/trust", status_code=200, operation_class=takes(TrustHost))
async def trust(request: SignedIn, parts: NamedDependency[Parts], workflow_id: FromPath[str]) -> Hosts:
    """Give a host that rests events at once, for all tasks of the workflow, and judge it afresh; likewise one that does not rest."""
    parse_id(WORKFLOW_ID, workflow_id, what="workflow")
    host = (await read_body(request, TrustHost)).host
    if "\0" in host:
        raise InvalidError([Finding("host", "holds the character NUL")])
    return render_hosts(workflow_id, *await trust_host(parts, request.user, workflow_id, host))


handlers: Sequence[HTTPRouteHandler] = (list_, trust)
