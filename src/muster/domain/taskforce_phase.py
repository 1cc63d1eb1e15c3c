"""Which phase of a taskforce follows which event? The life of a taskforce, as a table.

Source: wms.md section 8 (the legal life) with the repairs of section 21: what upstream accepts from any phase is
refused here where it would go backwards, recorded in the log, and answered as a success. No other module assigns a phase.
"""

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """Where a taskforce is; the words are upstream's."""

    PRE_MQ_ACTIVATION = "pre-mq-activation"
    PRE_LAUNCH = "pre-launch"
    PENDING_STARTER = "pending-starter"
    CONDOR_SUBMIT = "condor-submit"
    PENDING_STOPPER = "pending-stopper"
    CONDOR_RM = "condor-rm"
    CONDOR_COMPLETE = "condor-complete"


class PhaseEvent(StrEnum):
    """What can happen to a taskforce."""

    ACTIVATED = "activated"  # its workflow's queues are ready
    ACTIVATION_DELAYED = "activation-delayed"  # not yet: an admission limit
    LAUNCHED = "launched"  # launch control lets it through
    SUBMITTED = "submitted"  # a cluster exists
    SUBMIT_FAILED = "submit-failed"
    DEACTIVATED = "deactivated"  # its workflow was finished or aborted
    REMOVED = "removed"  # the cluster was removed
    REMOVE_FAILED = "remove-failed"
    COMPLETED = "completed"  # no proc of the cluster is left


P, E = Phase, PhaseEvent

TRANSITIONS: Mapping[tuple[Phase, PhaseEvent], Phase] = {
    (P.PRE_MQ_ACTIVATION, E.ACTIVATED): P.PRE_LAUNCH,
    (P.PRE_MQ_ACTIVATION, E.ACTIVATION_DELAYED): P.PRE_MQ_ACTIVATION,
    (P.PRE_MQ_ACTIVATION, E.DEACTIVATED): P.PENDING_STOPPER,
    (P.PRE_LAUNCH, E.LAUNCHED): P.PENDING_STARTER,
    (P.PRE_LAUNCH, E.DEACTIVATED): P.PENDING_STOPPER,
    (P.PENDING_STARTER, E.SUBMITTED): P.CONDOR_SUBMIT,
    (P.PENDING_STARTER, E.SUBMIT_FAILED): P.PENDING_STARTER,
    (P.PENDING_STARTER, E.DEACTIVATED): P.PENDING_STOPPER,
    (P.PENDING_STARTER, E.COMPLETED): P.CONDOR_COMPLETE,  # its confirmation was lost, and the cluster is gone by now
    (P.CONDOR_SUBMIT, E.SUBMITTED): P.CONDOR_SUBMIT,  # the same confirmation again
    (P.CONDOR_SUBMIT, E.DEACTIVATED): P.PENDING_STOPPER,
    (P.CONDOR_SUBMIT, E.COMPLETED): P.CONDOR_COMPLETE,
    (P.CONDOR_SUBMIT, E.REMOVED): P.CONDOR_RM,  # an operator removed the cluster
    (P.CONDOR_SUBMIT, E.REMOVE_FAILED): P.CONDOR_SUBMIT,
    (
        P.PENDING_STOPPER,
        E.SUBMITTED,
    ): P.PENDING_STOPPER,  # a late confirmation: the cluster is now known, so it is stopped
    (P.PENDING_STOPPER, E.SUBMIT_FAILED): P.PENDING_STOPPER,
    (P.PENDING_STOPPER, E.REMOVED): P.CONDOR_RM,
    (P.PENDING_STOPPER, E.REMOVE_FAILED): P.PENDING_STOPPER,
    (P.PENDING_STOPPER, E.COMPLETED): P.CONDOR_COMPLETE,
    (P.CONDOR_RM, E.REMOVED): P.CONDOR_RM,
    (P.CONDOR_RM, E.COMPLETED): P.CONDOR_COMPLETE,
    (P.CONDOR_COMPLETE, E.COMPLETED): P.CONDOR_COMPLETE,
}
"""Every pair that is allowed. A pair that is not here is refused: recorded, and the phase stays."""

TERMINAL = frozenset(
    phase for phase in Phase if not any(old is phase and new is not phase for (old, _), new in TRANSITIONS.items())
)

ENDING = frozenset({P.PENDING_STOPPER, P.CONDOR_RM, P.CONDOR_COMPLETE})
"""Phases in which a taskforce is already ending or finished, so that deactivating it changes nothing."""

AT_WORK = frozenset(Phase) - {P.PRE_MQ_ACTIVATION, P.CONDOR_RM, P.CONDOR_COMPLETE}
"""Phases in which its workers run, or are to run, or may yet run."""


def next_phase(phase: Phase, event: PhaseEvent) -> Phase | None:
    """The phase after the event, the same one where nothing moves, or None where the event is refused."""
    return TRANSITIONS.get((phase, event))
