"""What is seen of a cluster: how many of its workers are where, and in what they ended?"""

import time
from collections import Counter
from collections.abc import Sequence

from muster.site.adapters.processes.folder import COMPLETED, REMOVED, ProcFile
from muster.site.ports.pool import Observation, PilotStatus, ProcState


def observe(states: Sequence[tuple[ProcFile, bool]], *, healthy_s: float) -> Observation:
    """Where every worker is.

    Args:
        states: of each worker, and whether its process runs.
        healthy_s: seconds after which a start has gone well, so that what the one before failed of is past.
    """
    counts: Counter[tuple[str, str | None]] = Counter()
    errors: Counter[str] = Counter()
    for state, is_running in states:
        counts[_place(state, is_running=is_running)] += 1
        is_healthy = is_running and time.time() - state.began_at >= healthy_s
        is_past = state.end is not None or is_healthy
        if error := state.error or (None if is_past else state.trouble):
            errors[error] += 1
    n_left = sum(state.end is None for state, _ in states)
    ended_at = None if n_left else max(state.ended_at for state, _ in states)
    return Observation(dict(counts), dict(errors), n_left, ended_at)


def _place(state: ProcFile, *, is_running: bool) -> tuple[str, PilotStatus | None]:
    if state.end == REMOVED:
        return ProcState.REMOVED, None
    if state.end == COMPLETED:
        return ProcState.COMPLETED, PilotStatus.FATAL if state.error else PilotStatus.DONE
    if state.held is not None:
        return f"{ProcState.HELD}: {state.held}", None
    return (ProcState.RUNNING, PilotStatus.TASKING) if is_running else (ProcState.IDLE, None)
