"""What does one service process remember of execution points? Which host a session is at, how attempts ended there, and which rest.

All of it is bounded, and a few seconds of it are lost with the process: it is for judging hosts, not for the account. `keep_hosts` writes
it down, and tells this book what other services have seen.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from muster.domain.hosts import HostWatch
from muster.domain.recent import Recent

SESSIONS_MAX = 1 << 15
TASKS_MAX = 4096
NOTES_MAX = 20_000
"""Hosts, of tasks, with news that are not written down yet."""
REDONE_MAX = 1000
"""Events that were done at a further attempt, of which is not looked up yet who failed them."""


class Place(NamedTuple):
    """Where a worker is."""

    host: str
    site: str


class Key(NamedTuple):
    """A host, for a task."""

    task_id: str
    host: str


@dataclass
class Note:
    """What is new of a host since it was written down. `rests_until`: seconds since the epoch."""

    site: str = ""
    done: int = 0
    failed: int = 0
    fingerprint: str | None = None
    failed_at: float | None = None
    rests_until: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Redone:
    """An event that was done at a further attempt, by this revision of the task: whoever failed it before is to be found out."""

    task_id: str
    event: int
    host: str
    revision: int


@dataclass(frozen=True)
class News:
    """What is to be written down."""

    notes: Mapping[Key, Note] = field(default_factory=dict)
    redone: Sequence[Redone] = ()


class HostBook:
    """The memory of one service process.

    Args:
        clock: seconds since the epoch. monotonic: seconds, of a clock that nobody sets back.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._places: Recent[int, Place] = Recent(size=SESSIONS_MAX)
        self._watches: Recent[str, HostWatch] = Recent(size=TASKS_MAX)
        self._notes: dict[Key, Note] = {}
        self._redone: deque[Redone] = deque(maxlen=REDONE_MAX)
        self._resting: Mapping[Key, float] = {}

    def keep_place(self, session: int, place: Place) -> Place:
        """Remember where a session's worker is."""
        return self._places.keep(session, place)

    def find_place(self, session: int) -> Place | None:
        """Where it is, as far as that is remembered."""
        return self._places.find(session)

    def note_call(self, task_id: str, place: Place) -> None:
        """A worker has called: its host is one of those that are there."""
        self._watch(task_id).note_call(place.host, at=self._monotonic())

    def note_done(self, task_id: str, place: Place, event: int, *, revision: int, is_first: bool) -> None:
        """An attempt has ended its event. `is_first`: nobody can have failed it before."""
        self._watch(task_id).note(place.host, failed=False, at=self._monotonic())
        self._note(task_id, place).done += 1
        if not is_first:
            self._redone.append(Redone(task_id, event, place.host, revision))

    def note_failed(self, task_id: str, place: Place, fingerprint: str) -> None:
        """An attempt has failed."""
        now, watch, note = self._clock(), self._watch(task_id), self._note(task_id, place)
        note.failed += 1
        note.fingerprint, note.failed_at = fingerprint, now
        if (pause_s := watch.note(place.host, failed=True, at=self._monotonic())) is not None:
            note.rests_until = now + pause_s
            note.reason = f"its last {watch.streak(place.host)} attempts failed, and those of others do not"

    def find_rest(self, task_id: str, host: str) -> float:
        """Seconds for which a host is given nothing; 0: it is given events."""
        watch = self._watches.find(task_id)
        pause_s = 0.0 if watch is None else watch.find_pause(host, at=self._monotonic())
        return max(pause_s, self._resting.get(Key(task_id, host), 0.0) - self._clock(), 0.0)

    def trust(self, task_id: str, host: str) -> None:
        """Somebody says that it is all right."""
        if (watch := self._watches.find(task_id)) is not None:
            watch.trust(host)
        if (note := self._notes.get(Key(task_id, host))) is not None:
            note.rests_until = None
        self._resting = {key: until for key, until in self._resting.items() if key != (task_id, host)}

    def take_news(self) -> News:
        """What is to be written down; it is forgotten here."""
        news = News(self._notes, list(self._redone))
        self._notes = {}
        self._redone.clear()
        return news

    def give_back(self, news: News) -> None:
        """It could not be written down."""
        for key, old in news.notes.items():
            new = self._notes.setdefault(key, Note())
            new.done, new.failed = new.done + old.done, new.failed + old.failed
            new.site = new.site or old.site
            if new.failed_at is None:
                new.fingerprint, new.failed_at = old.fingerprint, old.failed_at
            if new.rests_until is None:
                new.rests_until, new.reason = old.rests_until, old.reason
        self._redone.extendleft(reversed(news.redone))

    def learn(self, resting: Mapping[Key, float]) -> None:
        """What every service has written down of who rests, and until when."""
        self._resting = resting

    def _watch(self, task_id: str) -> HostWatch:
        return self._watches.find(task_id) or self._watches.keep(task_id, HostWatch())

    def _note(self, task_id: str, place: Place) -> Note:
        key = Key(task_id, place.host)
        if key not in self._notes and len(self._notes) >= NOTES_MAX:
            return Note()  # hosts with ever new names: they are not judged
        note = self._notes.setdefault(key, Note())
        note.site = place.site
        return note
