"""Why can no slot run a job? One sentence for each obstacle: the fact with its numbers first, then whom it is up to and what to change."""

from collections import Counter
from collections.abc import Collection
from difflib import get_close_matches

from muster.site.adapters.htcondor.classads import Expression
from muster.site.adapters.htcondor.clauses import find_references
from muster.site.adapters.htcondor.matching import Clause, Matching, Source, widen
from muster.site.adapters.htcondor.resources import RESOURCES, SETTINGS

NAMED_MAX = 3
"""Values of an attribute, and clauses of a policy, that are named."""
TEXT_MAX = 300
"""Characters of an expression that one sentence holds."""
_ALIKE = 0.75
"""From 0 to 1: how much two names are alike of which one may be meant by the other."""

_ORDER = (Source.REQUEST, Source.USER, Source.OPERATOR, Source.SITES, Source.HTCONDOR)
"""Those first that the user can do something about."""
_OPERATORS = {
    Source.OPERATOR: "ask the operator of this agent to change MUSTER_SITE_CONDOR_REQUIREMENTS",
    Source.SITES: "ask the operator of this agent to admit it (MUSTER_SITE_CONDOR_EXCLUDED_SITES)",
}
_OF_IMAGES = frozenset({"hascontainer", "hassif", "hasdockerurl", "hassandboximage", "hassingularity", "hasdocker"})
"""What HTCondor wants of a slot for a job in an image."""


def explain_unmet(matching: Matching, names: Collection[str]) -> list[str]:
    """Why no slot fits; none where one does.

    Args:
        names: of attributes that slots have, as they are spelled.
    """
    unmet = sorted(matching.find_unmet(), key=lambda clause: _ORDER.index(clause.source))
    # Of several things that HTCondor adds for one reason, the first tells it.
    told = [clause for index, clause in enumerate(unmet) if clause.source is not Source.HTCONDOR or not index]
    sentences = [_explain_clause(clause, matching, names) for clause in told]
    return sentences or _explain_conflict(matching)


def explain_refusal(matching: Matching) -> list[str]:
    """Why every slot that fits refuses; none where one does not."""
    n_fits = matching.fits.bit_count()
    if not n_fits or matching.accepts:
        return []
    sentences = []
    if n_draining := matching.draining.bit_count():
        is_one = n_draining == 1
        sentences.append(
            f"{_capitalize(_part(n_draining, n_fits))} {'is' if is_one else 'are'} being drained and "
            f"{'takes' if is_one else 'take'} nothing "
            "new; wait, or ask the pool's operator to end the draining (condor_drain -cancel)."
        )
    for clause, count in sorted(matching.refusals.items(), key=lambda item: -item[1])[:NAMED_MAX]:
        sentences.append(f"The owner's policy at {_part(count, n_fits)} {_explain_start(clause)}.")
    return sentences


def _explain_start(clause: str) -> str:
    if clause.lower() == "false":
        return "takes no job now: START is false; only the pool's operator can change that"
    settings = sorted({SETTINGS[one.name] for one in find_references(clause) if one.name in SETTINGS})
    change = f"change {' or '.join(settings)}, or ask" if settings else "ask"
    return f"refuses these workers: START wants {_quote(clause)}; {change} the pool's operator"


def _explain_clause(clause: Clause, matching: Matching, names: Collection[str]) -> str:
    if clause.source is Source.REQUEST:
        return _explain_request(clause, matching)
    values = _describe_values(clause, matching)
    if clause.source is Source.SITES:
        return f"{_all_are(matching)} at a site that is excluded ({values}); {_OPERATORS[clause.source]}."
    if clause.source is Source.HTCONDOR and clause.attributes & _OF_IMAGES:
        return (
            f"{_none(matching, 'can run', 'cannot run')} the image in which the workers are to run: HTCondor wants {_quote(clause.text)}; "
            "ask the operator of this agent for another image, or none (MUSTER_SITE_CONDOR_WORKER_IMAGE)."
        )
    if absent := sorted(name for name in clause.attributes if not any(name in slot for slot in matching.slots)):
        return _explain_absent(clause, absent, matching, names)
    fact = f"{_none(matching, 'meets', 'does not meet')} {_quote(clause.text)}{values and f': {values}'}"
    if clause.source is Source.HTCONDOR:
        return f"{fact}; HTCondor wants it for every job of this access point that does not say otherwise in condor_requirements."
    return f"{fact}; {_OPERATORS.get(clause.source, 'change condor_requirements')}."


