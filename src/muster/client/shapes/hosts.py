"""How do execution points look, as a workflow has seen them?"""

from typing import Annotated

from msgspec import Meta

from muster.client.shapes.message import Answer, Request


class HostView(Answer):
    """What became of a task's attempts at one host, to within some seconds.

    `site`: where it says that it is. `blamed`: events that failed there and were done by others. `fingerprint`, `failed_at`: of the last
    failure. `rests_until`: it is given no events of the task until then, for `reason`; null: it is given some. `trusted_at`, `trusted_by`:
    who said last that it is all right.
    """

    task_id: str
    host: str
    site: str
    done: int
    failed: int
    blamed: int
    fingerprint: str | None
    failed_at: float | None
    rests_until: float | None
    reason: str | None
    trusted_at: float | None
    trusted_by: str | None


class Hosts(Answer):
    """GET /muster/v1/workflows/{id}/hosts: those with the most failures first. `at`: when that was, seconds since the epoch."""

    workflow_id: str
    at: float
    hosts: list[HostView]


class TrustHost(Request):
    """POST /muster/v1/workflows/{id}/hosts/actions/trust: give a host events at once, and judge it afresh."""

    host: Annotated[str, Meta(min_length=1, max_length=200)]
