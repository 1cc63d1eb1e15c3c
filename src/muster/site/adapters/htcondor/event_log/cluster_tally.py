"""What became of a cluster so far? Counts that are kept as events come in, beside the entries of its procs.

So a look at them costs as much as there are distinct statuses, errors and machines, however many procs there are.
"""

import math
from array import array
from collections import Counter
from dataclasses import dataclass

from muster.site.adapters.htcondor.event_log.counted import NONE, OTHER_TEXT, CountedTexts
from muster.site.adapters.htcondor.event_log.events import (
    COMPLETED,
    ENDED,
    HELD,
    IDLE,
    NEXT,
    ON_A_MACHINE,
    PHASES,
    RUNNING,
    UNSEEN,
    Number,
)
from muster.site.adapters.htcondor.event_log.proc_entries import ProcEntries, exit_of

ERRORS_MAX = 10_000
PLACES_MAX = 100_000
WORDS_MAX = 256
HOLDS_MAX = 16_384
_FIRST_HOLD = 16
"""From here on an entry of `states` is a hold: this, and the slot of its reason."""
PHASE_BITS, _DISCONNECTED, _FAILED_START, _EVICTED = 0b111, 0b1000, 0b10000, 0b100000
REMOVAL_S = 10
"""Seconds within which an eviction and an end by removal are one: the machine is left first, and that is written down as an eviction."""

SATURATED = 65_535
HAPPENINGS = (
    "starts",
    "restarts",
    "evictions",
    "shadow exceptions",
    "disconnects",
    "disconnected",
    "reconnect failures",
    "suspensions",
    "remote errors",
    "failed starts",
)


@dataclass(frozen=True)
class Correction:
    """What is known of a proc from elsewhere, and since when.

    Args:
        state: one of `events.WORDS`.
        at: when this was so, seconds since the epoch; earlier events say nothing against it.
        hold: code and subcode, where the state is HELD.
        exit_code: of a proc that ended by itself; None if a signal ended it, or nothing is known.
        signal: that ended it.
        ended_at: seconds since the epoch, where the state is an end.
    """

    state: int
    at: float
    hold: tuple[int, int] = (0, 0)
    exit_code: int | None = None
    signal: int | None = None
    ended_at: float | None = None


