"""What do all messages of our door share?

Times are seconds since the epoch (float). Ids are strings. Unknown fields of requests are refused. Answers may grow fields, so
clients ignore those they do not know. The door and the client share these structs (docs/decisions/0003).
"""

import msgspec


class Request(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Base of what clients send."""


class Answer(msgspec.Struct):
    """Base of what the service answers."""


class FindingView(Answer):
    """One fault of a request."""

    field: str
    reason: str


class Problem(Answer):
    """Every error of our door. `code`: a word for programs: `invalid`, `not-found`, `conflict`, `too-large`, `unauthenticated`,
    `forbidden`, `unavailable`, `no-room` (the database's disk is full: nothing was kept), `rejected`, `session-ended`, `taskforce-ended`,
    `idempotency-mismatch`, `internal`.
    """

    code: str
    error: str
    findings: list[FindingView] = msgspec.field(default_factory=list)
    request_id: str | None = None
