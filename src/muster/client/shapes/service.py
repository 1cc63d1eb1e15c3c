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


class Health(Answer):
    """GET /healthz, /readyz"""

    status: str
    version: str
    detail: str | None = None
