"""What can operators do to the service as a whole?"""

from collections.abc import Sequence

from litestar import post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler

from muster.client.shapes.admin import KeptBackView, Purge, PurgedView, ResetView
from muster.domain.caller import Role
from muster.domain.errors import Finding, ForbiddenError, InvalidError
from muster.domain.retention import Kept
from muster.server.doors.access import SignedIn, roles
from muster.server.doors.documents import takes
from muster.server.doors.reading import read_body
from muster.server.services.parts import Parts
from muster.server.services.purge import Place, parse_place, purge, render_place
from muster.server.services.reset import reset

OK = 200
OPERATORS = {"access": roles(Role.OPERATOR)}
PURGE_S = 1.0
"""Seconds after which a call answers, with the place where to go on."""


@post("/admin/purge", status_code=OK, opt=OPERATORS, operation_class=takes(Purge))
async def purge_(request: SignedIn, parts: NamedDependency[Parts]) -> PurgedView:
    """Remove what need not be kept any longer, or count it: a piece of a round, as the service makes them by itself."""
    asked = await read_body(request, Purge)
    done = await purge(parts, place=_read_place(parts, asked), is_dry=asked.dry_run, for_s=PURGE_S)
    rules = parts.settings.retention
    return PurgedView(
        removed={kept.value: done.removed[kept] for kept in Kept},
        kept_s={kept.value: rules.kept_s.get(kept) for kept in Kept},
        kept_back=[KeptBackView(one.workflow_id, one.reason) for one in done.kept_back],
        place=None if done.place is None else render_place(done.place, is_dry=asked.dry_run, key=parts.worker_key),
    )


@post("/admin/reset", status_code=OK, opt=OPERATORS)
async def reset_(parts: NamedDependency[Parts]) -> ResetView:
    """Empty the service: every workflow, event and answer. Only where its settings allow that (`MUSTER_TEST_RESET`)."""
    if not parts.settings.test_reset:
        raise ForbiddenError(
            "this service is not one for tests: it is started with MUSTER_TEST_RESET=true where it may be emptied"
        )
    return ResetView(await reset(parts))


def _read_place(parts: Parts, asked: Purge) -> Place | None:
    if asked.place is None:
        return None
    if (place := parse_place(asked.place, is_dry=asked.dry_run, key=parts.worker_key)) is None:
        reason = f"is {asked.place[:100]!r}; must be the `place` of an answer of this route, to the same `dry_run`"
        raise InvalidError([Finding("place", reason)])
    return place


handlers: Sequence[HTTPRouteHandler] = (purge_, reset_)
