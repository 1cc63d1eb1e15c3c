"""What do a site agent and the service say to each other?"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from muster.client.shapes.message import Answer, Request
from muster.domain.pool_facts import NAMES_MAX, REASON_CHARS_MAX, REASONS_MAX

Number = Annotated[int, Meta(ge=0, le=2**53)]
Numbers = Annotated[dict[str, Number], Meta(max_length=NAMES_MAX)]


class Claim(Request):
    """POST /muster/v1/site/claims: take taskforces to start and to stop at these locations; parks up to `wait_s` when there are none.

    The agent's own claims of before are given again (same fence), so that a restart finds them. `agent`: its lasting name.
    """

    agent: str
    locations: list[str]
    limit: int = 16
    wait_s: float = 20.0
    lease_s: float = 60.0
    held: list[str] = msgspec.field(default_factory=list)


class StartOrder(Answer):
    """Start this taskforce. `secret` enrols its workers, and only them. `worker` variables are the pilot's environment."""

    taskforce_uuid: str
    workflow_id: str
    task_id: str
    location: str
    schedd: str
    fence: int
    n_workers: int
    task_image: str
    worker_config: dict[str, Any]
    pilot_config: dict[str, Any]
    secret: str


class StopOrder(Answer):
    """Stop this taskforce. `grace_s`: how long workers may finish what they have in hand; 0 for an abort."""

    taskforce_uuid: str
    schedd: str
    fence: int
    cluster_id: int | None
    grace_s: float


class Expected(Answer):
    """A taskforce that has a cluster at the agent, by the service's books, and the agent did not name it: what has become of it?"""

    taskforce_uuid: str
    fence: int


class Claims(Answer):
    """Orders under claim. Those in `Claim.held` are only renewed, not given again. `lost`: held before, now another agent's, or over.

    `expected`: placed under the agent's claim, and not in `held`. The agent knows more than a service whose database was restored.
    """

    start: list[StartOrder]
    stop: list[StopOrder]
    lost: list[str]
    lease_s: float
    expected: list[Expected] = msgspec.field(default_factory=list)


class Submitted(Request):
    """POST /muster/v1/site/taskforces/{uuid}/submitted. The same again changes nothing."""

    agent: str
    fence: int
    cluster_id: int
    n_workers: int
    submit_dict: dict[str, str | int] = msgspec.field(default_factory=dict)
    job_event_log_fpath: str = ""


class SiteFailure(Request):
    """POST /muster/v1/site/taskforces/{uuid}/submit-failed, .../remove-failed. `final`: trying again cannot help."""

    agent: str
    fence: int
    error: str
    final: bool = False


class Removed(Request):
    """POST /muster/v1/site/taskforces/{uuid}/removed"""

    agent: str
    fence: int


class Completed(Request):
    """POST /muster/v1/site/taskforces/{uuid}/completed: no proc is left. `at`: when the last one ended."""

    agent: str
    fence: int
    at: float


class WorkerFacts(Answer):
    """What a pool tells of a taskforce's workers beside their states; who reads it ignores the words that it does not know.

    `restarts`, `evictions`, `disconnects`, `failed_starts`: how often so far. `disconnected`: workers whose machine is out of reach now.
    `holds`: how many are held now, by reason, in the pool's words. `transfers`: how many are moving files now, by step. `hosts`, `sites`:
    how many run where now. Of each the twenty with the most.
    """

    restarts: Number = 0
    evictions: Number = 0
    disconnects: Number = 0
    failed_starts: Number = 0
    disconnected: Number = 0
    holds: Numbers = msgspec.field(default_factory=dict)
    transfers: Numbers = msgspec.field(default_factory=dict)
    hosts: Numbers = msgspec.field(default_factory=dict)
    sites: Numbers = msgspec.field(default_factory=dict)


Reasons = Annotated[list[Annotated[str, Meta(max_length=REASON_CHARS_MAX)]], Meta(max_length=REASONS_MAX)]


class SiteReport(Request):
    """POST /muster/v1/site/reports: what changed of taskforces, each field replaced whole; keys of the first two as tms.md 6.3 to 6.5.

    An empty one replaces what was there as well. `reasons`: why those of its workers that wait do not run, in sentences, the most telling
    first. A service of before `facts` and `reasons` refuses a report that has them; an agent then tells it the others alone.
    """

    agent: str
    compound_statuses: dict[str, dict[str, dict[str, int]]] = msgspec.field(default_factory=dict)
    top_task_errors: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    facts: dict[str, WorkerFacts] = msgspec.field(default_factory=dict)
    reasons: dict[str, Reasons] = msgspec.field(default_factory=dict)


class PhaseAnswer(Answer):
    """What a report did. `accepted` False: refused by the table, recorded; the phase stays. `phase`: now."""

    taskforce_uuid: str
    phase: str
    accepted: bool
