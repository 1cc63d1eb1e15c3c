"""How does a transaction outside the hot path move the counters? By one row of changes a queue."""

from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import delta

_NEW = NewRows(delta)


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
    session.insert(
        _NEW,
        [
            {
                "queue": queue,
                "published": published,
                "waiting": waiting,
                "in_work": in_work,
                "done": done,
                "dead": dead,
                "failed": failed,
                "duplicates": duplicates,
            }
        ],
    )
