"""Which fields of a document are wanted? Names to include, dotted into objects and into the objects of arrays.

Source: wms.md section 15; MongoDB manual, "Project Fields to Return from Query".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from muster.domain.filter import ID

Branches: TypeAlias = "dict[str, Branches | None]"
"""By name; None: the whole field."""


@dataclass(frozen=True)
class Projection:
    """The fields to keep. What a document has not is left out without a word."""

    branches: Mapping[str, "Branches | None"]

    def wants(self, name: str) -> bool:
        """Is anything of this top-level field wanted?"""
        return name in self.branches

    def apply(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """What is wanted of the document, in its own order."""
        return _keep(document, self.branches)


def parse_projection(names: Sequence[str]) -> Projection | None:
    """Read the names; None where nothing is left of them: the whole document is wanted. A name within another one adds nothing."""
    branches: Branches = {}
    for name in names:
        if name != ID:
            _add(branches, name.split("."))
    return Projection(branches) if branches else None


def _add(branches: Branches, path: Sequence[str]) -> None:
    here = branches
    for name in path[:-1]:
        below = here.setdefault(name, {})
        if below is None:
            return
        here = below
    here[path[-1]] = None


def _keep(value: Mapping[str, Any], branches: Mapping[str, "Branches | None"]) -> dict[str, Any]:
    kept = {}
    for name, one in value.items():
        if name not in branches:
            continue
        below = branches[name]
        if below is None:
            kept[name] = one
        elif isinstance(one, dict):
            kept[name] = _keep(one, below)
        elif isinstance(one, list):
            kept[name] = _keep_in_array(one, below)
    return kept


def _keep_in_array(values: list[Any], branches: Branches) -> list[Any]:
    """Of objects what is wanted, of arrays within likewise; what is neither has no fields and goes."""
    kept: list[Any] = []
    for one in values:
        if isinstance(one, dict):
            kept.append(_keep(one, branches))
        elif isinstance(one, list):
            kept.append(_keep_in_array(one, branches))
    return kept
