"""What is an MQ group, what an MQ profile, and what may a profile's token do on the broker?

A group is the queues of one workflow, a profile one of them as people's programs reach it on the broker (mqs.md sections 1 and 5).
Rights are a table: which way tasks use the queue, whether people may reach it, and how it comes to the broker.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """What tasks do with a queue."""

    READ = "read"  # people's programs publish into it
    WRITE = "write"  # people's programs consume from it
    BOTH = "both"


class Kind(StrEnum):
    """How the queues of a group come to the broker."""

    BRIDGED = "bridged"  # the engine's; of the public ones there is an edge on the broker
    DIRECT = "direct"  # the workers are upstream's and speak to the broker themselves
    FOREIGN = "foreign"  # of another workflow service, which reserved them here; we know no more of them


class Action(StrEnum):
    """RabbitMQ's three permissions on a queue; a queue is declared with `configure`."""

    CONFIGURE = "configure"
    READ = "read"
    WRITE = "write"


@dataclass(frozen=True)
class Rights:
    """What a token opens.

    Args:
        on_queue: on its own queue.
        publishes: it may write to the default exchange, which routes by queue name.
    """

    on_queue: tuple[Action, ...]
    publishes: bool


NOTHING = Rights((), publishes=False)
PUBLISH = Rights((Action.CONFIGURE,), publishes=True)
CONSUME = Rights((Action.CONFIGURE, Action.READ), publishes=False)
ALL = Rights((Action.CONFIGURE, Action.READ, Action.WRITE), publishes=True)

RIGHTS: Mapping[tuple[Direction, bool, Kind], Rights] = {
    (Direction.READ, True, Kind.BRIDGED): PUBLISH,
    (Direction.WRITE, True, Kind.BRIDGED): CONSUME,
    (Direction.BOTH, True, Kind.BRIDGED): ALL,
    # Nobody reaches these but our own workers, who need no broker: there is no such queue on it.
    **{(direction, False, Kind.BRIDGED): NOTHING for direction in Direction},
    # Upstream's workers read, write and declare with the same token as people's programs.
    **{
        (direction, is_public, kind): ALL
        for direction in Direction
        for is_public in (True, False)
        for kind in (Kind.DIRECT, Kind.FOREIGN)
    },
}
"""By direction, whether it is public, and kind: every case there is."""


def find_direction(*, is_input: bool, is_output: bool) -> Direction:
    """Of a queue that some task reads, or writes, or both."""
    if is_input and is_output:
        return Direction.BOTH
    return Direction.READ if is_input else Direction.WRITE


@dataclass(frozen=True)
class TokenStamp:
    """What makes a profile's token this one: signed with this key, good for this time.

    Args:
        issued_at, expires_at: seconds since the epoch.
    """

    kid: str
    issued_at: float
    expires_at: float

    def is_used_up(self, *, now: float, share: float) -> bool:
        """Has it less than this share of its life left?"""
        return self.expires_at - now < share * (self.expires_at - self.issued_at)


@dataclass(frozen=True)
class MqGroup:
    """The queues of a workflow.

    Args:
        created_at: seconds since the epoch.
        owner: whose workflow it is; of a foreign one, which service reserved it.
        criteria: of the last activation: `{"priority": int}`, or None where it came with none or never was.
        activated_at: seconds since the epoch; None before.
    """

    workflow_id: str
    created_at: float
    owner: str
    kind: Kind
    criteria: Mapping[str, int] | None = None
    activated_at: float | None = None


@dataclass(frozen=True)
class MqProfile:
    """One queue of a group.

    Args:
        mqid: its name on the broker; where the workflow is ours, the queue's id.
        position: its place in the group, from the lowest.
        stamp: of the token; None: none was made yet.
    """

    mqid: str
    position: int
    alias: str
    is_public: bool
    direction: Direction
    stamp: TokenStamp | None = None


@dataclass(frozen=True)
class GroupedProfile:
    """A profile, its group, and whether the workflow goes on: that of another service always does, as far as we know."""

    profile: MqProfile
    group: MqGroup
    is_live: bool

    @property
    def rights(self) -> Rights:
        """Of its token."""
        return RIGHTS[self.profile.direction, self.profile.is_public, self.group.kind]

    def needs_token(self, *, now: float, kid: str, share: float) -> bool:
        """Is a new token due, now that it is read?

        That is so when there is none, when too little of its life is left, and when the key that signed it is not at hand any more. A
        profile whose workflow has ended keeps what it has.
        """
        if self.group.activated_at is None or not self.is_live:
            return False
        stamp = self.profile.stamp
        return stamp is None or stamp.kid != kid or stamp.is_used_up(now=now, share=share)
