"""What does a query send, and what comes back? The filter's language: docs/reference/query.md."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from muster.client.shapes.message import Answer, Request

PAGE_MAX = 1000
"""Objects of one answer."""


class Query(Request):
    """POST /muster/v1/query/workflows, …/tasks, …/taskforces: a page of the objects that fit the filter `query`, oldest first.

    `projection`: fields to show, dotted into objects; left out: all. `after`: the `next_after` of the page before; empty: from the
    beginning.
    """

    query: dict[str, Any] = msgspec.field(default_factory=dict)
    projection: Annotated[list[str], msgspec.Meta(min_length=1)] | UnsetType = UNSET
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)] = PAGE_MAX
    newest_first: bool = False


class FoundPage(Answer):
    """Objects as `WorkflowSummary`, `TaskView` or `TaskforceView`, or as much of each as was asked for.

    A page may be short, even empty, and have a `next_after`: the service has looked long enough. Null: there is no more.
    """

    objects: list[dict[str, Any]]
    next_after: str | None