class ClusterTally(ProcEntries):
    """Counts of one cluster.

    Attributes:
        taskforce: uuid from the notes of the submission or the job ad; None if there was none.
        counts: `state << 16 | word` → procs; zeros may stand in it.
        numbers: how often what happened: starts, evictions, ...
        n_procs: procs heard of; `n_ended` of them ended for good.
        ended_at: the latest end, seconds since the epoch.
        silent: how (as in `exits`) procs ended by themselves whose pilot never said a word, and whether it named an error → procs.
    """

    def __init__(self, cluster: int) -> None:
        super().__init__(cluster)
        self.taskforce: str | None = None
        self.ads_to_ask = 64  # job ad events that may still be looked into for the taskforce
        self.n_procs = 0
        self.n_ended = 0
        self.ended_at: float | None = None
        self.is_factory = False
        self.removed_at: float | None = None  # cluster removed
        self.paused: str | None = None  # why no more procs are made
        self.numbers = dict.fromkeys(HAPPENINGS, 0)
        self.phases = array("q", [0] * len(PHASES))
        self.counts: dict[int, int] = {}
        self.silent: Counter[tuple[int, bool]] = Counter()
        self.pilot_words: list[str | None] = [None]
        self.word_slots: dict[bytes, int] = {}
        self.holds: list[tuple[int, int]] = []
        self.hold_slots: dict[tuple[int, int], int] = {}
        self.error_texts = CountedTexts(ERRORS_MAX)
        self.place_texts = CountedTexts(PLACES_MAX)

    def expect(self, n_procs: int) -> None:
        """Say how many procs there can be: those from here on were a damaged header's, and are forgotten."""
        self.limit = n_procs
        beyond = [*range(n_procs, self.in_line), *(index for proc, index in self.apart.items() if proc >= n_procs)]
        for index in beyond:
            if self.states[index]:
                self.forget_values(index)
                self.become(index, UNSEEN)

    def read_state(self, state: int) -> tuple[int, tuple[int, int] | None]:
        """An entry of `states` as HTCondor's JobStatus, with code and subcode of one that is held."""
        return (HELD, self.holds[state - _FIRST_HOLD]) if state >= _FIRST_HOLD else (state, None)

    def is_any_held(self) -> bool:
        """Is a proc held now?"""
        return any(count > 0 and key >> 16 >= _FIRST_HOLD for key, count in self.counts.items())

    def move(self, index: int, number: Number) -> bool:
        """Let a proc take the state that follows by an event; False if it stays as it is."""
        old = self.states[index]
        new = NEXT[number].get(HELD if old >= _FIRST_HOLD else old, old)
        if new == old:
            return False
        self.become(index, new)
        return True

    def become(self, index: int, new: int) -> None:
        """Put a proc into a state, with all that hangs on it."""
        old = self.states[index]
        if old == new:
            return
        word, counts = self.words[index], self.counts
        if old:
            counts[old << 16 | word] -= 1
            if old in ENDED:
                self.n_ended -= 1
                if old == COMPLETED:
                    self._count_silent(index, -1)
        else:
            self.n_procs += 1
        if new:
            key = new << 16 | word
            counts[key] = counts.get(key, 0) + 1
            if new in ENDED:
                self.n_ended += 1
                if new == COMPLETED:
                    self._count_silent(index, 1)
        else:
            self.n_procs -= 1
        self.states[index] = new
        if new not in ON_A_MACHINE and (self.places[index] or self.flags[index]):
            self._leave_machine(index)

    def hold(self, index: int, reason: tuple[int, int]) -> bool:
        """Hold a proc for a reason (code, subcode); False if it has ended."""
        if self.states[index] in ENDED:
            return False
        slot = self.hold_slots.get(reason)
        if slot is None:
            if len(self.holds) >= HOLDS_MAX:
                reason = (reason[0], 0) if (reason[0], 0) in self.hold_slots else self.holds[-1]
                slot = self.hold_slots[reason]
            else:
                slot = self.hold_slots[reason] = len(self.holds)
                self.holds.append(reason)
        self.become(index, _FIRST_HOLD + slot)
        return True

    def start(self, index: int, started: int, place: bytes) -> None:
        """A proc starts on a machine: what its pilot said before does not hold any more."""
        self.numbers["starts"] += 1
        n_starts = self.starts[index]
        if n_starts:
            self.numbers["restarts"] += 1
        if n_starts < SATURATED:
            self.starts[index] = n_starts + 1
        self.started[index] = started
        if self.words[index] or self.errors[index]:
            self.forget_values(index)
        self.become(index, RUNNING)
        if flags := self.flags[index]:
            self.phases[flags & PHASE_BITS] -= 1
            self.phases[0] += 1
            self._unflag(index, flags)
        if self.places[index]:
            self.place_texts.leave(self.places[index])
        self.places[index] = self.place_texts.take(place)

    def evict(self, index: int, number: Number, what: str) -> None:
        """A proc was taken from its machine, in one of three ways."""
        if self.states[index] in ENDED:
            return
        self.numbers[what] += 1
        self.move(index, number)
        if self.flags[index]:  # where it only was on its way to a machine, its state has not changed
            self._leave_machine(index)

    def note_eviction(self, index: int, at: int) -> None:
        """It was taken from its machine, at so many seconds since the epoch; unless a removal did it (`excuse_eviction`)."""
        if self.states[index] not in ENDED:
            self.evictions[index] = min(self.evictions[index] + 1, SATURATED)
            self.flags[index] |= _EVICTED
            self.started[index] = at & 0xFFFFFFFF

    def excuse_eviction(self, index: int, at: float) -> None:
        """It is removed, at so many seconds since the epoch: was that why it was evicted last?"""
        if self.flags[index] & _EVICTED and at - self.started[index] <= REMOVAL_S:
            self.numbers["evictions"] -= 1
            self.evictions[index] -= 1
            self.flags[index] &= ~_EVICTED

    def end(self, index: int, number: Number, *, ended_at: float, how: int) -> None:
        """A proc ended; `how` as in `exits`. Only the first end counts."""
        if self.states[index] in ENDED:
            return
        self.exits[index] = how
        self.move(index, number)
        if self.ended_at is None or ended_at > self.ended_at:
            self.ended_at = ended_at

    def _count_silent(self, index: int, more: int) -> None:
        if not self.words[index]:
            self.silent[self.exits[index], self.errors[index] != NONE] += more

    def say(self, index: int, value: bytes, text: str) -> None:
        """The pilot of a proc named its status, as bytes of the log and as text. After the end nothing is heard."""
        if len(self.word_slots) >= WORDS_MAX:
            value, text = b"", OTHER_TEXT.decode()
        slot = self.word_slots.get(value)
        if slot is None:
            slot = self.pilot_words.index(text) if text in self.pilot_words else len(self.pilot_words)
            if slot == len(self.pilot_words):
                self.pilot_words.append(text)
            self.word_slots[value] = slot
        self.set_word(index, slot)

    def set_word(self, index: int, slot: int) -> None:
        """As `say`, by the slot of the word."""
        state, old = self.states[index], self.words[index]
        if old == slot or state in ENDED:
            return
        counts = self.counts
        counts[state << 16 | old] -= 1
        key = state << 16 | slot
        counts[key] = counts.get(key, 0) + 1
        self.words[index] = slot

    def fail(self, index: int, error: str) -> None:
        """The pilot of a proc named an error; the last one counts."""
        if self.states[index] in ENDED:
            return
        self.error_texts.leave(self.errors[index])
        self.errors[index] = self.error_texts.take(error.encode()) if error else NONE

    def forget_values(self, index: int) -> None:
        """What the pilot of a proc said holds no more."""
        is_completed = self.states[index] == COMPLETED
        if is_completed:
            self._count_silent(index, -1)
        self.error_texts.leave(self.errors[index])
        self.errors[index] = NONE
        if is_completed:
            self._count_silent(index, 1)
        if self.words[index]:
            self.set_word(index, 0)

    # -- what goes on beside its state

    def disconnect(self, index: int) -> None:
        """The machine of a proc is out of reach."""
        self.numbers["disconnects"] += 1
        self.disconnects[index] = min(self.disconnects[index] + 1, SATURATED)
        if not self.flags[index] & _DISCONNECTED:
            self.numbers["disconnected"] += 1
            self.flags[index] |= _DISCONNECTED

    def reconnect(self, index: int) -> None:
        """It is within reach again, or given up."""
        self._unflag(index, _DISCONNECTED)

    def fail_start(self, index: int) -> None:
        """An error on the machine. It counts as a start that failed, unless a hold follows (`excuse_start`)."""
        self.numbers["remote errors"] += 1
        if not self.flags[index] & _FAILED_START:
            self.numbers["failed starts"] += 1
            self.flags[index] |= _FAILED_START

    def excuse_start(self, index: int) -> None:
        """The error on the machine was why the proc is held."""
        if self.flags[index] & _FAILED_START:
            self.numbers["failed starts"] -= 1
            self.flags[index] &= ~_FAILED_START

    def _unflag(self, index: int, flags: int) -> None:
        if self.flags[index] & flags & _DISCONNECTED:
            self.numbers["disconnected"] -= 1
        self.flags[index] &= ~flags

    def _leave_machine(self, index: int) -> None:
        if self.places[index]:
            self.place_texts.leave(self.places[index])
            self.places[index] = NONE
        flags = self.flags[index]
        if flags:
            self.phases[flags & PHASE_BITS] -= 1
            self.phases[0] += 1
            self.numbers["disconnected"] -= bool(flags & _DISCONNECTED)
            self.flags[index] = flags & _FAILED_START

    # -- what others know

    def correct(self, proc: int, known: Correction) -> None:
        """Take over what the queue or the history says of a proc. Raises UnbelievableError.

        An event that is no older overrides it; where it is an end, only another event of an end does, for whoever left the queue
        does not run again.
        """
        index = self.index_of(proc)
        is_end = known.state in ENDED
        self.corrected.pop(index, None)
        if self.states[index] in ENDED:
            self.become(index, IDLE)
        if known.state == HELD:
            self.hold(index, known.hold)
        elif is_end:
            self.exits[index] = exit_of(known.exit_code, known.signal)
            self.become(index, known.state)
            self.ended_at = max(known.at if known.ended_at is None else known.ended_at, self.ended_at or -math.inf)
        else:
            self.become(index, known.state)
        self.corrected[index] = (known.at, is_end)

    def is_outdated(self, index: int, number: Number, happened_at: float) -> bool:
        """Is an event older than what is known of its proc from elsewhere? If it is not, that is known no more."""
        known = self.corrected.get(index)
        if known is None:
            return False
        since, is_end = known
        if is_end:
            if number not in (Number.TERMINATED, Number.ABORTED):
                return True
            self.become(index, IDLE)  # so that this end is the one that counts
        elif happened_at < math.floor(since):
            return True
        del self.corrected[index]
        return False
