"""Which execution points fail what others can do, and for how long are they given nothing? Two rules, of each task by itself.

The quick one: after some failures in a row, while workers of other hosts are there that have not failed last, a host is given nothing for
seconds, then for longer and longer, until it has done something. It knows nothing of why: a broken host fails in a second, and would be at
the head of the queue again before anybody else has ended one event. Where the others fail as well it is no host's fault.

The sure one: events that failed there and were done elsewhere are evidence; where that is more than what the host has done itself, and far
more than is usual at the task's other hosts, it rests for minutes, and longer each time. A task that fails often everywhere lets none rest.
"""

from dataclasses import dataclass, replace
from math import sqrt

from muster.domain.recent import Recent

STREAK = 5
"""Failures in a row after which a host is given nothing for a while."""
PAUSE_S_FIRST, PAUSE_S_MAX = 10.0, 900.0
OTHERS_S = 300.0
"""Others are there if one of them called within so many seconds."""
OTHERS_MAX = 100
"""So many of them are looked at, those that called last."""
HOSTS_MAX = 10_000
"""Of one task, that are remembered: those that called last."""

BLAMED_MIN = 3
"""Events that others could do, before a host is taken to be the reason."""
RECENT_MAX = 40
"""As many are weighed; when there are more, the old ones count half."""
DEVIATIONS = 3.0
"""So many standard deviations above what is usual elsewhere."""
REST_S_FIRST, REST_S_MAX = 300.0, 6 * 3600.0
QUIET_S = 3600.0
"""After each such time without a rest, those of before count half."""
RESTING_SHARE_MAX = 0.2
"""Of a task's hosts, at most so many rest for the sure rule; one always may."""


@dataclass(frozen=True)
class HostRecord:
    """What became of a task's attempts at one host.

    Args:
        site: where it last said that it is.
        done, failed: attempts, since the workflow began, as far as a service noted them: a call that a worker repeats counts twice.
        blamed: events that failed there and were done by others.
        recent_done, recent_blamed: those that are weighed.
        fingerprint, failed_at: of the last failure; the time in seconds since the epoch.
        rests_until: it is given nothing until then; None: it is given events.
        rests: how often it has rested for the sure rule since somebody trusted it.
        reason: why it rests, or last did.
        trusted_at, trusted_by: who said last that it is all right.
    """

    task_id: str
    host: str
    site: str = ""
    done: int = 0
    failed: int = 0
    blamed: int = 0
    recent_done: int = 0
    recent_blamed: int = 0
    fingerprint: str | None = None
    failed_at: float | None = None
    rests_until: float | None = None
    rests: int = 0
    reason: str = ""
    trusted_at: float | None = None
    trusted_by: str | None = None

    def is_resting(self, *, at: float) -> bool:
        """Is it given nothing?"""
        return self.rests_until is not None and at < self.rests_until

    def add(self, *, done: int, failed: int, blamed: int) -> "HostRecord":
        """With so many more of each."""
        recent_done, recent_blamed = self.recent_done + done, self.recent_blamed + blamed
        while recent_done + recent_blamed > RECENT_MAX:
            recent_done, recent_blamed = recent_done // 2, recent_blamed // 2
        return replace(
            self,
            done=self.done + done,
            failed=self.failed + failed,
            blamed=self.blamed + blamed,
            recent_done=recent_done,
            recent_blamed=recent_blamed,
        )

    def rest(self, *, until: float, reason: str) -> "HostRecord":
        """Given nothing until then, or for longer where that was said before."""
        if self.rests_until is not None and self.rests_until >= until:
            return self
        return replace(self, rests_until=until, reason=reason)

    def judge(self, others: "Others", *, at: float) -> "HostRecord":
        """By the sure rule, where there is new evidence: it rests, or stays as it is."""
        if self.is_resting(at=at):
            return replace(self, recent_done=0, recent_blamed=0)  # what comes in now is of before
        ended = self.recent_done + self.recent_blamed
        usual = ended * others.rate
        far = usual + DEVIATIONS * sqrt(usual * (1 - others.rate))
        if self.recent_blamed < BLAMED_MIN or self.recent_blamed <= self.recent_done or self.recent_blamed < far:
            return self
        if not others.has_room:
            return self
        rests = (
            self.rests if self.rests_until is None else self.rests >> min(60, int((at - self.rests_until) / QUIET_S))
        )
        rest_s = min(REST_S_MAX, REST_S_FIRST * 2.0 ** min(rests, 20))
        done = "and did none itself" if not self.recent_done else f"and did {self.recent_done}"
        reason = f"{self.recent_blamed} events failed there that others could do, {done}"
        rested = replace(self, recent_done=0, recent_blamed=0, rests=rests + 1)
        return rested.rest(until=at + rest_s, reason=reason)

    def trust(self, *, at: float, by: str) -> "HostRecord":
        """Somebody says that it is all right: it is given events at once, and is judged afresh."""
        return replace(self, recent_done=0, recent_blamed=0, rests_until=None, rests=0, trusted_at=at, trusted_by=by)


