"""Which limits are in force, and how much of each is in use? What the activator goes by when it lets workflows in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from muster.domain.caller import Caller, Role
from muster.domain.room import Limit, Resource, Room, name_setting
from muster.server.services.find_room import measure_in_use
from muster.server.services.parts import Parts


@dataclass(frozen=True)
class LimitNow:
    """How much may be in use at once, and how much is.

    Args:
        is_own: of each owner, not of all together.
        at_most: None: any number.
        in_use: by who asks, or by all; None: that is not told to who asks.
    """

    what: Resource
    is_own: bool
    at_most: int | None
    in_use: int | None

    @property
    def setting(self) -> str:
        """The variable that sets it."""
        return name_setting(self.what, is_own=self.is_own)


async def read_limits(parts: Parts, caller: Caller) -> Sequence[LimitNow]:
    """Each limit, with what is in use of it: by the caller, and to operators by all together."""
    in_use = await parts.store.read(lambda tx: measure_in_use(tx, with_events=True, with_others_queues=True))
    return list(_list(parts, caller, Room(Limit(), Limit(), in_use)))


def _list(parts: Parts, caller: Caller, room: Room) -> Iterator[LimitNow]:
    limit, own_limit = parts.settings.limit, parts.settings.owner_limit
    for what in get_args(Resource):
        by_owner = room.by_owner(what)
        in_all = sum(by_owner.values()) if caller.has(Role.OPERATOR) else None
        yield LimitNow(what, True, own_limit.of(what), by_owner.get(caller.name, 0))
        yield LimitNow(what, False, limit.of(what), in_all)
