"""How do the workers of taskforces fare, as their sites see it? Each field that is sent replaces the one before, whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from muster.domain.pool_facts import PoolFacts
from muster.domain.taskforce_phase import ENDING
from muster.domain.workflow import Taskforce
from muster.server.ports.store import Transaction
from muster.server.services.advance_taskforce import clean_text
from muster.server.services.parts import Parts

Statuses: TypeAlias = Mapping[str, Mapping[str, int]]
Errors: TypeAlias = Mapping[str, int]


@dataclass(frozen=True)
class StatusReport:
    """Statuses by taskforce uuid.

    Args:
        agent: whose taskforces they must be; None for upstream's agent.
        facts, reasons: only ours tells them. Why workers of one wait that is over or on its way there is not kept.
    """

    compound_statuses: Mapping[str, Statuses]
    top_task_errors: Mapping[str, Errors]
    agent: str | None = None
    facts: Mapping[str, PoolFacts] = field(default_factory=dict)
    reasons: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def uuids(self) -> Sequence[str]:
        """Every taskforce that is named, in order."""
        return list(dict.fromkeys([*self.compound_statuses, *self.top_task_errors, *self.facts, *self.reasons]))


@dataclass(frozen=True)
class Recorded:
    """Which taskforces were updated, and which there are not (or not for this agent)."""

    updated: Sequence[str]
    unknown: Sequence[str]


async def record_statuses(parts: Parts, report: StatusReport) -> Recorded:
    """Store a report in one transaction. The phase is not looked at."""
    if not report.uuids:
        return Recorded((), ())
    return await parts.store.write(lambda tx: _record(tx, report))


def _record(tx: Transaction, report: StatusReport) -> Recorded:
    seen = tx.taskforces.find(report.uuids)
    for workflow_id in sorted({one.workflow_id for one in seen.values()}):
        tx.workflows.get(workflow_id, lock=True)
        tx.wake(f"workflow:{workflow_id}")
    known = {
        uuid: one
        for uuid, one in tx.taskforces.find(list(seen)).items()
        if report.agent is None or one.claim_agent == report.agent
    }
    for taskforce in known.values():
        changed = _change(taskforce, report)
        if changed != taskforce:
            tx.taskforces.update(changed)
    return Recorded(
        [uuid for uuid in report.uuids if uuid in known], [uuid for uuid in report.uuids if uuid not in known]
    )


def _change(taskforce: Taskforce, report: StatusReport) -> Taskforce:
    uuid = taskforce.taskforce_uuid
    reasons = tuple(clean_text(one) for one in report.reasons.get(uuid, taskforce.reasons) if one.strip())
    return replace(
        taskforce,
        compound_statuses=report.compound_statuses.get(uuid, taskforce.compound_statuses),
        top_task_errors=report.top_task_errors.get(uuid, taskforce.top_task_errors),
        facts=report.facts.get(uuid, taskforce.facts),
        reasons=() if taskforce.phase in ENDING else reasons,
    )
