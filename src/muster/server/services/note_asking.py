"""Which agents are there? One that asks for work is written down, once in a while, so that every service on the database knows.

It is one small transaction in `NOTE_S` an agent, by whichever service it asks; what is asked in between costs nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from muster.domain.asking import Ask
from muster.domain.errors import UnavailableError
from muster.domain.location import Agent
from muster.server.ports.store import Store, Transaction

NOTE_S = 30.0
"""Seconds after which it is written again."""
REMEMBERED_MAX = 10_000


@dataclass
class Noted:
    """When this process wrote last of whom, by its own clock."""

    at: dict[tuple[Agent, str, str], float] = field(default_factory=dict)

    def choose(self, kind: Agent, places: Sequence[str], agent: str) -> list[str]:
        """The places of which it is time to write again."""
        now = anyio.current_time()
        return [one for one in places if now - self.at.get((kind, one, agent), -NOTE_S) >= NOTE_S]

    def keep(self, kind: Agent, places: Sequence[str], agent: str) -> None:
        """They are written down."""
        now = anyio.current_time()
        if len(self.at) + len(places) > REMEMBERED_MAX:
            self.at.clear()  # agents with ever new names: all that it costs is to write again
        self.at.update({(kind, one, agent): now for one in places})


async def note_asking(store: Store, noted: Noted, kind: Agent, places: Sequence[str], agent: str) -> None:
    """Write down that an agent asks for work, unless that was just done.

    Args:
        places: names of locations; of upstream's agent, schedds.
        agent: its name; empty for upstream's.
    """
    due = noted.choose(kind, places, agent)
    if not due:
        return

    def note(tx: Transaction) -> None:
        tx.askings.note([Ask(kind, place, agent, tx.now()) for place in due])

    # An agent that asks must get its answer also where a full disk takes nothing: the next time tells it.
    with suppress(UnavailableError):
        await store.write(note)
        noted.keep(kind, due, agent)
