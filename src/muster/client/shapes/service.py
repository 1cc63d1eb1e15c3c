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


class Health(Answer):
    """GET /healthz, /readyz"""

    status: str
    version: str
    detail: str | None = None
