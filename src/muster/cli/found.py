"""How are objects that fit a filter collected and shown? Pages of which one is held; a table in blocks."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from muster.cli.console import render_time
from muster.client.calls import Queried
from muster.client.shapes.queries import FoundPage
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError

TIMES = frozenset({"at", "created_at", "ended_at", "claim_until", "source_event_time"})
"""Fields that are moments, seconds since the epoch, wherever they stand."""


def list_found(
    client: Client,
    what: Queried,
    filter_: Mapping[str, Any],
    *,
    after: str | None,
    limit: int,
    projection: Sequence[str] | None = None,
) -> tuple[list[dict[str, Any]], str | None]:
    """At most `limit` objects, newest first, and behind which word there may be more; None at the end."""
    check_limit(limit)
    found: list[dict[str, Any]] = []
    next_after: str | None = None
    pages: Iterator[FoundPage] = client.query_pages(
        what, filter_, projection=projection, after=after or "", limit=limit, newest_first=True
    )
    for page in pages:
        found += page.objects
        next_after = page.next_after
    return found, next_after


def find_each(
    client: Client,
    what: Queried,
    filter_: Mapping[str, Any],
    *,
    projection: Sequence[str] | None,
    limit: int | None,
    newest_first: bool,
) -> Iterator[dict[str, Any]]:
    """Every object that fits, one page of them held."""
    pages = client.query_pages(what, filter_, projection=projection, limit=limit, newest_first=newest_first)
    with contextlib.closing(pages):
        for page in pages:
            yield from page.objects


def check_limit(limit: int | None) -> None:
    """Raises InvalidError."""
    if limit is not None and limit < 1:
        raise InvalidError([Finding("--limit", f"{limit} is below 1")])


def get_value(document: Mapping[str, Any], field: str) -> Any:
    """What stands at a dotted name, through objects and the objects of arrays; None where nothing does."""
    return _get_value(document, field.split("."))


def _get_value(value: Any, path: Sequence[str]) -> Any:
    if not path:
        return value
    match value:
        case dict():
            return _get_value(value[path[0]], path[1:]) if path[0] in value else None
        case list():
            return [_get_value(one, path) for one in value]
        case _:
            return None


def render_found(field: str, value: Any) -> object:
    """A value for a cell: times as people read them, what has parts as JSON."""
    if isinstance(value, float) and field.rpartition(".")[2] in TIMES:
        return render_time(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return [render_found(field, one) for one in value]
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode() if value else None
    return value
