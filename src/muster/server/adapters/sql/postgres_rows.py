"""How do steps travel to PostgreSQL and back? Arrays for `pg_temp.muster_step`, and its rows read again."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import asyncpg

from muster.domain.attempt import Outcome, Verdict
from muster.domain.ids import EventIds
from muster.server.adapters.sql.step_rules import WANT_MAX, list_new, may_exist, measure, render_error
from muster.server.ports.queue_engine import Body, BodyKind, Leased, SessionEndedError, Step, StepAnswer

RESCAN_S = 1.0
"""Seconds after which a queue is looked through from its beginning."""
QUEUES_REMEMBERED_MAX = 10_000

_OUTCOMES = {Outcome.DONE: 1, Outcome.FAILED: 2, Outcome.RELEASED: 3}
_FAILED_FINALLY = 4
_VERDICTS = {
    1: Verdict.DONE,
    2: Verdict.LATE,
    3: Verdict.DUPLICATE,
    4: Verdict.REQUEUED,
    5: Verdict.DEAD,
    6: Verdict.STALE,
    7: Verdict.UNKNOWN,
}
_KINDS = {kind.value: kind for kind in BodyKind}
_CALL, _ATTEMPT, _LEASE = 1, 2, 3  # o_what


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step, or with `is_more` the lease of one that was parked."""

    step: Step
    is_more: bool


@dataclass
class Hints:
    """Where the head of each queue was when somebody last leased from it.

    Behind the head lie dead index entries, which a scan from the beginning would pass again and again while some open
    snapshot keeps them. What comes late or goes back lies there too: so the beginning is looked at once a second, when a
    lease comes back short (`muster_step` does that) and when this process sent something back.
    """

    heads: dict[int, int] = field(default_factory=dict)
    scanned_at: dict[int, float] = field(default_factory=dict)

    def start(self, queue: int) -> int:
        """The event number to look from."""
        now = time.monotonic()
        if now - self.scanned_at.get(queue, -RESCAN_S) >= RESCAN_S:
            if len(self.scanned_at) >= QUEUES_REMEMBERED_MAX:
                self.scanned_at.clear()
                self.heads.clear()
            self.scanned_at[queue] = now
            return 0
        return self.heads.get(queue, 0)

    def forget(self, queues: Iterable[int]) -> None:
        """Something went back to these queues."""
        for queue in queues:
            self.heads.pop(queue, None)


