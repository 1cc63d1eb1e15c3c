"""How is a workflow followed live? By its stream, opened again where it broke off; by parked calls where no stream comes through.

Conversations, as in `conversations`, of which one also opens a stream and hears it.
"""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeAlias, TypeVar

import msgspec

from muster.client import calls
from muster.client.conversations import Delivery, Hear, Leaving, Listen, Opened, Pause, SilentError, Turn, Turns
from muster.client.event_stream import EventParser, ServerEvent
from muster.client.shapes.stream import END, GAP, PROGRESS, GapView, NoticeView
from muster.client.shapes.workflows import Progress
from muster.domain.errors import NotFoundError, RejectedError, UnavailableError

LiveMessage: TypeAlias = Progress | NoticeView | GapView

SILENT_S = 20.0
"""A stream from which nothing came for so long is dead: the service shows every 15 s that it lives."""
RETRY_S = 1.0
"""Seconds before a stream that broke off is opened again, where it did not say."""
UNHEARD_MAX = 5
"""After so many streams in a row that ended before anything came, listening is given up."""
WAIT_S = 10.0
"""Seconds for which a call of progress is parked."""
NO_CONTENT = 204

T = TypeVar("T")


class NoStreamError(UnavailableError):
    """The service is there, and its stream does not come through: something between holds it back."""


class _End(Enum):
    """How did a stream end?"""

    OVER = auto()
    """Everything was told."""
    HEARD = auto()
    """It broke off, or fell silent, after something had come."""
    BROKEN = auto()
    """It broke off before anything came."""
    SILENT = auto()
    """It stayed open, and nothing came."""


@dataclass
class Listening:
    """Listen to a workflow until everything was told.

    Args:
        after: an id to go on behind; `now`: only what happens from now on; None: from the first notice on.
        seen: the token of a progress that is not to be told again.
        only_progress: no notices; and the progress of the ended workflow is the last.
    """

    workflow_id: str
    after: str | None = None
    seen: str | None = None
    only_progress: bool = False
    _last_id: str = field(default="", init=False)
    _was_heard: bool = field(default=False, init=False)

    def turns(self) -> Turns[LiveMessage]:
        """Raises NoStreamError."""
        unheard = 0
        while True:  # the end of the workflow ends it
            parser = EventParser(self._last_id)
            end = yield from self._hear_one(parser)
            if end is _End.OVER:
                return
            self._was_heard |= end is _End.HEARD
            unheard = 0 if end is _End.HEARD else unheard + 1
            # One that broke off was perhaps its service's end; one that is open and silent is held back by something between.
            if unheard >= UNHEARD_MAX or (end is _End.SILENT and not self._was_heard):
                raise NoStreamError(
                    f"the stream of workflow {self.workflow_id} brings nothing: does a proxy hold it back? "
                    "Its progress can be asked for all the same"
                )
            yield Pause(RETRY_S if parser.retry_s is None else parser.retry_s)

    def _hear_one(self, parser: EventParser) -> Generator[Turn[LiveMessage], Any, _End]:
        """One stream, until it ends, breaks off or falls silent."""
        is_heard = False
        try:
            opened: Opened = yield Listen(
                calls.open_stream(self.workflow_id, after=self.after, last_id=self._last_id), silent_s=SILENT_S
            )
            if opened.status == NO_CONTENT:
                return _End.OVER
            if opened.media_type != calls.EVENTS:
                raise NoStreamError(
                    f"the answer is not a stream of Muster's: it is {opened.media_type or 'of no type'}"
                )
            while piece := (yield Hear()):
                is_heard = True
                for event in parser.feed(piece):
                    self._last_id = event.id
                    if event.name == END or (yield from self._deliver(event)):
                        return _End.OVER
                self._last_id = parser.last_id
        except SilentError:
            return _End.HEARD if is_heard else _End.SILENT
        return _End.HEARD if is_heard else _End.BROKEN

    def _deliver(self, event: ServerEvent) -> Generator[Turn[LiveMessage], Any, bool]:
        """Returns whether this was the last one wanted."""
        message = read_message(event)
        if isinstance(message, Progress):
            if message.token != self.seen:
                self.seen = message.token
                yield Delivery(message)
            return self.only_progress and message.state != "active"
        if message is not None and not self.only_progress:
            yield Delivery(message)
        return False


def read_message(event: ServerEvent) -> LiveMessage | None:
    """What an event of a workflow's stream says; None for one of a kind that is not known. Raises UnavailableError."""
    if event.name == PROGRESS:
        return _decode(event.data, Progress)
    if event.name == GAP:
        return _decode(event.data, GapView)
    return _decode(event.data, NoticeView) if "." in event.name else None


def stream(workflow_id: str, *, after: str | None = None) -> Turns[LiveMessage]:
    """What happens to a workflow, until it is over: `Progress`, whenever that changed, and each notice once, in order (`NoticeView`).

    `GapView`: notices may be lost, since the one to go on behind is not kept; all that are kept follow.

    Args:
        after: `id` of the last notice that you know; `now`: only what happens from now on; None: from the first on.
    """
    with contextlib.suppress(Leaving):
        yield from Listening(workflow_id, after=after).turns()


def follow(
    workflow_id: str, *, notices: bool = False, on_poll: Callable[[str], None] | None = None
) -> Turns[LiveMessage]:
    """Each change of the progress of a workflow, the last one being of the ended workflow, also where no stream comes through.

    Args:
        notices: all notices too, from the first on, and those until its workers are gone; not where no stream comes through.
        on_poll: called with the reason when calls are parked instead.
    """
    with contextlib.suppress(Leaving):
        progress: Progress = yield calls.get_progress(workflow_id)
        yield Delivery(progress)
        if progress.state != "active" and not notices:
            return
        listening = Listening(
            workflow_id, after=None if notices else "now", seen=progress.token, only_progress=not notices
        )
        try:
            yield from listening.turns()
        except (NoStreamError, NotFoundError, RejectedError) as error:
            if on_poll is not None:
                on_poll(str(error))
            yield from _poll(workflow_id, seen=listening.seen)


def _poll(workflow_id: str, *, seen: str | None) -> Turns[LiveMessage]:
    while True:  # ends with the workflow
        progress: Progress = yield calls.get_progress(workflow_id, seen=seen, wait_s=WAIT_S)
        if progress.token != seen:
            yield Delivery(progress)
        seen = progress.token
        if progress.state != "active":
            return


def _decode(data: str, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.MsgspecError as error:
        raise UnavailableError(
            f"the stream is not one of Muster's ({error}): is the address that of a Muster service of this version?"
        ) from error
