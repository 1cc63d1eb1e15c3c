"""What does a pool tell of a taskforce's workers beside their states, and which of it is kept?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NAMES_MAX = 20
"""Hosts, sites, holds and steps that are kept of each kind: the most frequent."""
NAME_CHARS_MAX = 500
REASONS_MAX = 10
"""Sentences on why workers wait."""
REASON_CHARS_MAX = 500


@dataclass(frozen=True)
class PoolFacts:
    """What is told of the procs of one cluster.

    Args:
        restarts, evictions, disconnects, failed_starts: how often so far.
        disconnected: procs whose machine is out of reach now.
        holds: how many are held now, by reason, in the pool's words.
        transfers: how many are moving files now, by step.
        hosts, sites: how many run where now. The service is told the `NAMES_MAX` of each kind with the most.
    """

    restarts: int = 0
    evictions: int = 0
    disconnects: int = 0
    failed_starts: int = 0
    disconnected: int = 0
    holds: Mapping[str, int] = field(default_factory=dict)
    transfers: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    sites: Mapping[str, int] = field(default_factory=dict)


def list_top(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent ones, those first, equals in the order of their names; none of which there is nothing."""
    names: dict[str, int] = {}
    for name, number in counts.items():
        if number > 0:
            short = name if len(name) <= NAME_CHARS_MAX else f"{name[: NAME_CHARS_MAX - 1]}…"
            names[short] = names.get(short, 0) + number
    return dict(sorted(names.items(), key=lambda one: (-one[1], one[0]))[:NAMES_MAX])
