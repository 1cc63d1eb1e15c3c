"""What does the account make of an attempt that was handed in? The ladder, on SQLite.

One writer: what a rung has seen cannot change before the next is tried.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from muster.domain.attempt import FAILED_ENDS, AttemptEnd, Outcome, Verdict
from muster.domain.retry import next_pause
from muster.server.adapters.sql.sql_blocks import read_blocks
from muster.server.adapters.sql.step_rules import Taken, list_new, may_exist, measure, render_error
from muster.server.ports.queue_engine import Finished

SQL: Mapping[str, str] = read_blocks("sqlite_step.sql")

PLAIN_MIN = 4
"""So many attempts of one step are looked at as a set."""


_NOTHING = (0, 0, 0, 0, 0, 0, 0)


class Deltas:
    """Changes of the counters, added up: one row a queue and transaction."""

    def __init__(self) -> None:
        self._rows: dict[int, list[int]] = {}
        self._usage: dict[int, list[int]] = {}

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

    def add_usage(self, queue: int, attempts: Iterable[Taken], *, is_lost: bool, sign: int = 1) -> None:
        """Add what attempts took; with `sign` -1, take it off again. `is_lost`: they did not end their events."""
        wall = measured = cpu = sent = made = most = 0
        for wall_us, cpu_us, memory_bytes, bytes_in, bytes_out in attempts:
            wall += wall_us
            if cpu_us is not None:
                measured += wall_us
                cpu += cpu_us
            sent += bytes_in or 0
            made += bytes_out
            if memory_bytes is not None and memory_bytes > most:
                most = memory_bytes
        row = self._usage.setdefault(queue, list(_NOTHING))
        for place, change in enumerate((wall, wall if is_lost else 0, measured, cpu, sent, made)):
            row[place] += sign * change
        row[6] = max(row[6], most)

    def write(self, connection: sqlite3.Connection) -> None:
        """Insert those that change anything."""
        rows: list[tuple[int, ...]] = []
        for queue in dict.fromkeys((*self._rows, *self._usage)):
            changes = (*self._rows.get(queue, _NOTHING), *self._usage.get(queue, _NOTHING))
            if any(changes):
                rows.append((queue, *changes))
        connection.executemany(SQL["delta"], rows)


class Rule(NamedTuple):
    """What a queue says of attempts: how many an event has, and seconds of the first pause. It never changes."""

    limit: int
    retry_s: float


_UNKNOWN: tuple[int | None, ...] = (None, None, None, None)

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


class Ended(NamedTuple):
    """How an attempt ended without ending its event, and what its row says that it took."""

    end: AttemptEnd
    wall_s: float
    cpu_us: int | None
    memory_bytes: int | None
    bytes_in: int | None
    bytes_out: int | None

    @property
    def taken(self) -> Taken | None:
        """What the sums know of it."""
        if self.bytes_out is None:
            return None
        return Taken(round(self.wall_s * 1e6), self.cpu_us, self.memory_bytes, self.bytes_in, self.bytes_out)


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
            holder, end, queue, since, *took = row
            return self._judge_ended(finished, Ended(AttemptEnd(end), *took), Lease(queue, holder, 0, fence, since))
        return Verdict.UNKNOWN

    # -- the attempt is in force -----------------------------------------------------------------------------------------

    def _settle(self, finished: Finished, lease: Lease) -> Verdict:
        if finished.outcome is Outcome.DONE:
            self.deltas.add(lease.queue, in_work=-1)
            self._finish([(finished, lease)], is_late=False)
            return Verdict.DONE
        end = AttemptEnd.FAILED if finished.outcome is Outcome.FAILED else AttemptEnd.RELEASED
        self.write_attempt(finished.event, lease, end, finished)
        return self.send_back(
            finished.event, lease, is_counted=end is not AttemptEnd.RELEASED, is_final=finished.is_final
        )

    def send_back(self, event: int, lease: Lease, *, is_counted: bool, is_final: bool = False) -> Verdict:
        """An event whose lease was taken out of `leased` waits again, or dies: at the limit of attempts that count, or of a final one."""
        queue, attempts = lease.queue, lease.attempts - (not is_counted)
        rule = self.rule_of(queue)
        if is_counted and (is_final or attempts >= rule.limit):
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
        wall_s, usage = 0.0, _UNKNOWN
        if finished is not None:
            taken = measure(finished)
            wall_s, usage = taken.wall_s, taken[1:]
            self.deltas.add_usage(lease.queue, [taken], is_lost=True)
        self.connection.execute(
            SQL["attempt"],
            (
                event,
                lease.fence,
                lease.queue,
                lease.holder,
                end,
                lease.since,
                self.now,
                wall_s,
                fingerprint,
                error,
                *usage,
            ),
        )

    def _finish(self, ended: Sequence[tuple[Finished, Lease]], *, is_late: bool) -> None:
        """The events are done by these attempts: keep them, and publish their results."""
        outputs = self.outputs
        results = [list_new(finished, outputs) for finished, _ in ended]
        total = sum(map(len, results))
        new = iter(self.take_ids(total) if total else ())
        rows: list[tuple[object, ...]] = []
        taken_of: defaultdict[int, list[Taken]] = defaultdict(list)
        made: list[tuple[int, int, int, int, bytes]] = []
        for (finished, lease), its in zip(ended, results, strict=True):
            bodies = finished.results
            first = len(made)
            # Plain integers: SQLite's driver looks for an adapter for every other kind of number.
            made += [(next(new), queue, finished.event, int(body.kind), body.data) for body, queue in its]
            kept = bodies[0] if bodies and not outputs else None
            taken = measure(finished)
            taken_of[lease.queue].append(taken)
            rows.append(
                (finished.event, lease.queue, lease.holder, lease.fence, lease.attempts, int(is_late), lease.since)
                + (self.now, taken.wall_s, len(made) - first, made[first][0] if len(made) > first else None)
                + ((int(kept.kind), kept.data) if kept else (None, None))
                + taken[1:]
            )
        self.connection.executemany(SQL["finish"], rows)
        for queue, attempts in taken_of.items():
            self.deltas.add(queue, done=len(attempts))
            self.deltas.add_usage(queue, attempts, is_lost=False)
        if made:
            self.connection.executemany(SQL["publish"], made)
            self.connection.executemany(SQL["ready"], [(queue, event, 0, 0) for event, queue, *_ in made])
            for queue, count in Counter(queue for _, queue, *_ in made).items():
                self.deltas.add(queue, published=count, waiting=count)
                self.published.add(queue)

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

    def _judge_ended(self, finished: Finished, ended: Ended, lease: Lease) -> Verdict:
        """The attempt had ended without ending its event. A word said before is confirmed, a result still counts if it can."""
        if not self._is_kin(lease.holder):
            return Verdict.UNKNOWN
        end = ended.end
        if finished.outcome is Outcome.DONE and end is not AttemptEnd.FAILED:
            return self._judge_result(finished, lease, ended)
        if finished.outcome is Outcome.FAILED and end is AttemptEnd.FAILED:
            key = (lease.queue, finished.event, lease.fence)
            is_dead = self.connection.execute(SQL["find_dead"], key).fetchone() is not None
            return Verdict.DEAD if is_dead else Verdict.REQUEUED
        if finished.outcome is Outcome.RELEASED and end is AttemptEnd.RELEASED:
            return Verdict.REQUEUED
        return Verdict.STALE

    def _judge_result(self, finished: Finished, lease: Lease, ended: Ended) -> Verdict:
        """A result of a lease that had ended. It counts unless the event is done."""
        attempts = self._take_wherever_it_is(finished.event, lease.queue)
        if attempts is None:
            is_done = self.connection.execute(SQL["is_finished"], (finished.event,)).fetchone() is not None
            if is_done:
                self._end_attempt(finished, lease.queue, ended, AttemptEnd.DUPLICATE)
            return Verdict.DUPLICATE if is_done else Verdict.UNKNOWN
        lease.attempts = max(1, attempts)
        self._end_attempt(finished, lease.queue, ended, AttemptEnd.LATE)
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

    def _end_attempt(self, finished: Finished, queue: int, ended: Ended, end: AttemptEnd) -> None:
        """What was kept of how the attempt ended is put right: it had a result."""
        if ended.end is end:
            return  # it was handed in before, and is kept as it was then
        is_second = end is AttemptEnd.DUPLICATE
        taken = measure(finished)
        self.deltas.add(
            queue, failed=-(ended.end in FAILED_ENDS), duplicates=is_second - (ended.end is AttemptEnd.DUPLICATE)
        )
        if (before := ended.taken) is not None:
            self.deltas.add_usage(queue, [before], is_lost=True, sign=-1)
        if is_second:  # else its event was ended by it, and there it counts
            self.deltas.add_usage(queue, [taken], is_lost=True)
        self.connection.execute(
            SQL["end_attempt"], (end, self.now, taken.wall_s, *taken[1:], finished.event, finished.fence)
        )
