"""Which services run on this database? Each has a node, by which its event numbers differ from the others'."""

from sqlalchemy import Connection, delete, func, insert, literal, select, update

from muster.domain.errors import ConflictError
from muster.domain.ids import NODE_BITS
from muster.server.adapters.sql.schema import event, holder, replica, workflow

PLACE_S = 30.0
"""A service that has not been heard of for so long is gone."""
_LOCK = 0x6D757374


def take_node(connection: Connection, *, token: str, now: float) -> int:
    """Take the smallest free node for this process. Raises ConflictError when all are taken."""
    _lock(connection)
    connection.execute(delete(replica).where(replica.c.until < now))
    taken = set(connection.execute(select(replica.c.node)).scalars())
    node = next((one for one in range(1 << NODE_BITS) if one not in taken), None)
    if node is None:
        raise ConflictError(f"{1 << NODE_BITS} services run on this database already: stop some")
    connection.execute(insert(replica), {"node": node, "token": token, "until": now + PLACE_S})
    return node


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
    _lock(connection)
    others = connection.scalar(
        select(func.count()).select_from(replica).where(replica.c.until >= now, replica.c.token != token)
    )
    if not others:
        connection.execute(
            update(holder).where(holder.c.ended.is_(None), holder.c.until < now + lease_s).values(until=now + lease_s)
        )


def find_last_number(connection: Connection) -> int:
    """The highest number that a service has made, of an event, a session or a workflow; 0 for none."""
    columns = (event.c.id, holder.c.number, workflow.c.number)
    return max(int(connection.scalar(select(func.max(column))) or 0) for column in columns)


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(literal(_LOCK))))
