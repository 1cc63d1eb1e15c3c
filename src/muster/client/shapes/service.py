"""What does the service say of itself and of who asks?"""

import msgspec

from muster.client.shapes.message import Answer


class Whoami(Answer):
    """GET /muster/v1/whoami. `expires_at`: of the token; null: it has no end."""

    name: str
    roles: list[str]
    groups: list[str] = msgspec.field(default_factory=list)
    issuer: str = ""
    expires_at: float | None = None


class LimitView(Answer):
    """How much may be in use at once, and how much is.

    `what`: `queues`, `workers` or `events`. `whose`: `owner`, of each owner, or `all`, of all together. `at_most`: null: any number.
    `in_use`: by who asks, or by all; null: of all together only operators are told. `setting`: the variable that sets it, at the service.
    """

    setting: str
    what: str
    whose: str
    at_most: int | None
    in_use: int | None


class Limits(Answer):
    """GET /muster/v1/limits. `owner`: who asks."""

    owner: str
    limits: list[LimitView]


class AskingAgent(Answer):
    """An agent that asked for work. `name`: empty for upstream's. `asked_at`: the last time. `is_there`: that is not long ago."""

    name: str
    asked_at: float
    is_there: bool


class TaskforceCounts(Answer):
    """How many taskforces stand somewhere that are not over.

    `waiting`: orders that its agent is to carry out. `running`, `stopping`: with a cluster. `held`: not tried any more.
    """

    waiting: int
    running: int
    stopping: int
    held: int


class LocationView(Answer):
    """A location of this service.

    `agent`: who starts its workers, `muster` or `upstream`. `agents`: who asked for work in the last 30 days, the last one first.
    `workers`: sessions that live now; null: they are upstream's, which do not call.
    """

    name: str
    aliases: list[str]
    schedd: str
    agent: str
    agents: list[AskingAgent]
    taskforces: TaskforceCounts
    workers: int | None


class DisplacedView(Answer):
    """Taskforces that no agent can be told of, since their location is not what it was. `why`: half a sentence. `workers`: sessions."""

    location: str
    schedd: str
    why: str
    taskforces: TaskforceCounts
    workers: int


class Locations(Answer):
    """GET /muster/v1/locations"""

    at: float
    locations: list[LocationView]
    displaced: list[DisplacedView]


class Health(Answer):
    """GET /healthz, /readyz"""

    status: str
    version: str
    detail: str | None = None
