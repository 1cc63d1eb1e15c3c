"""What does a site say became of a taskforce? Checked against its claim and the table, written down, told on.

A report may arrive twice, late, or for a phase that is over. The same report changes nothing; one that the table refuses is
written into the log and answered, never raised: an agent must not stumble over it (wms.md section 21).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from muster.domain.errors import ConflictError, NotFoundError
from muster.domain.taskforce_phase import ENDING, Phase, PhaseEvent, next_phase
from muster.domain.taskforce_reason import render_final
from muster.domain.workflow import Taskforce
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import (
    TMS,
    Happened,
    advance,
    clean_text,
    end_sessions,
    is_last,
    record_refusal,
)
from muster.server.services.offer_upstream import is_for_upstream
from muster.server.services.parts import Parts
from muster.worker.crash_points import reach

NO_REASON = "no reason was given"


@dataclass(frozen=True)
class HeldClaim:
    """Under which claim an agent reports."""

    agent: str
    fence: int


@dataclass(frozen=True)
class Cluster:
    """What was submitted."""

    cluster_id: int
    n_workers: int
    submit_dict: Mapping[str, str | int]
    job_event_log_fpath: str


@dataclass(frozen=True)
class PhaseNow:
    """What a report did. `accepted` False: refused by the table, written down; `phase` is where the taskforce is."""

    taskforce_uuid: str
    phase: Phase
    accepted: bool


Work = Callable[[Transaction, Taskforce], PhaseNow]


async def record_submitted(parts: Parts, uuid: str, claim: HeldClaim | None, cluster: Cluster) -> PhaseNow:
    """A cluster exists. Known late, after the workflow's end, it is kept all the same, so that it is stopped.

    Args:
        claim: None for upstream's agent, which has no claims.

    Raises:
        NotFoundError: there is no such taskforce.
        ConflictError: the claim is not the one in force.
    """

    def work(tx: Transaction, taskforce: Taskforce) -> PhaseNow:
        happened = Happened(PhaseEvent.SUBMITTED, TMS)
        if taskforce.cluster_id is not None:
            if taskforce.cluster_id == cluster.cluster_id:
                return _now(taskforce)  # told before
            _require_claim(claim, taskforce)
            context = f"refused: cluster {cluster.cluster_id} was submitted as well as {taskforce.cluster_id}"
            record_refusal(tx, taskforce, happened, context)
            return _now(taskforce, accepted=False)
        if next_phase(taskforce.phase, happened.event) is None:
            _require_claim(claim, taskforce)
        late = taskforce.phase is Phase.PENDING_STOPPER
        if late:
            happened = replace(happened, context=f"cluster {cluster.cluster_id} is known late; it is to be stopped")
        changes = {
            "cluster_id": cluster.cluster_id,
            "n_workers": cluster.n_workers,
            "submit_dict": cluster.submit_dict,
            "job_event_log_fpath": cluster.job_event_log_fpath,
            "submit_failures": 0,
            "held_reason": None,
            # The order to stop goes out at once, also to an agent that says that it holds the taskforce.
            **({"claim_until": None} if late else {}),
        }
        if late:
            tx.wake(f"stop:{taskforce.schedd}")
        return _advance(tx, taskforce, happened, **changes)

    return await _report(parts, uuid, claim, work)


async def record_submit_failed(
    parts: Parts, uuid: str, claim: HeldClaim | None, error: str, *, final: bool = False
) -> PhaseNow:
    """Submitting failed. `final`: trying again cannot help, so the taskforce is held. Raises as `record_submitted`."""

    def work(tx: Transaction, taskforce: Taskforce) -> PhaseNow:
        happened = Happened(PhaseEvent.SUBMIT_FAILED, TMS, f"ERROR: {error}")
        if _is_repeated(tx, taskforce, claim, happened):
            return _now(taskforce)
        if next_phase(taskforce.phase, happened.event) is None:
            _require_claim(claim, taskforce)
        changes: dict[str, object] = {"submit_failures": taskforce.submit_failures + 1, "claim_until": None}
        if taskforce.phase is Phase.PENDING_STARTER and _is_last_try(parts, taskforce.submit_failures + 1, final=final):
            reason = clean_text(error) or NO_REASON
            changes["held_reason"] = render_final(reason) if final else reason
        tx.wake(f"start:{taskforce.schedd}")
        tx.wake(f"workflow:{taskforce.workflow_id}")
        return _advance(tx, taskforce, happened, **changes)

    return await _report(parts, uuid, claim, work)


async def record_removed(parts: Parts, uuid: str, claim: HeldClaim | None) -> PhaseNow:
    """The cluster was removed. Raises as `record_submitted`."""

    def work(tx: Transaction, taskforce: Taskforce) -> PhaseNow:
        if taskforce.phase is Phase.CONDOR_RM:
            return _now(taskforce)
        return _advance(tx, taskforce, Happened(PhaseEvent.REMOVED, TMS), remove_failures=0, held_reason=None)

    return await _report(parts, uuid, claim, work)


async def record_remove_failed(
    parts: Parts, uuid: str, claim: HeldClaim | None, error: str, *, final: bool = False
) -> PhaseNow:
    """Removing the cluster failed. Raises as `record_submitted`."""

    def work(tx: Transaction, taskforce: Taskforce) -> PhaseNow:
        happened = Happened(PhaseEvent.REMOVE_FAILED, TMS, f"ERROR: {error}" if error else "ERROR: not told")
        if _is_repeated(tx, taskforce, claim, happened):
            return _now(taskforce)
        if (
            next_phase(taskforce.phase, happened.event) is None
        ):  # nothing was to be removed: the try is kept all the same
            record_refusal(tx, taskforce, happened, happened.context)
            return _now(taskforce, accepted=False)
        changes: dict[str, object] = {"remove_failures": taskforce.remove_failures + 1, "claim_until": None}
        if _is_last_try(parts, taskforce.remove_failures + 1, final=final):
            changes["held_reason"] = clean_text(error) or NO_REASON
        tx.wake(f"stop:{taskforce.schedd}")
        tx.wake(f"workflow:{taskforce.workflow_id}")
        return _advance(tx, taskforce, happened, **changes)

    return await _report(parts, uuid, claim, work)


async def record_completed(parts: Parts, uuid: str, claim: HeldClaim | None, *, at: float) -> PhaseNow:
    """No worker of the cluster is left: what its sessions hold goes back. `at`: when. Raises as `record_submitted`."""

    def work(tx: Transaction, taskforce: Taskforce) -> PhaseNow:
        if taskforce.phase is Phase.CONDOR_COMPLETE:
            return _now(taskforce)
        answer = _advance(tx, taskforce, Happened(PhaseEvent.COMPLETED, TMS, at=at), held_reason=None)
        if answer.accepted:
            # A worker that ends well leaves; one that was told to stop may be killed for being slow, and its events are not to blame.
            was_told = taskforce.phase in ENDING
            end_sessions(tx, [uuid], reason="the taskforce has ended", are_deaths=not was_told)
        return answer

    return await _report(parts, uuid, claim, work)


async def _report(parts: Parts, uuid: str, claim: HeldClaim | None, work: Work) -> PhaseNow:
    """Lock, check the claim, do the work."""

    def report(tx: Transaction) -> PhaseNow:
        try:
            seen = tx.taskforces.get(uuid)
        except NotFoundError:
            raise NotFoundError(f"no taskforce found with uuid: {uuid}") from None
        tx.workflows.get(seen.workflow_id, lock=True)
        taskforce = tx.taskforces.get(uuid)
        if claim is None and not is_for_upstream(parts, taskforce):
            raise NotFoundError(f"no taskforce found with uuid: {uuid}")  # it is one of ours: hidden, as in the offers
        if claim is not None and (taskforce.claim_agent, taskforce.claim_fence) != (claim.agent, claim.fence):
            raise ConflictError(
                f"taskforce {uuid} is claimed by {taskforce.claim_agent or 'nobody'} with fence {taskforce.claim_fence}"
            )
        return work(tx, taskforce)

    answer = await parts.store.write(report)
    reach("server.report.committed")
    return answer


def _advance(tx: Transaction, taskforce: Taskforce, happened: Happened, **changes: object) -> PhaseNow:
    if next_phase(taskforce.phase, happened.event) is None:
        record_refusal(tx, taskforce, happened, f"refused: {happened.event} does not follow {taskforce.phase}")
        return _now(taskforce, accepted=False)
    return _now(advance(tx, taskforce, happened, **changes))


def _require_claim(claim: HeldClaim | None, taskforce: Taskforce) -> None:
    """What contradicts what is known: an agent of ours hears that it was refused, upstream's that there is no such taskforce to start
    (wms.md 4.14). Raises NotFoundError.
    """
    if claim is None:
        raise NotFoundError(f"no '{Phase.PENDING_STARTER}' taskforce found with uuid: {taskforce.taskforce_uuid}")


def _now(taskforce: Taskforce, *, accepted: bool = True) -> PhaseNow:
    return PhaseNow(taskforce.taskforce_uuid, taskforce.phase, accepted)


def _is_last_try(parts: Parts, failures: int, *, final: bool) -> bool:
    """Is the taskforce held from now on? `failures`: in a row, this one too."""
    return final or failures > parts.settings.submit_failures_max


def _is_repeated(tx: Transaction, taskforce: Taskforce, claim: HeldClaim | None, happened: Happened) -> bool:
    """Was this failure told before? A failure puts the claim down, so one told under a claim put down is the same one again."""
    if claim is None or taskforce.claim_until is not None:
        return False
    log = tx.taskforces.list_log([taskforce.taskforce_uuid])[taskforce.taskforce_uuid]
    return is_last(log, happened.entry(0.0, was_successful=False))