@dataclass
class StepArrays:
    """Calls as the arguments of `pg_temp.muster_step`, and what is needed to read its rows.

    Args:
        places: by attempt sent: its call, and its place among the attempts of the call.
        groups: lists of queues that something is wanted from, numbered from 1.
    """

    calls: Sequence[StepCall]
    places: list[tuple[int, int]] = field(default_factory=list)
    attempts: list[tuple[object, ...]] = field(default_factory=list)
    results: list[tuple[int, int, int, int, bytes]] = field(default_factory=list)
    groups: dict[tuple[int, ...], int] = field(default_factory=dict)

    def arguments(self, ids: EventIds, hints: Hints) -> list[Sequence[object]]:
        """The arrays, in the order of the function's parameters. Takes new event ids, so call it anew for each try."""
        self.places, self.attempts, self.results, self.groups = [], [], [], {}
        for number, call in enumerate(self.calls, 1):
            self._add_attempts(number, call.step, ids)
            if call.step.want > 0 and call.step.queues:
                self.groups.setdefault(_queues_of(call), len(self.groups) + 1)
        queues = [(group, queue, hints.start(queue)) for listed, group in self.groups.items() for queue in listed]
        steps = [call.step for call in self.calls]
        return [
            [step.holder for step in steps],
            [step.call for step in steps],
            [float(step.lease_s) for step in steps],
            [call.is_more for call in self.calls],
            [min(step.want, WANT_MAX) for step in steps],
            [self.groups.get(_queues_of(call), 0) for call in self.calls],
            *_columns(self.attempts, 16),
            *_columns(self.results, 5),
            *_columns(queues, 3),
        ]

    def _add_attempts(self, number: int, step: Step, ids: EventIds) -> None:
        outputs = tuple(dict.fromkeys(step.outputs))
        named: set[int] = set()
        for place, finished in enumerate(step.finished):
            if not may_exist(finished.event, finished.fence):
                continue
            self.places.append((number - 1, place))
            is_plain = finished.outcome is Outcome.DONE and finished.event not in named
            named.add(finished.event)
            made = list_new(finished, outputs)
            new = ids.take(len(made), now_s=time.time()) if made else []
            kept = finished.results[0] if finished.results and not outputs else None
            taken = measure(finished)
            self.attempts.append(
                (
                    number,
                    finished.event,
                    finished.fence,
                    _FAILED_FINALLY if finished.is_final else _OUTCOMES[finished.outcome],
                    is_plain,
                    taken.wall_s,
                    *render_error(finished.error),
                    len(new),
                    new[0] if new else None,
                    int(kept.kind) if kept else None,
                    kept.data if kept else None,
                    *taken[1:],
                )
            )
            attempt = len(self.attempts)
            for event, (body, queue) in zip(new, made, strict=True):
                self.results.append((attempt, event, queue, int(body.kind), body.data))

    def read(self, rows: Sequence[asyncpg.Record], hints: Hints) -> list[StepAnswer | Exception]:
        """The answers to the calls, in their order."""
        newest: dict[int, int | None] = {}
        judged: dict[int, asyncpg.Record] = {}
        leased: list[list[tuple[int, Leased]]] = [[] for _ in self.calls]
        for row in rows:
            what, of = row[0], row[1]
            if what == _LEASE:
                leased[of - 1].append((row[6], _read_lease(row)))
            elif what == _ATTEMPT:
                judged[of - 1] = row
            elif what == _CALL:
                newest[of - 1] = row[2]
        verdicts, published, requeued, delayed = self._read_verdicts(judged)
        answers: list[StepAnswer | Exception] = []
        for index, call in enumerate(self.calls):
            known = newest.get(index)
            if known is None:
                answers.append(SessionEndedError())
                continue
            events = _in_order(leased[index], call.step.queues, hints)
            is_superseded = call.step.call < known
            back = frozenset(requeued[index])
            answers.append(
                StepAnswer(verdicts[index], events, frozenset(published[index]), back, is_superseded, index in delayed)
            )
        hints.forget(queue for queues in requeued for queue in queues)
        return answers

    def _read_verdicts(
        self, judged: Mapping[int, asyncpg.Record]
    ) -> tuple[list[list[Verdict]], list[set[int]], list[set[int]], set[int]]:
        """By call: its verdicts, the queues that have its results, and those that events went back to; and the calls of which
        events are delayed.
        """
        verdicts = [[Verdict.UNKNOWN] * len(call.step.finished) for call in self.calls]
        published: list[set[int]] = [set() for _ in self.calls]
        requeued: list[set[int]] = [set() for _ in self.calls]
        delayed: set[int] = set()
        for index, (call, place) in enumerate(self.places):
            row = judged.get(index)
            verdicts[call][place] = _VERDICTS[row[4]] if row else Verdict.DONE
            is_new = row[3] == 1 if row else True
            if is_new:
                published[call].update(_find_outputs(self.calls[call].step, place))
            if row and row[6] is not None:
                requeued[call].add(row[6])
            if row and row[5] == 1:
                delayed.add(call)
        return verdicts, published, requeued, delayed


def _find_outputs(step: Step, place: int) -> Iterable[int]:
    """The queues to which the results of one attempt go."""
    finished = step.finished[place]
    if not finished.results:
        return ()
    return {queue for _, queue in list_new(finished, step.outputs)} if finished.targets else step.outputs


def _queues_of(call: StepCall) -> tuple[int, ...]:
    return tuple(dict.fromkeys(call.step.queues))


def _columns(rows: Sequence[Sequence[object]], width: int) -> list[Sequence[object]]:
    return list(zip(*rows, strict=True)) if rows else [[] for _ in range(width)]


def _read_lease(row: asyncpg.Record) -> Leased:
    _, _, event, fence, attempt, limit, queue, kind, key, body, deaths = row
    return Leased(event, fence, attempt, Body(_KINDS[kind], body), key, limit, deaths, queue)


def _in_order(leased: list[tuple[int, Leased]], queues: Sequence[int], hints: Hints) -> list[Leased]:
    """In order of the queues and of each queue. The last one taken of a queue is where its head was."""
    place = {queue: index for index, queue in enumerate(queues)}
    leased.sort(key=lambda one: (place.get(one[0], len(place)), one[1].event))
    for queue, one in leased:
        hints.heads[queue] = one.event + 1
    return [one for _, one in leased]
