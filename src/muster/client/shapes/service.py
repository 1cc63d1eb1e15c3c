"""What does the service say of itself and of who asks?"""

from muster.client.shapes.message import Answer


class Whoami(Answer):
    """GET /muster/v1/whoami"""

    name: str
    roles: list[str]


class Health(Answer):
    """GET /healthz, /readyz"""

    status: str
    version: str
    detail: str | None = None
