"""What is there to tell of a cluster? Its counts under upstream's names, and what upstream never told.

Different from upstream on purpose: what a pilot said is forgotten at each start; a proc that goes on after a suspension is RUNNING;
and a map that has become empty is told as `{}`, so that what was in it goes away (tms.md 6.3 to 6.5, 11).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally
from muster.site.adapters.htcondor.event_log.events import PHASES
from muster.site.adapters.htcondor.event_log.hold_reasons import render_hold, render_status

TOP_ERRORS = 10

_Key = TypeVar("_Key")
Statuses = dict[str, dict[str, int]]
Errors = dict[str, int]


@dataclass(frozen=True)
class ClusterReport:
    """One look at a cluster.

    Args:
        n_procs: heard of so far; `n_left` of them have not ended for good.
        ended_at: the latest end of a proc, seconds since the epoch.
        statuses: (status, what the pilot said last, or None) → procs. Held procs have a status for each reason.
        errors: the most common error texts → procs.
        states: HTCondor's state → procs.
        holds: reason → procs held for it now.
        hosts, sites: machine, site → procs there now.
        phases: step of the file transfer → procs that are in it now.
        numbers: what happened → how often: starts, restarts, evictions (by a removal is none), shadow exceptions, disconnects,
            reconnect failures, suspensions, remote errors, failed starts; `disconnected`: how many procs are now.
        paused: why HTCondor makes no more of a factory's procs now.
    """

    cluster: int
    n_procs: int
    n_left: int
    ended_at: float | None
    statuses: Mapping[tuple[str, str | None], int]
    errors: Errors
    states: Mapping[int, int]
    holds: Mapping[str, int]
    hosts: Mapping[str, int]
    sites: Mapping[str, int]
    phases: Mapping[str, int]
    numbers: Mapping[str, int]
    paused: str | None


def look_at(tally: ClusterTally) -> ClusterReport:
    """The counts of a cluster as they are now. Costs as much as there are distinct statuses, errors and machines."""
    statuses: dict[tuple[str, str | None], int] = {}
    states: dict[int, int] = {}
    holds: dict[str, int] = {}
    for key, count in tally.counts.items():
        if count:
            state, hold = tally.read_state(key >> 16)
            _add(statuses, (render_status(state, hold), tally.pilot_words[key & 0xFFFF]), count)
            _add(states, state, count)
            if hold is not None:
                _add(holds, render_hold(*hold), count)
    hosts: dict[str, int] = {}
    sites: dict[str, int] = {}
    for place, count in tally.place_texts.items():
        host, _, site = place.decode(errors="replace").partition("\n")
        _add(hosts, host, count)
        _add(sites, site or host, count)
    return ClusterReport(
        cluster=tally.cluster,
        n_procs=tally.n_procs,
        n_left=tally.n_procs - tally.n_ended,
        ended_at=tally.ended_at,
        statuses=statuses,
        errors=_find_top_errors(tally),
        states=states,
        holds=holds,
        hosts=hosts,
        sites=sites,
        phases={name: count for name, count in zip(PHASES, tally.phases, strict=True) if name and count},
        numbers={name: count for name, count in tally.numbers.items() if count},
        paused=tally.paused,
    )


def _add(counts: dict[_Key, int], key: _Key, count: int) -> None:
    counts[key] = counts.get(key, 0) + count


def _find_top_errors(tally: ClusterTally) -> Errors:
    counts = sorted(tally.error_texts.items(), key=lambda item: -item[1])[:TOP_ERRORS]
    return {text.decode(): count for text, count in counts}
