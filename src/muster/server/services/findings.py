"""How are faults of an input told to EWMS clients? In upstream's words, where its clients know them."""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.errors import Finding


@dataclass(frozen=True)
class UpstreamFinding(Finding):
    """A fault that upstream has its own sentence for."""

    text: str = ""


def tell_upstream(findings: Sequence[Finding]) -> str:
    """All findings in one line, as wms.md 2.3 has it: `'<dotted.path>': <reason>`, joined by `; `."""
    return "; ".join(
        one.text if isinstance(one, UpstreamFinding) else f"'{one.field}': {one.reason}" if one.field else one.reason
        for one in findings
    )
