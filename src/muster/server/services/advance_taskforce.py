"""What happens to a taskforce, and how is it written down? The one place that moves phases, by the domain's table.

Every caller has locked the taskforce's workflow, and read the taskforce after that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from muster.domain.outbox import Notice
from muster.domain.taskforce_phase import AT_WORK, ENDING, Phase, PhaseEvent, next_phase
from muster.domain.workflow import PhaseLogEntry, Taskforce
from muster.server.ports.store import Transaction

USER, TMS = "USER", "TMS"
DEACTIVATOR = "User"
ACTIVATOR = "Workflow MQ Activator"
LAUNCHER = "Taskforce Launch Control"
DRAIN = "Muster"
"""Who is named in the log (wms.md section 8)."""

_TARGETS: Mapping[PhaseEvent, Phase] = {
    PhaseEvent.ACTIVATED: Phase.PRE_LAUNCH,
    PhaseEvent.ACTIVATION_DELAYED: Phase.PRE_LAUNCH,
    PhaseEvent.LAUNCHED: Phase.PENDING_STARTER,
    PhaseEvent.SUBMITTED: Phase.CONDOR_SUBMIT,
    PhaseEvent.SUBMIT_FAILED: Phase.CONDOR_SUBMIT,
    PhaseEvent.DEACTIVATED: Phase.PENDING_STOPPER,
    PhaseEvent.REMOVED: Phase.CONDOR_RM,
    PhaseEvent.REMOVE_FAILED: Phase.CONDOR_RM,
    PhaseEvent.COMPLETED: Phase.CONDOR_COMPLETE,
}
"""Which phase an event aims at, as the log names it."""

CONTEXT_CHARS_MAX = 10_000


@dataclass(frozen=True)
class Happened:
    """What is to be written of an event.

    Args:
        source: who says so.
        context: why, in words.
        at: when it happened out there, seconds since the epoch, where the source knows.
    """

    event: PhaseEvent
    source: str
    context: str = ""
    at: float | None = None

    @property
    def target(self) -> Phase:
        """The phase it aims at."""
        return _TARGETS[self.event]

    def entry(self, now: float, *, was_successful: bool, context: str | None = None) -> PhaseLogEntry:
        """The line of the log."""
        text = self.context if context is None else context
        return PhaseLogEntry(self.target, now, was_successful, self.at, self.source, clean_text(text))


def clean_text(text: str) -> str:
    """What somebody else wrote, fit for a database and a terminal, and not too long."""
    kept = "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)
    return kept if len(kept) <= CONTEXT_CHARS_MAX else kept[: CONTEXT_CHARS_MAX - 3] + "..."


def advance(tx: Transaction, taskforce: Taskforce, happened: Happened, **changes: Any) -> Taskforce:
    """Move a taskforce to where the table says, write the log, tell the world.

    Args:
        changes: fields of the taskforce that change with it.

    Raises:
        ValueError: the table has no such pair; who may be refused asks `next_phase` first.
    """
    return advance_all(tx, [(taskforce, happened)], **changes)[0]


def advance_all(tx: Transaction, those: Sequence[tuple[Taskforce, Happened]], **changes: Any) -> Sequence[Taskforce]:
    """As `advance`, for any number of them, with as many statements as for one."""
    if not those:
        return ()
    moved = [replace(one, **_find_place(one, happened), **changes) for one, happened in those]
    tx.taskforces.update(*moved)
    tx.taskforces.append_logs(
        [
            # A line that leaves the phase where it was is a try, not a success (wms.md 5.3).
            (now.taskforce_uuid, happened.entry(tx.now(), was_successful=now.phase is happened.target is not was.phase))
            for now, (was, happened) in zip(moved, those, strict=True)
        ]
    )
    elsewhere = [now for now, (was, _) in zip(moved, those, strict=True) if now.phase is not was.phase]
    if elsewhere:
        tx.outbox.insert(*(make_notice(one, tx.now()) for one in elsewhere))
    for one in elsewhere:
        tx.wake(f"workflow:{one.workflow_id}")
    if any(was.phase in AT_WORK and now.phase not in AT_WORK for now, (was, _) in zip(moved, those, strict=True)):
        tx.wake("activate")  # their room is free
    return moved


def _find_place(taskforce: Taskforce, happened: Happened) -> dict[str, Any]:
    """Its next phase; and why its workers wait is nobody's question any more once they are to go."""
    phase = next_phase(taskforce.phase, happened.event)
    if phase is None:
        raise ValueError(f"{taskforce.taskforce_uuid} in {taskforce.phase} cannot be {happened.event}")
    return {"phase": phase, "reasons": ()} if phase in ENDING else {"phase": phase}


def record_refusal(tx: Transaction, taskforce: Taskforce, happened: Happened, context: str) -> None:
    """Write down what was not done. The same refusal twice in a row is one line."""
    entry = happened.entry(tx.now(), was_successful=False, context=context)
    if not is_last(tx.taskforces.list_log([taskforce.taskforce_uuid])[taskforce.taskforce_uuid], entry):
        tx.taskforces.append_log(taskforce.taskforce_uuid, entry)


def is_last(log: Sequence[PhaseLogEntry], entry: PhaseLogEntry) -> bool:
    """Does the log end with this line, told at whatever time?"""
    return bool(log) and replace(log[-1], at=entry.at) == entry


def make_notice(taskforce: Taskforce, now: float) -> Notice:
    """What the world is told of where a taskforce is."""
    data = {"taskforce_uuid": taskforce.taskforce_uuid, "phase": taskforce.phase.value}
    return Notice(taskforce.workflow_id, "taskforce.phase", now, data)


def end_sessions(tx: Transaction, taskforce_uuids: Sequence[str], *, reason: str, are_deaths: bool = False) -> int:
    """End the sessions of these taskforces' workers; returns how many. `are_deaths`: what they worked on may be why they are over."""
    sessions = tx.holders.list_live(taskforce_uuids)
    tx.holders.end([session.number for session in sessions], reason=reason, are_deaths=are_deaths)
    return len(sessions)
