"""What does GET /muster/v1/workflows/{id}/stream tell? Server-sent events: their data are these, and `Progress` in events `progress`.

An event of any other name with a dot in it is a notice, and the name is its kind. Names may be added: ignore those that you do not know.
"""

from typing import Any

from muster.client.shapes.message import Answer

PROGRESS, GAP, END = "progress", "gap", "end"
"""Names of events that are no notices."""


class NoticeView(Answer):
    """One change. `id`: of the event too, to go on behind it (`Last-Event-ID`, `after`). `kind`: `workflow.created`, `workflow.ended`,
    `workflow.reopened`, `taskforce.phase`, `queue.closed`, or one that is new. `data`: what changed, by kind.
    """

    id: str
    workflow_id: str
    kind: str
    at: float
    data: dict[str, Any]


class GapView(Answer):
    """The notice `after` which was to be gone on is not kept: others may be lost. All that are kept follow, from the first on, so that some
    may come again.
    """

    workflow_id: str
    after: str


class EndView(Answer):
    """The workflow is over, and all was told. A stream behind this event's id is answered with 204, unless something came after all."""

    workflow_id: str
    state: str
