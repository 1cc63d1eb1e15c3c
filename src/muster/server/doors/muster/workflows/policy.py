"""What may be asked of workflows in one call? Limits, and how the parts of a query are read."""

from typing import Annotated, TypeAlias

from litestar.params import QueryParameter

from muster.domain.errors import Finding, InvalidError
from muster.domain.ids import WORKFLOW_ID
from muster.server.services.read_workflow import STATES

PAGE_MAX = 500
TOKEN_CHARS_MAX = 100

StateQuery: TypeAlias = Annotated[str | None, QueryParameter(name="state", description=f"one of {', '.join(STATES)}")]
"""`state` itself is a name that the framework keeps for itself."""
LimitQuery: TypeAlias = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
WaitQuery: TypeAlias = Annotated[float, QueryParameter(ge=0, le=3600)]
SeenQuery: TypeAlias = Annotated[str | None, QueryParameter(max_length=TOKEN_CHARS_MAX)]


def parse_state(state: str | None) -> str | None:
    """Which workflows are wanted. Raises InvalidError for what is no state."""
    if state is not None and state not in STATES:
        raise InvalidError([Finding("state", f"must be one of: {', '.join(STATES)}")])
    return state


def parse_after(after: str | None) -> str | None:
    """Where a page begins. Raises InvalidError for what is no workflow's id."""
    if after is not None and WORKFLOW_ID.fullmatch(after) is None:
        raise InvalidError([Finding("after", "must be the `next_after` of a page")])
    return after