@dataclass(frozen=True)
class Others:
    """How the other hosts of a task do.

    Args:
        hosts: how many there are; resting: how many of them rest.
        done, blamed: as of `HostRecord`, of all of them.
    """

    hosts: int = 0
    resting: int = 0
    done: int = 0
    blamed: int = 0

    @property
    def rate(self) -> float:
        """Of what ends there, the share that somebody else had to do. Where little is known it is not taken for nothing."""
        return (self.blamed + 1) / (self.blamed + self.done + 2)

    def along_with(self, record: HostRecord, *, at: float) -> "Others":
        """With one host more."""
        return self._count(record, 1, at=at)

    def without(self, record: HostRecord, *, at: float) -> "Others":
        """Without this host, as its record is among them; a new one has none, and counts for nothing."""
        is_new = not (record.done or record.failed or record.blamed)
        return self if is_new else self._count(record, -1, at=at)

    def _count(self, record: HostRecord, times: int, *, at: float) -> "Others":
        return Others(
            hosts=max(0, self.hosts + times),
            resting=max(0, self.resting + times * record.is_resting(at=at)),
            done=max(0, self.done + times * record.done),
            blamed=max(0, self.blamed + times * record.blamed),
        )

    @property
    def has_room(self) -> bool:
        """May one more host rest?"""
        return self.resting < max(1, RESTING_SHARE_MAX * (self.hosts + 1))


@dataclass
class _Seen:
    """A host, as one service sees it. Times are of any clock that does not go back."""

    at: float
    streak: int = 0
    pause_s: float = 0.0
    paused_until: float = 0.0


class HostWatch:
    """The quick rule, for one task. A service judges by the workers that call it."""

    def __init__(self) -> None:
        self._hosts: Recent[str, _Seen] = Recent(size=HOSTS_MAX)

    def note_call(self, host: str, *, at: float) -> None:
        """A worker of the host has called."""
        self._see(host, at)

    def note(self, host: str, *, failed: bool, at: float) -> float | None:
        """An attempt has ended there.

        Returns:
            Seconds for which the host is given nothing, where that begins now.
        """
        seen = self._see(host, at)
        if not failed:
            seen.streak, seen.pause_s = 0, 0.0
            return None
        seen.streak += 1
        if seen.streak < STREAK or at < seen.paused_until or not self._is_alone_in_it(host, at):
            return None
        seen.pause_s = min(PAUSE_S_MAX, 2 * seen.pause_s) if seen.pause_s else PAUSE_S_FIRST
        seen.paused_until = at + seen.pause_s
        return seen.pause_s

    def streak(self, host: str) -> int:
        """How many attempts failed there in a row."""
        seen = self._hosts.find(host)
        return 0 if seen is None else seen.streak

    def find_pause(self, host: str, *, at: float) -> float:
        """Seconds for which it is given nothing; 0: it is given events."""
        seen = self._hosts.find(host)
        return 0.0 if seen is None else max(0.0, seen.paused_until - at)

    def trust(self, host: str) -> None:
        """Begin anew with it."""
        self._hosts.forget(host)

    def _see(self, host: str, at: float) -> _Seen:
        seen = self._hosts.find(host) or self._hosts.keep(host, _Seen(at))
        seen.at = at
        return seen

    def _is_alone_in_it(self, host: str, at: float) -> bool:
        """Is there another host that has not failed last?"""
        others = self._hosts.latest(OTHERS_MAX)
        return any(seen.streak == 0 and at - seen.at <= OTHERS_S for other, seen in others if other != host)
