"""How does the answer look to: why is a workflow not (or no longer) running?"""

from muster.client.shapes.message import Answer


class ReasonView(Answer):
    """Why something does not move.

    `cause`: a word that stays the same. `text`: a sentence. `waits_for`: who moves it next: `service`, `activator`, `launch-control`,
    `site-agent`, `upstream-agent`, `workers`, `time`, `person` or `nobody`. `since`: null where nobody wrote it down. `remedies`: commands
    that would move it. `needs_help`: it stays so until a person does something, since who moves it next is a person, or is not there.
    """

    cause: str
    text: str
    waits_for: str
    since: float | None
    last_error: str | None
    remedies: list[str]
    needs_help: bool


class TaskforceReasonView(ReasonView):
    """Why a taskforce is not at work. `workers`: sessions that live now, of `n_workers`."""

    taskforce_uuid: str
    task_id: str
    location: str
    schedd: str
    phase: str
    cluster_id: int | None
    workers: int
    n_workers: int


class ExplanationView(Answer):
    """GET /muster/v1/workflows/{id}/explanation

    `verdict`: `running`, `starting`, `waiting` (for the next attempt, or for room), `idle` (nothing to do), `stalled` (events wait, and
    nothing moves until a person does something) or `ended`. `summary`: a sentence. `reasons`: of the workflow as a whole. `taskforces`:
    those that are not at work, and why; `working` and `over` count the others, `left_out` those for which one answer had no room.
    """

    workflow_id: str
    name: str
    state: str
    at: float
    verdict: str
    summary: str
    reasons: list[ReasonView]
    taskforces: list[TaskforceReasonView]
    working: int
    over: int
    left_out: int
