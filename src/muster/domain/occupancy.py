"""Who has what another one waits for? The owner's own workflows by their ids; of other owners how much in all, and to operators whose.

What others have is nobody's business but an operator's; how much it is tells whether to wait or to ask one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NAMED_MAX = 3
"""Workflows, and owners, that one sentence names."""
ITSELF = "its own workflow"
"""The name of the one that waits, where its other workers are in its way."""


@dataclass(frozen=True)
class Occupant:
    """A workflow that has some of it."""

    workflow_id: str
    amount: int


@dataclass(frozen=True)
class NoRoom:
    """Why there is no room for what waits, as people are told.

    Args:
        text: a sentence that can be gone on with.
        is_lasting: it stays so until a person does something about what stands still.
        until: otherwise what has to happen before it is let in, as half a sentence.
        remedies: what to type about what stands still.
    """

    text: str
    is_lasting: bool = False
    until: str = "others have ended"
    remedies: tuple[str, ...] = ()


def render_occupancy(
    owner: str, own: Sequence[Occupant], by_owner: Mapping[str, int], *, is_own: bool, names_owners: bool, mine: int = 0
) -> str | None:
    """Who has it, as half a sentence; None where nobody has any.

    Args:
        owner: of the one that waits.
        own: its owner's other workflows that have most.
        by_owner: how much of it each owner has.
        is_own: it is the limit of the owner, so that others are not in the way.
        names_owners: to an operator.
        mine: how much the one that waits has itself.
    """
    named = [(one.workflow_id, one.amount) for one in own[:NAMED_MAX]]
    rest = by_owner.get(owner, 0) - mine - sum(amount for _, amount in named)
    parts = [(ITSELF, mine), *named, (f"{'others' if named or mine else 'those'} of {owner}", rest)]
    if not is_own:
        others = sorted(((amount, name) for name, amount in by_owner.items() if name != owner), reverse=True)
        shown = others[:NAMED_MAX] if names_owners else []
        parts += [(f"those of {name}", amount) for amount, name in shown]
        parts.append(("those of other owners", sum(amount for amount, _ in others[len(shown) :])))
    told = join_amounts(parts)
    return f"they are in use by {told}" if told else None


def join_amounts(parts: Iterable[tuple[str, int]]) -> str:
    """`WF-a (4), WF-b (2) and others (3)`; who has none is left out."""
    told = [f"{name} ({amount})" for name, amount in parts if amount > 0]
    return " and ".join(filter(None, (", ".join(told[:-1]), *told[-1:])))
