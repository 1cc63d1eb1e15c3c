"""Is the life of a taskforce the one of wms.md section 8, with its repairs?"""

from hypothesis import given
from hypothesis import strategies as st

from muster.domain.taskforce_phase import ENDING, TERMINAL, TRANSITIONS, Phase, PhaseEvent, next_phase

LEGAL_LIFE = [
    (Phase.PRE_MQ_ACTIVATION, PhaseEvent.ACTIVATED),
    (Phase.PRE_LAUNCH, PhaseEvent.LAUNCHED),
    (Phase.PENDING_STARTER, PhaseEvent.SUBMITTED),
    (Phase.CONDOR_SUBMIT, PhaseEvent.COMPLETED),
]
ORDER = list(Phase)


def test_the_legal_life_ends_complete() -> None:
    phase: Phase | None = Phase.PRE_MQ_ACTIVATION

    for expected, event in LEGAL_LIFE:
        assert phase is expected
        phase = next_phase(phase, event)

    assert phase is Phase.CONDOR_COMPLETE


def test_only_complete_is_terminal() -> None:
    assert frozenset({Phase.CONDOR_COMPLETE}) == TERMINAL


def test_deactivation_stops_whatever_is_not_ending_and_nothing_else() -> None:
    moved = {phase: next_phase(phase, PhaseEvent.DEACTIVATED) for phase in Phase}

    assert moved == {phase: None if phase in ENDING else Phase.PENDING_STOPPER for phase in Phase}


@given(st.lists(st.sampled_from(PhaseEvent), max_size=30))
def test_no_history_goes_backwards(events: list[PhaseEvent]) -> None:
    phase = Phase.PRE_MQ_ACTIVATION
    for event in events:
        after = next_phase(phase, event) or phase
        assert ORDER.index(after) >= ORDER.index(phase)
        phase = after


@given(st.lists(st.sampled_from(PhaseEvent), max_size=30), st.sampled_from(PhaseEvent))
def test_the_same_event_twice_moves_at_most_once(events: list[PhaseEvent], doubled: PhaseEvent) -> None:
    phase = Phase.PRE_MQ_ACTIVATION
    for event in events:
        phase = next_phase(phase, event) or phase

    once = next_phase(phase, doubled) or phase
    twice = next_phase(once, doubled) or once

    assert twice is once


def test_every_pair_is_judged_as_the_reference_says() -> None:
    """One row a phase, one column an event; `.` is refused. A pair that nobody looked at would be missing here."""
    tried = set()
    table = """
                       activated  activation-delayed  launched  submitted  submit-failed  deactivated  removed  remove-failed  completed
    pre-mq-activation  pre-launch  pre-mq-activation  .  .  .  pending-stopper  .  .  .
    pre-launch         .  .  pending-starter  .  .  pending-stopper  .  .  .
    pending-starter    .  .  .  condor-submit  pending-starter  pending-stopper  .  .  condor-complete
    condor-submit      .  .  .  condor-submit  .  pending-stopper  condor-rm  condor-submit  condor-complete
    pending-stopper    .  .  .  pending-stopper  pending-stopper  .  condor-rm  pending-stopper  condor-complete
    condor-rm          .  .  .  .  .  .  condor-rm  .  condor-complete
    condor-complete    .  .  .  .  .  .  .  .  condor-complete
    """
    head, *rows = table.strip().splitlines()
    events = [PhaseEvent(word) for word in head.split()]
    for row in rows:
        name, *cells = row.split()
        for event, cell in zip(events, cells, strict=True):
            tried.add((Phase(name), event))
            assert next_phase(Phase(name), event) == (None if cell == "." else Phase(cell)), (name, event)

    assert tried == {(phase, event) for phase in Phase for event in PhaseEvent}
    assert set(TRANSITIONS) <= tried
