"""Which agents are there? Who asked for work, where, and when last."""

from dataclasses import dataclass

from muster.domain.location import Agent

KEPT_S = 30 * 86_400.0
"""Seconds for which it is kept that somebody asked."""
SILENT_S = {Agent.MUSTER: 120.0, Agent.UPSTREAM: 300.0}
"""Seconds after which an agent that asks no more is taken to be gone: ours parks its calls for 25 s, upstream's asks once a minute."""


@dataclass(frozen=True)
class Ask:
    """An agent asked for work.

    Args:
        kind: ours, or upstream's.
        place: name of the location for which ours asked; for upstream's the schedd at which it stands, which is all that it says of itself.
        agent: the name of ours; empty for upstream's.
        at: seconds since the epoch, the last time; a minute old at most while it asks.
    """

    kind: Agent
    place: str
    agent: str
    at: float

    def is_there(self, now: float) -> bool:
        """Did the agent ask so lately that it must be there?"""
        return now - self.at <= SILENT_S[self.kind]
