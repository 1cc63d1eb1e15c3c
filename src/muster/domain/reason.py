"""Why does something not move, who moves it next, and what can a person do? A reason, as the doors and commands show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

TEXT_CHARS_MAX = 500
"""Of what somebody else wrote."""


class Party(StrEnum):
    """Who moves it next."""

    SERVICE = "service"  # by itself, in a moment
    ACTIVATOR = "activator"
    LAUNCH_CONTROL = "launch-control"
    SITE_AGENT = "site-agent"
    UPSTREAM_AGENT = "upstream-agent"
    WORKERS = "workers"
    TIME = "time"
    PERSON = "person"
    NOBODY = "nobody"


class Cause(StrEnum):
    """Why it does not move. Programs may go by these words."""

    # of a workflow
    ENDED = "ended"
    BRAKED = "braked"  # a person stopped it for a while, or its failures did
    LEFT = "left"  # it ended with events that nobody works on any more
    FAILED_ATTEMPTS = "failed-attempts"  # what failed is tried again, as often as the workflow says
    DEAD = "dead"
    PAUSED = "paused"  # all that waits failed before
    NO_EVENTS = "no-events"  # nothing was published yet
    INPUTS_OPEN = "inputs-open"  # all is done, more may come
    INPUTS_CLOSED = "inputs-closed"  # all is done, no more can come, and it does not finish itself
    FINISHING = "finishing"
    NOT_BRIDGED = "not-bridged"  # events wait here, and its workers read from the broker
    NO_TASKFORCE = "no-taskforce"  # all have ended
    KEEPS_ROOM = "keeps-room"  # it stands still, and others wait for its room
    SOME_WAIT = "some-wait"  # it is at work with fewer workers than it could have: others of them wait at their site
    # of a taskforce, or of all of a workflow
    HELD = "held"  # not tried any more
    NOT_TAKEN = "not-taken"  # no agent has taken it
    DISPLACED = "displaced"  # no agent can take it: its location is not what it was
    WORKERS_END = "workers-end"  # they end before they take an event
    NOT_CALLED = "not-called"  # none of its workers has called yet
    NONE_UP = "none-up"  # workers have called, none is there now
    NO_ROOM = "no-room"  # an admission limit
    # of a taskforce
    NOT_RUNNING = "not-running"  # upstream's agent sees none of its workers run
    NOT_ACTIVATED = "not-activated"
    NOT_LAUNCHED = "not-launched"
    TAKEN = "taken"  # an agent is starting it
    CLAIM_LAPSED = "claim-lapsed"  # an agent had taken it, and said nothing more
    NOT_STOPPED = "not-stopped"
    NOT_CLEARED = "not-cleared"  # removed; workers may be left
    NOT_KNOWN = "not-known"  # ended before its agent said whether there is a cluster
    WORKERS_ENDED = "workers-ended"


@dataclass(frozen=True)
class Reason:
    """Why something does not move.

    Args:
        text: a sentence for a person, without its full stop.
        waits_for: who moves it next.
        since: seconds since the epoch; None where nobody wrote it down.
        last_error: what went wrong last, as somebody else put it.
        remedies: what would move it: commands that can be typed as they stand.
        is_absent: who moves it next is not there, as far as anybody knows.
    """

    cause: Cause
    text: str
    waits_for: Party
    since: float | None = None
    last_error: str | None = None
    remedies: tuple[str, ...] = ()
    is_absent: bool = False

    @property
    def needs_help(self) -> bool:
        """Will it stay so until a person does something?"""
        return self.is_absent or self.waits_for is Party.PERSON


def render_utc(at: float) -> str:
    """A moment, for a sentence."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def count(number: int, noun: str) -> str:
    """A number of things: `1 worker`, `2 workers`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def render_counts(counts: Mapping[str, int]) -> str:
    """`2 IDLE, 1 HELD`; what there is none of is left out."""
    return ", ".join(f"{number} {word}" for word, number in counts.items() if number)


def cut(text: str) -> str:
    """In one line, and not too long for a sentence."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARS_MAX else f"{line[: TEXT_CHARS_MAX - 1]}…"
