"""Which routes are there for EWMS clients? All of them, under each version."""

from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler

from muster.server.doors.ewms import queries, tms, workflows
from muster.server.doors.ewms.versions import Version


def make_handlers(version: Version) -> Sequence[HTTPRouteHandler]:
    """Every route of a version."""
    return (*workflows.make_handlers(version), *queries.make_handlers(version), *tms.make_handlers(version))
