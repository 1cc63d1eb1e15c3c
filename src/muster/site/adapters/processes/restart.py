"""A worker has ended: is it done, to be started again, or beyond hope?"""

import signal
from dataclasses import dataclass

from muster.domain import pool_defaults
from muster.domain.backoff import next_delay

TEXT_MAX = 300


@dataclass(frozen=True)
class RestartPolicy:
    """How often and how soon a worker that failed is started again.

    Args:
        starts_max: failed starts in a row after which no more is tried.
        first_s, delay_s_max: the pause after the first failure, and the longest.
        healthy_s: a worker that ran that long, or that handed in an attempt, does not count as failed in a row.
    """

    starts_max: int = pool_defaults.STARTS_MAX
    first_s: float = pool_defaults.RESTART_S
    delay_s_max: float = pool_defaults.RESTART_S_MAX
    healthy_s: float = pool_defaults.HEALTHY_S


@dataclass(frozen=True)
class Exit:
    """How a worker ended. `code` and `signum` are both None when nobody saw it. `said`: its last words, if any."""

    code: int | None = None
    signum: int | None = None
    said: str = ""

    @property
    def is_good(self) -> bool:
        return self.code == 0

    def describe(self) -> str:
        """One line for a person, without pids or times, so that equal causes have equal texts."""
        if self.signum is not None:
            try:
                name = signal.Signals(self.signum).name
            except ValueError:
                name = f"signal {self.signum}"
            how = f"worker was killed by {name}"
        elif self.code is not None:
            how = f"worker ended with status {self.code}"
        else:
            how = "worker vanished"
        return f"{how}: {self.said}"[:TEXT_MAX] if self.said else how


@dataclass(frozen=True)
class StartAgain:
    """Start it again after `delay_s`; `failures` in a row so far, the last one for `error`."""

    delay_s: float
    failures: int
    error: str


@dataclass(frozen=True)
class Finished:
    """No more starts. `error`: None when it ended well."""

    error: str | None


def judge_exit(
    ended: Exit, *, failures: int, is_healthy: bool, policy: RestartPolicy, jitter: float
) -> StartAgain | Finished:
    """What follows from an exit.

    Args:
        failures: failed starts in a row before this one.
        is_healthy: it ran long enough, or was good for something.
        jitter: a random number in [0, 1).
    """
    if ended.is_good:
        return Finished(None)
    failures = 1 if is_healthy else failures + 1
    if failures >= policy.starts_max:
        return Finished(ended.describe())
    delay_s = next_delay(failures, first_s=policy.first_s, delay_s_max=policy.delay_s_max, jitter=jitter)
    return StartAgain(delay_s, failures, ended.describe())
