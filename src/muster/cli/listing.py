"""How is a list longer than a page collected?"""

from collections.abc import Callable
from typing import TypeVar

from muster.domain.errors import Finding, InvalidError

Page = TypeVar("Page")
Row = TypeVar("Row")

PAGE_MAX = 1000
"""Rows of one call."""


def collect(
    ask: Callable[[str | None, int], Page],
    read: Callable[[Page], tuple[list[Row], str | None]],
    *,
    after: str | None,
    limit: int,
) -> tuple[list[Row], str | None]:
    """Ask for pages until there are `limit` rows or no more.

    Args:
        ask: gives the page behind `after`, of at most that many rows.
        read: rows of a page, and where the next page begins (None: it was the last).

    Returns:
        The rows, and where more begin; None when there are none.
    """
    if limit < 1:
        raise InvalidError([Finding("--limit", f"{limit} is below 1")])
    rows: list[Row] = []
    while len(rows) < limit:
        found, after = read(ask(after, min(PAGE_MAX, limit - len(rows))))
        rows += found
        if after is None or not found:
            return rows, None
    return rows, after
