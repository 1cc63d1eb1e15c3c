"""What may a site's agent say? Bounds of its reports, so that they fit where they are kept."""

from collections.abc import Iterator

from muster.client.shapes.sites import Claim, Submitted
from muster.domain.errors import Finding, InvalidError
from muster.server.services.claim_taskforces import LEASE_S_MAX, LIMIT_MAX
from muster.server.services.judge_task import has_control_characters

AGENT_CHARS_MAX = 100
PATH_CHARS_MAX = 4096
BIG_MAX = 2**62
INT_MAX = 2**31 - 1


def check_agent(agent: str) -> None:
    """Raises InvalidError for a name that cannot be one."""
    if findings := list(_judge_agent(agent)):
        raise InvalidError(findings)


def check_claim(claim: Claim) -> None:
    """Raises InvalidError."""
    findings = list(_judge_agent(claim.agent))
    if not 1 <= claim.limit <= LIMIT_MAX:
        findings.append(Finding("limit", f"must be 1 to {LIMIT_MAX}"))
    if not 1 <= claim.lease_s <= LEASE_S_MAX:
        findings.append(Finding("lease_s", f"must be 1 to {LEASE_S_MAX:.0f} seconds"))
    findings += _judge_wait(claim.wait_s)
    if findings:
        raise InvalidError(findings)


def check_wait(wait_s: float) -> None:
    """Raises InvalidError for seconds that no call is parked for."""
    if findings := list(_judge_wait(wait_s)):
        raise InvalidError(findings)


def check_submitted(submitted: Submitted) -> None:
    """Raises InvalidError."""
    findings = list(_judge_agent(submitted.agent))
    findings += judge_cluster(
        cluster_id=submitted.cluster_id, n_workers=submitted.n_workers, fpath=submitted.job_event_log_fpath
    )
    if findings:
        raise InvalidError(findings)


def judge_cluster(*, cluster_id: int, n_workers: int, fpath: str) -> Iterator[Finding]:
    """Faults of what was submitted."""
    if not 0 <= cluster_id <= BIG_MAX:
        yield Finding("cluster_id", f"must be 0 to {BIG_MAX}")
    if not 0 <= n_workers <= INT_MAX:
        yield Finding("n_workers", f"must be 0 to {INT_MAX}")
    if len(fpath) > PATH_CHARS_MAX or has_control_characters(fpath):
        yield Finding("job_event_log_fpath", f"must be at most {PATH_CHARS_MAX} characters, without control characters")


def check_time(at: float, *, field: str) -> float:
    """Seconds since the epoch that a clock can have said. Raises InvalidError."""
    if not 0 <= at <= BIG_MAX:
        raise InvalidError([Finding(field, "must be seconds since the epoch")])
    return float(at)


def _judge_agent(agent: str) -> Iterator[Finding]:
    if not 1 <= len(agent) <= AGENT_CHARS_MAX or has_control_characters(agent):
        yield Finding("agent", f"must be 1 to {AGENT_CHARS_MAX} characters, without control characters")


def _judge_wait(wait_s: float) -> Iterator[Finding]:
    if not 0 <= wait_s <= LEASE_S_MAX:
        yield Finding("wait_s", f"must be 0 to {LEASE_S_MAX:.0f} seconds")
