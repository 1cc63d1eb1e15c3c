"""Which objects fit a filter? A page of them, in order of creation or against it, whatever is asked: never a stall, never a loss.

The store narrows down, look by look; each look's objects are made documents and judged by the filter in a thread, a few threads for all
queries together, so that other calls go on. A page ends when its bytes are full, when a call has looked long enough, or when
there is no more; unless there is no more, it says where the next one begins.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.to_thread
import msgspec

from muster.domain.errors import Finding, InvalidError, TooLargeError
from muster.domain.filter import ID, OPAQUE, Filter, list_roots
from muster.domain.match_filter import matches
from muster.domain.parse_filter import parse_filter
from muster.domain.projection import Projection, parse_projection
from muster.server.ports.finder import Computed, Found, Log, Look, Sources
from muster.server.ports.store import Transaction
from muster.server.services.linear_regex import make_pattern
from muster.server.services.parts import Parts

T = TypeVar("T")

SCAN: Final = 5_000
"""Objects that one look of the store passes over at most."""
LOOK_MIN, LOOK_FIRST, LOOK_MAX = 10, 50, 100
"""Objects that one look gives at most: few at first, then as many as are dealt with in the time below. PostgreSQL's rows are read on the
event loop, which stands still for that long; more at once would be no faster."""
LOOK_S: Final = 0.01
READ_MAX: Final = 200_000
"""Objects that are judged for one page at most."""
JUDGED_HERE_MAX: Final = 8
"""Objects that are judged without a thread: going there and back takes longer than they do."""
PAGE_S: Final = 5.0
"""Seconds after which a page is given as it is."""

_CURSOR = re.compile(r"[0-9a-fA-F]{24}")
_NUMBER_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Collection(Generic[T]):
    """Objects of one kind, as one door shows them.

    Args:
        find: one look of the store for them.
        sources: where the fields of the documents come from; it must agree with `render`.
        render: the document, as JSON: dict, list, str, int, float, bool and None.
    """

    find: Callable[[Transaction, Look], Found[T]]
    sources: Sources
    render: Callable[[T], dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        projection: None: whole documents.
        after: the number behind which to begin.
        newest_first: against the order of creation.
        limit: objects of a page at most; None: its bytes alone limit it.
    """

    filter: Filter
    projection: Projection | None
    after: int
    newest_first: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Page:
    """Documents as JSON text. `next_after`: where the next page begins; None at the end."""

    objects: Sequence[bytes]
    next_after: str | None


def parse_wanted(
    query: dict[str, Any],
    *,
    projection: Sequence[str] | None = None,
    after: str = "",
    newest_first: bool = False,
    limit: int | None = None,
) -> Wanted:
    """Read a query as clients send it (wms.md section 15).

    Args:
        query: MongoDB's filter. With `after`, a condition on `_id` at its top is passed over, as upstream does.
        after: `next_after` of the page before; empty: from the beginning.
        newest_first, limit: as of `Wanted`.

    Raises:
        InvalidError: with every fault.
    """
    findings: list[Finding] = []
    number = _parse_cursor(after, findings) if after else (_NUMBER_MAX if newest_first else 0)
    names = list(dict.fromkeys(projection or ()))
    if len(names) < len(projection or ()):
        findings.append(Finding("projection", "items must be unique"))
    if after:
        query = {name: operand for name, operand in query.items() if name != ID}
    try:
        filter_ = parse_filter(query, make_pattern=make_pattern)
    except InvalidError as error:
        raise InvalidError([*error.findings, *findings]) from None
    if findings:
        raise InvalidError(findings)
    return Wanted(filter_, parse_projection(names), number, newest_first, limit)


def _parse_cursor(after: str, findings: list[Finding]) -> int:
    number = int(after, 16) if _CURSOR.fullmatch(after) else _NUMBER_MAX + 1
    if number > _NUMBER_MAX:
        findings.append(Finding("after", "must be a `next_after` that this service gave"))
    return number


def _render_cursor(number: int) -> str:
    return f"{number:024x}"


