"""How are faults of an input told to EWMS clients? In upstream's words, where its clients know them."""

from collections.abc import Sequence
from dataclasses import dataclass

from muster.domain.errors import Finding


@dataclass(frozen=True)
class UpstreamFinding(Finding):
    """A fault that upstream has its own sentence for; `text_v0`: its older API's, where that is another."""

    text: str = ""
    text_v0: str = ""


def tell_upstream(findings: Sequence[Finding], *, is_v0: bool) -> str:
    """All findings in one line, as wms.md 2.3 has it: `'<dotted.path>': <reason>`, joined by `; `."""
    return "; ".join(_tell(one, is_v0=is_v0) for one in findings)


def _tell(one: Finding, *, is_v0: bool) -> str:
    if isinstance(one, UpstreamFinding):
        return (is_v0 and one.text_v0) or one.text
    return f"'{one.field}': {one.reason}" if one.field else one.reason
