"""Which routes are there, and who may call them?

Source: the tables of wms.md section 4 and mqs.md section 4; `/v0` has the same ones, add-workers included.
"""

from dataclasses import dataclass

from compat.samples import unknown_ids

USER = frozenset({"user", "stranger"})
TMS = frozenset({"system-tms"})
WMS = frozenset({"system-wms"})
ROLES = sorted(USER | TMS | WMS)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")


@dataclass(frozen=True)
class Route:
    """One route.

    Args:
        path: without the version, with variables in braces; may have a query string.
        roles: who may call it; empty: anybody.
        is_versioned: it stands under `/v1` and `/v0`; else under neither.
    """

    method: str
    path: str
    roles: frozenset[str]
    is_versioned: bool = True

    def fill(self) -> str:
        """The path, about things that do not exist."""
        return self.path.format(**unknown_ids())

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


ROUTES = [
    Route("GET", "/", USER),
    Route("GET", "/schema/openapi", USER | TMS),
    Route("POST", "/workflows", USER),
    Route("GET", "/workflows/{workflow_id}", USER),
    Route("POST", "/workflows/{workflow_id}/actions/abort", USER),
    Route("POST", "/workflows/{workflow_id}/actions/finished", USER),
    Route("POST", "/query/workflows", USER | TMS),
    Route("POST", "/query/task-directives", USER),
    Route("POST", "/query/taskforces", USER | TMS),
    Route("GET", "/task-directives/{task_id}", USER),
    Route("POST", "/task-directives/{task_id}/actions/add-workers", USER | TMS),
    Route("GET", "/taskforces/{taskforce_uuid}", USER | TMS),
    Route("GET", "/tms/pending-starter/taskforces?schedd=NOWHERE&collector=NOWHERE", USER | TMS),
    Route("POST", "/tms/condor-submit/taskforces/{taskforce_uuid}", TMS),
    Route("POST", "/tms/condor-submit/taskforces/{taskforce_uuid}/failed", TMS),
    Route("GET", "/tms/pending-stopper/taskforces?schedd=NOWHERE&collector=NOWHERE", USER | TMS),
    Route("POST", "/tms/condor-rm/taskforces/{taskforce_uuid}", TMS),
    Route("POST", "/tms/condor-rm/taskforces/{taskforce_uuid}/failed", TMS),
    Route("POST", "/tms/statuses/taskforces", TMS),
    Route("POST", "/tms/condor-complete/taskforces/{taskforce_uuid}", TMS),
    Route("GET", "/mqs", USER | WMS),
    Route("GET", "/mqs/schema/openapi", USER | WMS),
    Route("POST", "/mqs/workflows/{workflow_id}/mq-group/reservation", WMS),
    Route("POST", "/mqs/workflows/{workflow_id}/mq-group/activation", WMS),
    Route("GET", "/mqs/workflows/{workflow_id}/mq-group", WMS),
    Route("GET", "/mqs/mq-profiles/{mqid}", WMS),
    Route("GET", "/mqs/workflows/{workflow_id}/mq-profiles/public", USER),
    Route("GET", "/mqbroker-issuer/.well-known/jwks.json", frozenset(), is_versioned=False),
]

PROTECTED = [route for route in ROUTES if route.roles]