async def find_page(parts: Parts, collection: Collection[T], wanted: Wanted) -> Page:
    """A page of what fits. It may be short, even empty, and have a next one: looking for it took long enough."""
    page = _Page(parts.settings.query_bytes_max, wanted.after, count_max=wanted.limit)
    await _fill(parts, collection, wanted, page, seconds=PAGE_S)
    return Page(page.objects, None if page.reached is None else _render_cursor(page.reached))


async def find_all(parts: Parts, collection: Collection[T], wanted: Wanted, *, bytes_max: int) -> Sequence[bytes]:
    """All that fits, for clients that know no pages.

    Args:
        bytes_max: bytes of JSON that the objects may have together.

    Raises:
        TooLargeError: they have more.
    """
    page = _Page(bytes_max, wanted.after)
    await _fill(parts, collection, wanted, page, seconds=None)
    if page.is_full:
        raise TooLargeError(
            f"the objects that fit have more than {bytes_max} bytes: ask for fewer, for fewer of their fields by `projection`, or by "
            "the newer API, which answers page by page"
        )
    return page.objects


@dataclass
class _Page:
    """What has been found so far. `reached`: up to which number everything was looked at; None: all there is."""

    bytes_max: int
    reached: int | None
    count_max: int | None = None
    objects: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    judged: int = 0
    is_full: bool = False

    def add(self, text: bytes) -> bool:
        """Take an object, if it has room. The first one always has, or it could never be had."""
        if self.objects and self.size_bytes + len(text) > self.bytes_max:
            self.is_full = True
            return False
        self.objects.append(text)
        self.size_bytes += len(text)
        self.is_full = len(self.objects) == self.count_max
        return True


async def _fill(parts: Parts, collection: Collection[T], wanted: Wanted, page: _Page, *, seconds: float | None) -> None:
    began = anyio.current_time()
    limit = LOOK_FIRST
    with_log = _needs_log(collection, wanted)
    while page.reached is not None and not page.is_full:
        look_began = anyio.current_time()
        look = Look(
            wanted.filter,
            collection.sources,
            page.reached,
            limit=limit,
            scan=SCAN,
            with_log=with_log,
            newest_first=wanted.newest_first,
        )
        find = partial(_find, collection, look)
        # A taskforce must agree with its log; nothing else is read that has to agree.
        found = await (parts.store.read(find) if with_log else parts.store.look(find))
        if len(found.objects) <= JUDGED_HERE_MAX:
            _judge(collection, wanted, found, page)
        else:
            await anyio.to_thread.run_sync(_judge, collection, wanted, found, page, limiter=parts.query_turns)
        now = anyio.current_time()
        if seconds is not None and (now - began >= seconds or page.judged >= READ_MAX):
            break
        limit = _next_limit(limit, took_s=now - look_began)


def _find(collection: Collection[T], look: Look, tx: Transaction) -> Found[T]:
    return collection.find(tx, look)


def _next_limit(limit: int, *, took_s: float) -> int:
    if took_s < LOOK_S:
        return min(limit * 2, LOOK_MAX)
    return limit if took_s < 2 * LOOK_S else max(limit // 2, LOOK_MIN)


def _needs_log(collection: Collection[Any], wanted: Wanted) -> bool:
    names = {
        name
        for name, source in collection.sources.items()
        if isinstance(source, Log) or source == Computed(has_log=True)
    }
    shown = names if wanted.projection is None else {name for name in names if wanted.projection.wants(name)}
    return bool(shown or names & list_roots(wanted.filter))


def _judge(collection: Collection[T], wanted: Wanted, found: Found[T], page: _Page) -> None:
    """Put what fits on the page, until that is full."""
    before = page.reached
    left = len(found.objects)
    for number, one in found.objects:
        document = collection.render(one)
        if matches(wanted.filter, document | {ID: OPAQUE}):
            shown = document if wanted.projection is None else wanted.projection.apply(document)
            if not page.add(msgspec.json.encode(shown)):
                page.reached = before
                return
        before = number
        left -= 1
        page.judged += 1
        if page.is_full and left:
            page.reached = number
            return
    page.reached = found.reached
