"""Why is a worker held, and who can let it go on? A sentence for each of HTCondor's codes: its reason, then what to change.

Source of the codes: the manual of HTCondor 25, "Job ClassAd attributes", HoldReasonCode.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from muster.site.adapters.htcondor.describe import FAILED_SUBCODE
from muster.site.adapters.htcondor.event_log.hold_reasons import render_hold
from muster.site.adapters.htcondor.hold_policy import BY_HAND, LACKING_SUBCODE, PAUSED_SUBCODE, SPOOLING

REASON_MAX = 500
"""Characters of HTCondor's own words in a sentence."""
POLICY = 3
OVER_MEMORY = 34
OVER_MEMORY_BY_POLICY = (21, 102)
"""Of a pool with `use POLICY : HOLD_IF_MEMORY_EXCEEDED`."""
_TRIED_AGAIN = "it is tried again by itself, after a pause that grows"
_CHANGES: Mapping[int, str] = {
    POLICY: "a periodic_hold or on_exit_hold did it: ask the operator of this agent (MUSTER_SITE_CONDOR_ATTRIBUTES), or the pool's",
    6: "the machine could not start the worker's script; " + _TRIED_AGAIN,
    7: "see that the agent's folder (MUSTER_SITE_DIRECTORY) can be written at the access point",
    12: "see the files that the worker was to give back",
    13: "see that every one of input_files is there, and can be read at the access point; " + _TRIED_AGAIN,
    14: "see that the agent's folder (MUSTER_SITE_DIRECTORY) is there at the access point",
    21: "the execution point's policy (WANT_HOLD) did it: ask the pool's operator",
    22: "see that the agent's folder (MUSTER_SITE_DIRECTORY) can be written at the access point",
    26: "SYSTEM_PERIODIC_HOLD of the access point did it: ask its operator",
    32: "fewer or smaller input_files, or ask the operator for a larger MAX_TRANSFER_INPUT_MB",
    35: "ask the operator of this agent for another image (MUSTER_SITE_CONDOR_WORKER_IMAGE)",
    45: "the machine's container runtime does not work; " + _TRIED_AGAIN,
    46: "it goes on by itself; where that is too often, ask for longer (max_worker_runtime)",
    47: "it goes on by itself; where that is too often, ask for longer (max_worker_runtime)",
}

_OURS: Mapping[int, str] = {
    PAUSED_SUBCODE: "its next start lets them go on",
    LACKING_SUBCODE: "its log and `muster site status` say what its operator can do",
}
"""By the subcode of a hold by the agent itself."""


@dataclass(frozen=True)
class HeldProc:
    """One that is held. `reason`: HTCondor's words; `n_ends`: how often it has ended so far."""

    code: int
    subcode: int
    reason: str
    n_ends: int = 0


def explain_held(procs: Sequence[HeldProc], *, cluster: int, n_workers: int, starts_max: int) -> list[str]:
    """A sentence for each cause, that of the most workers first.

    Args:
        starts_max: starts of a worker that may fail.
    """
    causes: dict[tuple[int, int], list[HeldProc]] = defaultdict(list)
    for proc in procs:
        causes[proc.code, proc.subcode].append(proc)
    ordered = sorted(causes.items(), key=lambda item: (-len(item[1]), item[0]))
    return [_explain(code, subcode, held, cluster, n_workers, starts_max) for (code, subcode), held in ordered]


def _explain(code: int, subcode: int, held: Sequence[HeldProc], cluster: int, n_workers: int, starts_max: int) -> str:
    of_all = f"{len(held)} of {n_workers} {'worker' if n_workers == 1 else 'workers'}"
    is_one = len(held) == 1
    # One example is enough: the same cause says the same, but for names of files and machines.
    reason = " ".join(held[0].reason.split())[:REASON_MAX].rstrip(".")
    if (code, subcode) == (POLICY, FAILED_SUBCODE):
        n_ends = max(proc.n_ends for proc in held)
        return (
            f"{of_all} failed and {'waits' if is_one else 'wait'} for the next start, after {n_ends} of at most {starts_max} "
            f"starts: {reason}; see what it printed, and change task_args, task_env or input_files."
        )
    if code == BY_HAND and subcode in _OURS:
        return f"{of_all} {'is' if is_one else 'are'} held by the agent: {reason}; {_OURS[subcode]}."
    if code == BY_HAND:
        return (
            f"{of_all} {'is' if is_one else 'are'} held by hand: {reason}; whoever did it, or the operator, can let "
            f"{'it' if is_one else 'them'} go on (muster worker release, or condor_release {cluster})."
        )
    if code == SPOOLING:
        return f"{of_all} {'waits' if is_one else 'wait'} for input files to be spooled to the access point."
    if code == OVER_MEMORY or (code, subcode) == OVER_MEMORY_BY_POLICY:
        stopped = f"{of_all} {'was' if is_one else 'were'} stopped for using more memory than asked for"
        return f"{stopped}: {reason}; ask for more (worker_memory)."
    change = _CHANGES.get(code, _TRIED_AGAIN)
    marked = f" (subcode {subcode})" if code == POLICY and subcode else ""
    return f"{of_all} {'is' if is_one else 'are'} held: {reason or render_hold(code, subcode)}{marked}; {change}."
