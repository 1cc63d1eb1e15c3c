"""How does a transaction outside the hot path move the counters? By one row of changes a queue."""

from sqlalchemy import insert

from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import delta


def add_delta(
    session: Session,
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
    """Add a change of a queue's counters; what the rows of this transaction really moved."""
    session.execute(
        insert(delta),
        {
            "queue": queue,
            "published": published,
            "waiting": waiting,
            "in_work": in_work,
            "done": done,
            "dead": dead,
            "failed": failed,
            "duplicates": duplicates,
        },
    )
