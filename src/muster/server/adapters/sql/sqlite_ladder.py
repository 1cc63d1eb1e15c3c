"""What does the account make of an attempt that was handed in? The ladder, on SQLite.

One writer: what a rung has seen cannot change before the next is tried.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from muster.domain.attempt import FAILED_ENDS, AttemptEnd, Outcome, Verdict
from muster.domain.retry import next_pause
from muster.server.adapters.sql.sql_blocks import read_blocks
from muster.server.adapters.sql.step_rules import clean_wall_s, may_exist, render_error
from muster.server.ports.queue_engine import Finished

SQL: Mapping[str, str] = read_blocks("sqlite_step.sql")

PLAIN_MIN = 4
"""So many attempts of one step are looked at as a set."""


class Deltas:
    """Changes of the counters, added up: one row a queue and transaction."""

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}

    def add(
        self,
        queue: int,
        *,
        published: int = 0,
        waiting: int = 0,
        in_work: int = 0,
        done: int = 0,
        dead: int = 0,
        failed: int = 0,
        duplicates: int = 0,
    ) -> None:
        row = self._rows.setdefault(queue, [0] * 7)
        for place, change in enumerate((published, waiting, in_work, done, dead, failed, duplicates)):
            row[place] += change

    def write(self, connection: sqlite3.Connection) -> None:
        """Insert those that change anything."""
        connection.executemany(SQL["delta"], [(queue, *row) for queue, row in self._rows.items() if any(row)])


class Rule(NamedTuple):
    """What a queue says of attempts: how many an event has, and seconds of the first pause. It never changes."""

    limit: int
    retry_s: float


_PLACES_TO_LEAVE: Sequence[tuple[str, Mapping[str, int]]] = (
    ("take_ready", {"waiting": -1}),
    ("take_delayed", {"waiting": -1}),
    ("take_dead", {"dead": -1}),
)


@dataclass(slots=True)
class Lease:
    """A lease that was taken out of its table, current or ended."""

    queue: int
    holder: int
    attempts: int
    fence: int
    since: float


@dataclass(slots=True)
class Ladder:
    """Judges the attempts of one step.

    Args:
        holder: the session that hands them in.
        outputs: queues that results go to.
        rule_of: how often an event of a queue may be tried, and its first pause.
        take_ids: gives ids of new events, ascending.
        published, requeued: queues that got new events, and old ones back.
        has_delayed: an event waits for its next attempt.
    """

    connection: sqlite3.Connection
    holder: int
    outputs: Sequence[int]
    now: float
    rule_of: Callable[[int], Rule]
    take_ids: Callable[[int], list[int]]
    deltas: Deltas
    published: set[int] = field(default_factory=set)
    requeued: set[int] = field(default_factory=set)
    has_delayed: bool = False

    def judge_all(self, handed_in: Sequence[Finished]) -> list[Verdict]:
        """Judge a step's attempts: those that are simply done under a lease in force as sets, the others one by one in their order."""
        plain = self._take_plain(handed_in)
        if plain:
            for queue, count in Counter(lease.queue for _, lease in plain).items():
                self.deltas.add(queue, in_work=-count)
            self._finish(plain, is_late=False)
        done = {id(finished) for finished, _ in plain}
        return [Verdict.DONE if id(one) in done else self.judge(one) for one in handed_in]

    def _take_plain(self, handed_in: Sequence[Finished]) -> list[tuple[Finished, Lease]]:
        """Take out of `leased` what is done under a lease of this session in force, and was not named before in the same step.

        None where there are few: then reading all that the session holds costs more than it saves.
        """
        if len(handed_in) < PLAIN_MIN:
            return []
        held = {row[0]: row for row in self.connection.execute(SQL["held_leases"], (self.holder,))}
        plain: list[tuple[Finished, Lease]] = []
        named: set[int] = set()
        for one in handed_in:
            row = held.get(one.event)
            if one.outcome is Outcome.DONE and row is not None and row[4] == one.fence and one.event not in named:
                plain.append((one, Lease(*row[1:])))
            named.add(one.event)
        self.connection.executemany(SQL["drop_leased"], [(one.event,) for one, _ in plain])
        return plain

    def judge(self, finished: Finished) -> Verdict:
        """Climb until a rung answers."""
        event, fence = finished.event, finished.fence
        if not may_exist(event, fence):
            return Verdict.UNKNOWN
        row = self.connection.execute(SQL["take_own"], (event, fence, self.holder)).fetchone()
        if row is not None:
            return self._settle(finished, Lease(*row))
        row = self.connection.execute(SQL["find_leased"], (event, fence)).fetchone()
        if row is not None:
            return self._judge_lease_of_another(finished, holder=row[0])
        row = self.connection.execute(SQL["find_finished"], (event, fence)).fetchone()
        if row is not None:
            return self._confirm(finished, holder=row[0], is_late=bool(row[1]))
        row = self.connection.execute(SQL["find_attempt"], (event, fence)).fetchone()
        if row is not None:
            holder, end, queue, since = row
            return self._judge_ended(finished, AttemptEnd(end), Lease(queue, holder, 0, fence, since))
        return Verdict.UNKNOWN

    # -- the attempt is in force -----------------------------------------------------------------------------------------

    def _settle(self, finished: Finished, lease: Lease) -> Verdict:
        if finished.outcome is Outcome.DONE:
            self.deltas.add(lease.queue, in_work=-1)
            self._finish([(finished, lease)], is_late=False)
            return Verdict.DONE
        end = AttemptEnd.FAILED if finished.outcome is Outcome.FAILED else AttemptEnd.RELEASED
        self.write_attempt(finished.event, lease, end, finished)
        return self.send_back(finished.event, lease, is_counted=end is not AttemptEnd.RELEASED)

    def send_back(self, event: int, lease: Lease, *, is_counted: bool) -> Verdict:
        """An event whose lease was taken out of `leased` waits again, or dies at the limit of attempts that count."""
        queue, attempts = lease.queue, lease.attempts - (not is_counted)
        rule = self.rule_of(queue)
        if is_counted and attempts >= rule.limit:
            self.connection.execute(SQL["bury"], (queue, event, attempts, lease.fence, self.now))
            self.deltas.add(queue, in_work=-1, dead=1)
            return Verdict.DEAD
        self.deltas.add(queue, in_work=-1, waiting=1)
        if is_counted and (pause_s := next_pause(attempts, retry_s=rule.retry_s)):
            self.connection.execute(SQL["delay"], (queue, event, attempts, lease.fence, self.now + pause_s))
            self.has_delayed = True
        else:
            self.connection.execute(SQL["ready"], (queue, event, attempts, lease.fence))
            self.requeued.add(queue)
        return Verdict.REQUEUED

    def write_attempt(self, event: int, lease: Lease, end: AttemptEnd, finished: Finished | None = None) -> None:
        """Keep how an attempt ended that did not end its event."""
        self.deltas.add(lease.queue, failed=end in FAILED_ENDS)
        fingerprint, error = render_error(finished.error if finished else None)
        wall_s = clean_wall_s(finished) if finished else 0.0
        self.connection.execute(
            SQL["attempt"],
            (event, lease.fence, lease.queue, lease.holder, end, lease.since, self.now, wall_s, fingerprint, error),
        )

    def _finish(self, ended: Sequence[tuple[Finished, Lease]], *, is_late: bool) -> None:
        """The events are done by these attempts: keep them, and publish their results."""
        outputs = self.outputs
        total = sum(len(finished.results) for finished, _ in ended)
        new = iter(self.take_ids(total * len(outputs)) if total and outputs else ())
        rows: list[tuple[object, ...]] = []
        made: list[tuple[int, int, int, int, bytes]] = []
        for finished, lease in ended:
            bodies = finished.results
            first = len(made)
            # Plain integers: SQLite's driver looks for an adapter for every other kind of number.
            made += [
                (next(new), queue, finished.event, int(body.kind), body.data) for body in bodies for queue in outputs
            ]
            kept = bodies[0] if bodies and not outputs else None
            rows.append(
                (finished.event, lease.queue, lease.holder, lease.fence, lease.attempts, int(is_late), lease.since)
                + (self.now, clean_wall_s(finished), len(made) - first, made[first][0] if len(made) > first else None)
                + ((int(kept.kind), kept.data) if kept else (None, None))
            )
        self.connection.executemany(SQL["finish"], rows)
        for queue, count in Counter(lease.queue for _, lease in ended).items():
            self.deltas.add(queue, done=count)
        if made:
            self.connection.executemany(SQL["publish"], made)
            self.connection.executemany(SQL["ready"], [(queue, event, 0, 0) for event, queue, *_ in made])
            for queue in outputs:
                self.deltas.add(queue, published=total, waiting=total)
            self.published.update(outputs)

    # -- the attempt is not in force -------------------------------------------------------------------------------------

    def _is_kin(self, holder: int) -> bool:
        """Was the lease given to this session, or to another of the same taskforce (or of the same person's queue)?"""
        return self.connection.execute(SQL["is_kin"], (self.holder, holder)).fetchone() is not None

    def _judge_lease_of_another(self, finished: Finished, *, holder: int) -> Verdict:
        if not self._is_kin(holder):
            return Verdict.UNKNOWN
        if finished.outcome is not Outcome.DONE:
            return Verdict.STALE
        lease = Lease(*self.connection.execute(SQL["take_leased"], (finished.event,)).fetchone())
        self.deltas.add(lease.queue, in_work=-1)
        self._finish([(finished, lease)], is_late=True)
        return Verdict.LATE

    def _confirm(self, finished: Finished, *, holder: int, is_late: bool) -> Verdict:
        """The event was done by this very attempt."""
        if not self._is_kin(holder):
            return Verdict.UNKNOWN
        if finished.outcome is not Outcome.DONE:
            return Verdict.STALE
        return Verdict.LATE if is_late else Verdict.DONE

    def _judge_ended(self, finished: Finished, end: AttemptEnd, lease: Lease) -> Verdict:
        """The attempt had ended without ending its event. A word said before is confirmed, a result still counts if it can."""
        if not self._is_kin(lease.holder):
            return Verdict.UNKNOWN
        if finished.outcome is Outcome.DONE and end is not AttemptEnd.FAILED:
            return self._judge_result(finished, lease, end)
        if finished.outcome is Outcome.FAILED and end is AttemptEnd.FAILED:
            key = (lease.queue, finished.event, lease.fence)
            is_dead = self.connection.execute(SQL["find_dead"], key).fetchone() is not None
            return Verdict.DEAD if is_dead else Verdict.REQUEUED
        if finished.outcome is Outcome.RELEASED and end is AttemptEnd.RELEASED:
            return Verdict.REQUEUED
        return Verdict.STALE

    def _judge_result(self, finished: Finished, lease: Lease, end: AttemptEnd) -> Verdict:
        """A result of a lease that had ended. It counts unless the event is done."""
        attempts = self._take_wherever_it_is(finished.event, lease.queue)
        if attempts is None:
            is_done = self.connection.execute(SQL["is_finished"], (finished.event,)).fetchone() is not None
            if is_done:
                self._end_attempt(finished, lease.queue, end, AttemptEnd.DUPLICATE)
            return Verdict.DUPLICATE if is_done else Verdict.UNKNOWN
        lease.attempts = max(1, attempts)
        self._end_attempt(finished, lease.queue, end, AttemptEnd.LATE)
        self._finish([(finished, lease)], is_late=True)
        return Verdict.LATE

    def _take_wherever_it_is(self, event: int, queue: int) -> int | None:
        """Take an event that is not done out of the table it is in. Returns its attempts so far; None when it is in none."""
        row = self.connection.execute(SQL["take_leased"], (event,)).fetchone()
        if row is not None:
            newer = Lease(*row)
            self.write_attempt(event, newer, AttemptEnd.RELEASED)  # its holder learns at its next renewal
            self.deltas.add(queue, in_work=-1)
            return newer.attempts - 1
        for place, change in _PLACES_TO_LEAVE:
            row = self.connection.execute(SQL[place], (queue, event)).fetchone()
            if row is not None:
                self.deltas.add(queue, **change)
                return int(row[0])
        return None

    def _end_attempt(self, finished: Finished, queue: int, before: AttemptEnd, end: AttemptEnd) -> None:
        """What was kept of how the attempt ended is put right: it had a result."""
        key = (finished.event, finished.fence)
        second = (end is AttemptEnd.DUPLICATE) - (before is AttemptEnd.DUPLICATE)
        self.deltas.add(queue, failed=-(before in FAILED_ENDS), duplicates=second)
        self.connection.execute(SQL["end_attempt"], (end, self.now, clean_wall_s(finished), *key))
