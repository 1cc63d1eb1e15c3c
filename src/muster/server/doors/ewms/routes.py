"""Which routes are there for EWMS clients? All of them under `/v1`."""

from collections.abc import Sequence

from litestar.handlers import HTTPRouteHandler

from muster.server.doors.ewms import queries, tms, workflows

handlers: Sequence[HTTPRouteHandler] = (*workflows.handlers, *queries.handlers, *tms.handlers)
