"""Is this still the database that it was? One that was restored from a backup has lost what came after, and begins a new era.

Others know more than a restored database: workers have handed in what it still counts as on lease with them, agents have placed clusters,
or seen the end of some, and listeners were told notices that it has not. What a new era changes so that all of it comes right again:

* Sessions end: what they held goes back, uncounted, and workers enrol anew. A worker that handed in an event before would else go on
  renewing a session that holds it for ever.
* Taskforces to be started are nobody's, and their claims are numbered higher than any that was given: who has placed one confirms it
  again. Of those that it should have and has not, an agent is told by its next claim (`services.claim_taskforces`).
* Notices carry the era (`outbox`), and event numbers are made under another node (`replicas`), so that none is given twice even where
  the clock is behind.
"""

from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from muster.domain.ids import EventIds
from muster.domain.taskforce_phase import Phase
from muster.server.adapters.sql.faults import is_not_allowed
from muster.server.adapters.sql.holders import SqlHolders
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import era, holder_live, outbox, taskforce

log = structlog.get_logger()

UNKNOWN = ""
"""The identity of a database that is to begin a new era at the next look: a copy, or one of which somebody said that it was restored."""
_TICK_S = 0.000001
SESSION_ENDED = "the database was restored"
FENCES = 1000
"""By so much the claims of a new era are numbered above those of the one before: more than agents take over from each other in one."""

# What tells a restored database from the one that was backed up: the cluster's own number, its timeline (changed by recovery to a moment
# and by a standby that takes over), and the numbers of database and table (changed by pg_restore, also into the same cluster).
_HERE = "SELECT d.oid || '/' || 'outbox'::regclass::oid FROM pg_database d WHERE d.datname = current_database()"
_CLUSTER = "SELECT s.system_identifier || '/' || c.timeline_id FROM pg_control_system() s, pg_control_checkpoint() c"
_IS_AHEAD = (
    "SELECT coalesce((SELECT max(txid) FROM outbox WHERE era = 0), 0)"
    " >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
)


@dataclass(frozen=True)
class Era:
    """One life of the database."""

    number: int
    identity: str


def find_era(connection: Connection) -> Era | None:
    """The present one; None before the first service."""
    row = connection.execute(select(era.c.number, era.c.identity).order_by(era.c.number.desc()).limit(1)).one_or_none()
    return None if row is None else Era(row.number, row.identity)


def find_identity(connection: Connection, *, file: str = "") -> str:
    """Where the database stands now.

    Args:
        file: what tells a SQLite file from another.
    """
    if connection.dialect.name != "postgresql":
        return file
    try:
        with connection.begin_nested():
            cluster = str(connection.scalar(text(_CLUSTER)))
    except DBAPIError as error:
        if not is_not_allowed(error):
            raise
        cluster = "-"  # a service that rents out databases may keep that to itself
    return f"{cluster}/{connection.scalar(text(_HERE))}"


def keep_era(connection: Connection, *, now: float, file: str = "", seen: float | None = None) -> int:
    """See whether the database is the one that it was, and begin a new era if it is not. Returns the number of the present one.

    On PostgreSQL the caller has the lock of the replicas.

    Args:
        now: seconds since the epoch, by the database's clock.
        file: as `find_identity`.
        seen: what was noted beside a SQLite file (`keep_seen`); None where nothing is.
    """
    known, identity = find_era(connection), find_identity(connection, file=file)
    if known is None:
        # One from before there were eras may have been restored, too: then its notices are ahead of its transactions.
        if connection.dialect.name == "postgresql" and connection.scalar(text(_IS_AHEAD)):
            return _begin(connection, 1, identity, now)
        _write(connection, 0, identity, now)
        return 0
    if known.identity == identity or (file and _has_seen(known.identity, file, seen)):
        return known.number
    return _begin(connection, known.number + 1, identity, now)


def keep_seen(connection: Connection, *, now: float, file: str, seen: float | None) -> float:
    """Write the time into a SQLite database. What is put in the file's place later has an earlier one, whatever its inode.

    Args:
        now: seconds since the epoch.
        file: as `find_identity`.
        seen: the time that was noted beside the file before; None where none was.

    Returns:
        The time that is in it now, to be noted beside the file once it is committed. It is later than `seen`, also where the clock is not.
    """
    at = round(now if seen is None else max(now, seen + _TICK_S), 6)
    last = select(func.max(era.c.number)).scalar_subquery()
    connection.execute(update(era).where(era.c.number == last).values(identity=f"{file} {at:.6f}"))
    return at


def _has_seen(identity: str, file: str, seen: float | None) -> bool:
    """Is it this file, and not as it was before the time that is noted beside it?"""
    of_file, _, at = identity.rpartition(" ")
    return of_file == file and seen is not None and float(at) >= seen


def mark_as_restored(connection: Connection) -> None:
    """Have the next look begin a new era."""
    if find_era(connection) is None:
        _write(connection, 0, UNKNOWN, 0.0)
    last = select(func.max(era.c.number)).scalar_subquery()
    connection.execute(update(era).where(era.c.number == last).values(identity=UNKNOWN))


def _begin(connection: Connection, number: int, identity: str, now: float) -> int:
    _write(connection, number, identity, now)
    session = Session(connection, EventIds(), lambda _: now)
    live = list(connection.execute(select(holder_live.c.number)).scalars())
    SqlHolders(session).end(live, reason=SESSION_ENDED)
    session.finish()
    placed = connection.execute(
        update(taskforce)
        .where(taskforce.c.phase == Phase.PENDING_STARTER)
        .values(claim_agent=None, claim_until=None, claim_fence=taskforce.c.claim_fence + FENCES)
    )
    log.warning(
        "the database was restored, or stands elsewhere than before: a new era begins, and workers enrol anew",
        era=number,
        sessions_ended=len(live),
        taskforces_to_start=placed.rowcount,
        newest_notice=connection.scalar(select(func.max(outbox.c.at))),
    )
    return number


def _write(connection: Connection, number: int, identity: str, now: float) -> None:
    connection.execute(insert(era), {"number": number, "identity": identity, "began_at": now})
