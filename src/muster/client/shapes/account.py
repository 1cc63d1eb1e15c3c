"""How do the account of a workflow and its errors look?"""

from muster.client.shapes.message import Answer
from muster.client.shapes.usage import UsageSumsView


class CountsView(Answer):
    """published = waiting + in_work + done + dead

    `failed`: attempts that failed or expired. `duplicates`: second results, recorded and sent nowhere.
    """

    published: int
    waiting: int
    in_work: int
    done: int
    dead: int
    failed: int = 0
    duplicates: int = 0


class UsageRecount(Answer):
    """The sums of what attempts took beside the rows. They may differ where a service of before folded some; `adds_up` is of events."""

    kept: UsageSumsView
    counted: UsageSumsView
    agrees: bool


class RecountView(Answer):
    """Counters beside rows counted afresh."""

    kept: CountsView
    counted: CountsView
    agrees: bool
    usage: UsageRecount | None = None


class QueueAccount(Answer):
    """One queue's account; `recount` only when asked for."""

    alias: str
    counts: CountsView
    adds_up: bool
    is_input: bool
    recount: RecountView | None = None


class Account(Answer):
    """GET /muster/v1/workflows/{id}/account?recount=

    `lost` = published - (waiting + in work + done + dead) over the input queues. `counted_twice`: events with more than one result that
    counted (0 by construction; counted from rows with recount). `duplicates`: second results, recorded and sent nowhere.
    `adds_up`: every queue adds up, and agrees with the recount where there is one.
    """

    workflow_id: str
    state: str
    queues: list[QueueAccount]
    published: int
    waiting: int
    in_work: int
    done: int
    dead: int
    lost: int
    counted_twice: int
    duplicates: int
    adds_up: bool


class ErrorGroupView(Answer):
    """Failures with one fingerprint. `done`: how many of the events are done by now."""

    fingerprint: str
    failures: int
    events: int
    done: int
    example_event: str
    example_text: str
    first_at: float
    last_at: float
    hosts: list[str]


class TaskforceTrouble(Answer):
    """A taskforce that could not be started or stopped, with the last reason, or whose workers ended in errors.

    `held_reason`: why it is not tried any more.
    """

    taskforce_uuid: str
    phase: str
    submit_failures: int
    remove_failures: int
    held_reason: str | None
    text: str


class Errors(Answer):
    """GET /muster/v1/workflows/{id}/errors"""

    workflow_id: str
    groups: list[ErrorGroupView]
    taskforces: list[TaskforceTrouble]
