"""How is kept what a site tells of a taskforce's workers? As one text of JSON beside their statuses."""

import json
from collections.abc import Sequence
from dataclasses import fields

from muster.domain.pool_facts import PoolFacts

_WORDS = tuple(field.name for field in fields(PoolFacts))


def write_told(facts: PoolFacts | None, reasons: Sequence[str]) -> str | None:
    """None where nothing was told."""
    told: dict[str, object] = {}
    if facts is not None:
        told["facts"] = vars(facts)
    if reasons:
        told["reasons"] = list(reasons)
    return json.dumps(told) if told else None


def read_told(text: str | None) -> tuple[PoolFacts | None, tuple[str, ...]]:
    """What a newer service beside this one may have added is left out."""
    if text is None:
        return None, ()
    told = json.loads(text)
    facts = told.get("facts")
    known = None if facts is None else PoolFacts(**{word: facts[word] for word in _WORDS if word in facts})
    return known, tuple(told.get("reasons", ()))
