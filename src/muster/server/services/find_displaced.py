"""Which orders can nobody take, since their location is not what it was? Judged by the locations of this service, and by who asks."""

from collections.abc import Callable, Mapping
from functools import cache

from muster.domain.displacement import explain_displacement
from muster.domain.location import Location
from muster.domain.workflow import Taskforce
from muster.server.ports.store import Transaction


def make_displacement_finder(tx: Transaction, known: Mapping[str, Location]) -> Callable[[Taskforce], str | None]:
    """What says why nobody can take a taskforce, as half a sentence, within this transaction. A place is looked at once."""

    @cache
    def find(name: str, schedd: str) -> str | None:
        if explain_displacement(name, schedd, known, is_offered=False) is None:
            return None
        is_offered = any(one.is_there(tx.now()) for one in tx.askings.find(locations=(), schedds=(schedd,)))
        return explain_displacement(name, schedd, known, is_offered=is_offered)

    return lambda taskforce: find(taskforce.location, taskforce.schedd)