def _explain_absent(clause: Clause, absent: list[str], matching: Matching, names: Collection[str]) -> str:
    by_lower = {name.lower(): name for name in sorted(names)}
    similar = get_close_matches(absent[0], by_lower, n=1, cutoff=_ALIKE)
    proposal = f" (there is {by_lower[similar[0]]})" if similar else ""
    spelled = ", ".join(_spell(name, clause.text) for name in absent)
    n_slots = len(matching.slots)
    holds = "does not hold at the one slot" if n_slots == 1 else f"holds at none of the {n_slots} slots"
    return (
        f"No slot has the attribute{'' if len(absent) == 1 else 's'} {spelled}{proposal}, and {_quote(clause.text)} {holds}; "
        f"{_OPERATORS.get(clause.source, 'change condor_requirements')}."
    )


def _explain_request(clause: Clause, matching: Matching) -> str:
    resource = RESOURCES[clause.text]
    asked, largest = matching.requests[clause.text], matching.largest(clause.text)
    if clause.text == "gpus" and not largest:
        return f"No slot has a GPU, and each worker asks for {asked:g}; ask for none ({resource.setting})."
    n_slots = len(matching.slots)
    biggest = "the one slot" if n_slots == 1 else f"the largest of the {n_slots} slots"
    fact = f"No slot has {resource.render_whole(asked)}: {biggest} has {resource.render(largest)}"
    return f"{fact}; ask for {resource.less} ({resource.setting})."


def _explain_conflict(matching: Matching) -> list[str]:
    conflict = matching.find_conflict()
    if not conflict:
        return []
    met = ", ".join(f"{clause.n_meets} {_tell_met(clause, matching)}" for clause in conflict)
    settings = " or ".join(dict.fromkeys(_name_setting(clause) for clause in conflict))
    none = "none both" if len(conflict) == 2 else "none all"
    return [f"No slot meets all that is asked for: of {_all(matching)} {met}, and {none}; change {settings}."]


def _tell_met(clause: Clause, matching: Matching) -> str:
    if clause.source is Source.REQUEST:
        amount = RESOURCES[clause.text].render_whole(matching.requests[clause.text])
        return f"{'has' if clause.n_meets == 1 else 'have'} {amount}"
    return f"{'meets' if clause.n_meets == 1 else 'meet'} {_quote(clause.text)}"


def _name_setting(clause: Clause) -> str:
    match clause.source:
        case Source.REQUEST:
            return RESOURCES[clause.text].setting
        case Source.OPERATOR:
            return "MUSTER_SITE_CONDOR_REQUIREMENTS (the operator of this agent)"
        case Source.SITES:
            return "MUSTER_SITE_CONDOR_EXCLUDED_SITES (the operator of this agent)"
        case Source.USER | Source.HTCONDOR:
            return "condor_requirements"


def _describe_values(clause: Clause, matching: Matching) -> str:
    """What slots have of that which a clause names: `Cpus is 8 at 10, 16 at 2`; from which to which number, where there are many."""
    slots = [widen(slot) for slot in matching.slots]
    described = []
    for name in sorted(clause.attributes)[:NAMED_MAX]:
        has = [slot[name] for slot in slots if name in slot]
        values = Counter(map(_render_value, has))
        if len(values) > NAMED_MAX and all(isinstance(value, (int, float)) for value in has):
            told = f"{min(has)} to {max(has)}"
        elif len(slots) == 1:
            told = ", ".join(values)
        else:
            told = ", ".join(f"{value} at {count}" for value, count in values.most_common(NAMED_MAX))
            told += ", ..." if len(values) > NAMED_MAX else ""
        if has:
            described.append(f"{_spell(name, clause.text)} is {told}")
    return "; ".join(described)


def _render_value(value: object) -> str:
    if isinstance(value, Expression):
        return value.text[:TEXT_MAX]
    if isinstance(value, str):
        return f'"{value[:TEXT_MAX]}"'
    return "undefined" if value is None else str(value).lower()[:TEXT_MAX] if isinstance(value, bool) else str(value)


def _spell(name: str, text: str) -> str:
    """An attribute as the expression spells it."""
    at = text.lower().find(name)
    return text[at : at + len(name)] if at >= 0 else name


def _quote(text: str) -> str:
    return f"`{text}`" if len(text) <= TEXT_MAX else f"`{text[:TEXT_MAX]}...`"


def _all(matching: Matching) -> str:
    n_slots = len(matching.slots)
    return "the one slot" if n_slots == 1 else f"the {n_slots} slots"


def _all_are(matching: Matching) -> str:
    n_slots = len(matching.slots)
    return "The one slot is" if n_slots == 1 else f"All {n_slots} slots are"


def _none(matching: Matching, does: str, does_not: str) -> str:
    n_slots = len(matching.slots)
    return f"The one slot {does_not}" if n_slots == 1 else f"None of the {n_slots} slots {does}"


def _part(count: int, n_fits: int) -> str:
    if n_fits == 1:
        return "the one slot that fits"
    return f"all {n_fits} slots that fit" if count == n_fits else f"{count} of the {n_fits} slots that fit"


def _capitalize(text: str) -> str:
    return text[0].upper() + text[1:]
