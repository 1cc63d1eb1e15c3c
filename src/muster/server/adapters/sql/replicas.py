"""Which services run on this database? Each has a node, by which its event numbers differ from the others'."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import Connection, bindparam, delete, func, insert, inspect, literal, null, select, update

from muster.domain.errors import ConflictError
from muster.domain.ids import NODE_BITS
from muster.server.adapters.sql.schema import event, holder, replica, workflow

PLACE_S = 30.0
"""A service that has not been heard of for so long is gone."""
HEARD_S = 7.0
"""For so long after its last heartbeat a service is thought to take work on: two of them may be late."""
PROGRAM = version("muster-compute")
_LOCK = 0x6D757374
_IS_THERE = replica.c.until >= bindparam("now")
_NODES = select(replica.c.node).where(_IS_THERE)
_ERA_NODES = 67
"""From the first node of one era to that of the next; it goes round all of them."""


@dataclass(frozen=True)
class Service:
    """A service that runs on a database.

    Args:
        until: when its place falls free unless it is heard of again, seconds since the epoch.
        version: of its program; None for one from before that was written down.
        revision: of the schema that it was written for; likewise.
    """

    node: int
    until: float
    version: str | None
    revision: str | None


def take_node(connection: Connection, *, token: str, now: float, era: int = 0, revision: str | None = None) -> int:
    """Take a free node for this process, the first one from that of the era on. Raises ConflictError when all are taken.

    The caller has the lock of the replicas, and has looked at the schema under it.

    Args:
        era: a database that was restored has forgotten numbers; under another node none of them is made again.
        revision: of the schema that this program was written for.
    """
    connection.execute(delete(replica).where(replica.c.until < now))
    taken = set(connection.execute(select(replica.c.node)).scalars())
    nodes = (first_node(era) + step for step in range(1 << NODE_BITS))
    node = next((one for each in nodes if (one := each % (1 << NODE_BITS)) not in taken), None)
    if node is None:
        raise ConflictError(f"{1 << NODE_BITS} services run on this database already: stop some")
    place = {"node": node, "token": token, "until": now + PLACE_S, "version": PROGRAM, "revision": revision}
    connection.execute(insert(replica), place)
    return node


def first_node(era: int) -> int:
    """The first node of an era: that of the first service. They lie apart, since as a rule few services run at once."""
    return era * _ERA_NODES % (1 << NODE_BITS)


def list_services(connection: Connection, *, now: float) -> Sequence[Service]:
    """Those that run, or died within `PLACE_S`. Asks a schema of any revision."""
    has_versions = "version" in {column["name"] for column in inspect(connection).get_columns("replica")}
    more = (replica.c.version, replica.c.revision) if has_versions else (null(), null())
    query = select(replica.c.node, replica.c.until, *more).where(_IS_THERE).order_by(replica.c.node)
    return [Service(*row) for row in connection.execute(query, {"now": now})]


def list_nodes(connection: Connection, *, now: float) -> Sequence[int]:
    """Of those that were heard of lately, and may take work on. Asks this program's schema."""
    return list(connection.execute(_NODES, {"now": now + PLACE_S - HEARD_S}).scalars())


def shut_out(connection: Connection, *, now: float) -> bool:
    """Have no service take a place before the end of the transaction, and none go on that was silent for too long. False: some run."""
    lock(connection)
    # One that is heard of at this moment is not deleted: PostgreSQL looks again once it has the row.
    connection.execute(delete(replica).where(replica.c.until < now))
    return not connection.scalar(select(func.count()).select_from(replica))


def keep_node(connection: Connection, *, token: str, now: float) -> None:
    """Say that this process lives. Raises ConflictError when its place was given away: it must stop making numbers."""
    kept = connection.execute(update(replica).where(replica.c.token == token).values(until=now + PLACE_S))
    if kept.rowcount == 0:
        raise ConflictError(
            "this service was silent for too long and lost its place among the replicas: start it again"
        )


def leave_node(connection: Connection, *, token: str) -> None:
    """Give the place back."""
    connection.execute(delete(replica).where(replica.c.token == token))


def prolong_sessions(connection: Connection, *, token: str, lease_s: float, now: float) -> None:
    """Give every live session at least a full lease from now, unless another service was there all the time to be renewed at."""
    lock(connection)
    others = connection.scalar(
        select(func.count()).select_from(replica).where(_IS_THERE, replica.c.token != token), {"now": now}
    )
    if not others:
        connection.execute(
            update(holder).where(holder.c.ended.is_(None), holder.c.until < now + lease_s).values(until=now + lease_s)
        )


def find_last_number(connection: Connection) -> int:
    """The highest number that a service has made, of an event, a session or a workflow; 0 for none."""
    columns = (event.c.id, holder.c.number, workflow.c.number)
    return max(int(connection.scalar(select(func.max(column))) or 0) for column in columns)


def lock(connection: Connection) -> None:
    """Be the only one that looks who is there, to the end of the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(literal(_LOCK))))
