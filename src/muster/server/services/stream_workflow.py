"""What is one who listens to a workflow told, and from where on? Its progress, and each notice once, in the order of commit.

A message's id says where to go on after a break. Progress has none: it tells how things are, so the newest replaces all before it. It is
told before the notices of the same moment, so that who has a notice has the progress that it led to, too.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import anyio

from muster.domain.errors import Finding, InvalidError, NotFoundError, UnavailableError
from muster.domain.outbox import BEGINNING, Cursor, Notice, Place
from muster.server.ports.outbox import Newest
from muster.server.ports.store import Transaction
from muster.server.services.follow_progress import FLOOR_S, ProgressNow, Sight, follow
from muster.server.services.lookout import Lookout
from muster.server.services.parts import Parts

SIGN_OF_LIFE_S = 15.0
"""Seconds of silence after which it is shown that the stream is still alive."""
STREAM_S_MAX = 3600.0
"""Seconds after which a stream ends, so that who listens signs in again; it goes on where it was."""
PAGE = 200
"""Notices read at once for one who is behind: what a listener that takes nothing makes the service hold."""
RETRY_S = 1.0
"""Seconds to the next look when the database does not answer. The stream outlives that: browsers give up for good at a 503."""

T = TypeVar("T")


@dataclass(frozen=True)
class Resume:
    """Where a listener wants to go on. `place`: None is where things are now. `name`, `text`: of the field that said so."""

    place: Place | None
    name: str
    text: str


@dataclass(frozen=True)
class Told:
    """A notice. `place`: where to go on after it."""

    place: Place
    notice: Notice


@dataclass(frozen=True)
class Now:
    """Nothing of what has happened is told. `place`: to go on there."""

    place: Place


@dataclass(frozen=True)
class Gap:
    """The notice after which the listener wanted to go on is not kept: others may be lost. All that are kept follow, from the first on."""

    place: Place
    after: str


@dataclass(frozen=True)
class Over:
    """The workflow has ended, and everything was told. `place`: to ask later whether something came after all."""

    place: Place
    state: str


@dataclass(frozen=True)
class SignOfLife:
    """Nothing has happened."""


Message: TypeAlias = ProgressNow | Told | Now | Gap | Over | SignOfLife


async def open_stream(parts: Parts, workflow_id: str, resume: Resume | None) -> AsyncGenerator[Message] | None:
    """What there is to tell of a workflow, without end while it can go on. None: it is over, and the listener was told everything.

    Raises:
        NotFoundError: no such workflow.
        InvalidError: the listener goes on after a notice of another workflow.
        UnavailableError: also when the service stops.
    """
    if parts.stopping.asked:
        raise UnavailableError("the service is stopping: try again")
    with follow(parts, workflow_id) as lookout:
        sight = await lookout.look()
    if resume is None:
        return _tell(parts, workflow_id, sight, BEGINNING)
    if resume.place is None:
        cursor = sight.newest.cursor
        return _tell(parts, workflow_id, sight, cursor, Now(Place(cursor)))
    cursor = resume.place.cursor
    if not await _is_kept(parts, workflow_id, cursor, resume, sight.newest):
        return _tell(parts, workflow_id, sight, BEGINNING, Gap(Place(BEGINNING), resume.text))
    if resume.place.is_end and sight.is_over and sight.newest.cursor <= cursor:
        return None
    return _tell(parts, workflow_id, sight, cursor)


async def _is_kept(parts: Parts, workflow_id: str, cursor: Cursor, resume: Resume, newest: Newest) -> bool:
    """Is the notice after which to go on still there? Then so is what followed it. Raises InvalidError for another workflow's."""
    if cursor == BEGINNING or any(known == cursor for known, _ in newest.notices):
        return True
    notice = await parts.store.look(lambda tx: tx.outbox.find(cursor))
    if notice is not None and notice.subject != workflow_id:
        reason = (
            f"{resume.text!r} is the id of a message of another workflow: leave it out to hear everything of this one"
        )
        raise InvalidError([Finding(resume.name, reason)])
    return notice is not None


async def _tell(
    parts: Parts, workflow_id: str, sight: Sight, cursor: Cursor, opening: Now | Gap | None = None
) -> AsyncGenerator[Message]:
    ends_at = anyio.current_time() + STREAM_S_MAX
    token, told_at = "", 0.0
    with follow(parts, workflow_id) as lookout, suppress(NotFoundError):  # it may be deleted meanwhile
        while True:
            if sight.now.token != token:
                token, told_at = sight.now.token, anyio.current_time()
                yield sight.now
            if opening is not None:
                yield opening
                opening = None
            while cursor < sight.newest.cursor:
                page = await _list_next(parts, workflow_id, cursor, sight.newest)
                if not page:
                    return
                for told, notice in page:
                    yield Told(Place(told), notice)
                    cursor = told
            if sight.is_over:
                yield Over(Place(cursor, is_end=True), sight.now.workflow.state.value)
                return
            await anyio.sleep_until(told_at + FLOOR_S)
            while (seen := await _await_news(parts, lookout, sight, until=ends_at)) is None:
                if parts.stopping.asked or anyio.current_time() >= ends_at:
                    return
                yield SignOfLife()
            sight = seen


async def _await_news(parts: Parts, lookout: Lookout[Sight], known: Sight, *, until: float) -> Sight | None:
    """The next sight that differs; None when it is time for a sign of life, or for the end."""
    until = min(until, anyio.current_time() + SIGN_OF_LIFE_S)
    return await _patiently(parts, lambda: lookout.next(lambda sight: sight.state != known.state, until=until))


async def _list_next(
    parts: Parts, workflow_id: str, cursor: Cursor, newest: Newest
) -> Sequence[tuple[Cursor, Notice]] | None:
    """The next notices, of those up to the newest seen. None, or nothing: the stream cannot go on, and who listens comes back."""
    if newest.is_whole or newest.notices[0][0] <= cursor:
        return [one for one in newest.notices if one[0] > cursor]

    def read(tx: Transaction) -> Sequence[tuple[Cursor, Notice]]:
        if cursor != BEGINNING and tx.outbox.find(cursor) is None:
            return ()  # deleted meanwhile, and what followed it perhaps too: the next stream tells of a gap
        return tx.outbox.list_after(cursor, subject=workflow_id, limit=PAGE)

    page = await _patiently(parts, lambda: parts.store.read(read))
    # What was committed since the look is told after the progress that it led to.
    return None if page is None else [one for one in page if one[0] <= newest.cursor]


async def _patiently(parts: Parts, read: Callable[[], Awaitable[T]]) -> T | None:
    """Read, again while the database does not answer; None when the service stops first."""
    while True:
        try:
            return await read()
        except UnavailableError:
            if parts.stopping.asked:
                return None
            await anyio.sleep(RETRY_S)
