"""What may be asked of workflows in one call? Limits, and how the parts of a query are read."""

from typing import Annotated, TypeAlias

from litestar.params import HeaderParameter, QueryParameter

from muster.domain.errors import Finding, InvalidError
from muster.domain.ids import WORKFLOW_ID
from muster.domain.outbox import parse_place
from muster.server.services.read_workflow import STATES
from muster.server.services.stream_workflow import Resume

PAGE_MAX = 500
TOKEN_CHARS_MAX = 100
LAST_ID = "Last-Event-ID"
NOW = "now"

StateQuery: TypeAlias = Annotated[str | None, QueryParameter(name="state", description=f"one of {', '.join(STATES)}")]
"""`state` itself is a name that the framework keeps for itself."""
LimitQuery: TypeAlias = Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)]
WaitQuery: TypeAlias = Annotated[float, QueryParameter(ge=0, le=3600)]
SeenQuery: TypeAlias = Annotated[str | None, QueryParameter(max_length=TOKEN_CHARS_MAX)]
AfterQuery: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        description=f"as `{LAST_ID}`, which counts if both are given; `{NOW}`: only what happens from now on is told"
    ),
]
LastIdHeader: TypeAlias = Annotated[
    str | None, HeaderParameter(name=LAST_ID, description="of the last event that had one: what came after it is told")
]


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


def parse_resume(last_id: str | None, after: str | None) -> Resume | None:
    """Where a stream goes on; None at the beginning. A browser that comes back has the header, and its old address.

    Raises InvalidError for what is no id of a stream.
    """
    name, text = (LAST_ID, last_id) if last_id else ("after", after)
    if not text:
        return None
    place = parse_place(text)
    if place is None and text != NOW:
        reason = (
            f"{text[:TOKEN_CHARS_MAX]!r} is no id of a stream's event: send the last one that you got, "
            f"none to hear everything, or {NOW!r} to hear only what happens from now on"
        )
        raise InvalidError([Finding(name, reason)])
    return Resume(place, name, text)
