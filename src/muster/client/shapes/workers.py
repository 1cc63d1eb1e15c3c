"""How do the workers of a workflow look that are up now?"""

from muster.client.shapes.message import Answer


class WorkerView(Answer):
    """A worker that has called and not left, by its session.

    `worker`: `cluster.proc@host`, as attempts name it. `start`: which start of its proc it is. `site`: where it says that it is. `since`:
    when it called first. `slots`: how many events it works on at once; `in_hand`: how many it holds. `heard_at`: when it called last, to
    within some seconds; `until`: when it is given up unless it calls again. `isolation`: what keeps its tasks from others, in its words;
    empty before it has told.
    """

    worker: str
    taskforce_uuid: str
    cluster: str
    proc: int
    start: int
    host: str
    site: str
    since: float
    slots: int
    in_hand: int
    heard_at: float
    until: float
    isolation: str


class WorkerPage(Answer):
    """GET /muster/v1/workflows/{id}/workers?taskforce=&after=&limit=: the oldest first. `at`: when that was, seconds since the epoch."""

    workflow_id: str
    at: float
    workers: list[WorkerView]
    next_after: str | None
