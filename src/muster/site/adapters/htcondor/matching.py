"""Which slots could run a job, and what keeps it from the others? Each clause of either side, judged alone and together.

A slot is judged by all that it has: one that is busy now may run the job later. What it has left is judged apart.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from typing import Any

from muster.site.adapters.htcondor.classads import Evaluation, Expression, Values, render
from muster.site.adapters.htcondor.clauses import find_first_group, find_references, split_clauses
from muster.site.adapters.htcondor.resources import RESOURCES

_OF_REQUESTS = frozenset({*RESOURCES, *(one.request for one in RESOURCES.values()), "condorversion"})


class Source(Enum):
    """Who asks for a clause."""

    REQUEST = "request"  # so much of a resource
    USER = "user"
    OPERATOR = "operator"
    SITES = "sites"
    HTCONDOR = "htcondor"  # HTCondor adds it to every job


@dataclass(frozen=True)
class Clause:
    """One thing that a job asks for.

    Args:
        text: as a ClassAd expression; of a request: the slot's attribute.
        attributes: of slots, that it names, in lower case.
        meets: the slots that have it, a bit each.
    """

    text: str
    source: Source
    attributes: frozenset[str]
    meets: int

    @property
    def n_meets(self) -> int:
        """How many slots have it."""
        return self.meets.bit_count()


@dataclass(frozen=True)
class Matching:
    """A job against all slots; sets of slots are numbers with a bit for each.

    Args:
        clauses: of the job.
        requests: how much of each resource it asks for.
        fits: slots that meet every clause.
        accepts: those of them whose own policy takes the job.
        free: those of them that have room now.
        refusals: clauses of START that refuse it → how many slots of `fits`.
        draining: those of `fits` that take nothing, since they are being emptied.
    """

    slots: Sequence[Values]
    clauses: Sequence[Clause]
    requests: Mapping[str, float]
    fits: int
    accepts: int
    free: int
    refusals: Mapping[str, int]
    draining: int

    def find_unmet(self) -> list[Clause]:
        """Clauses that no slot meets."""
        return [clause for clause in self.clauses if not clause.meets]

    def find_conflict(self) -> list[Clause]:
        """As few clauses as possible that no slot meets together, though each is met; none where all are met somewhere."""
        if self.fits or not self.slots:
            return []
        clauses = sorted(self.clauses, key=lambda clause: clause.n_meets)
        for index, one in enumerate(clauses):
            for other in clauses[:index]:
                if not one.meets & other.meets:
                    return [other, one]
        kept = list(clauses)
        for clause in reversed(clauses):
            without = [one for one in kept if one is not clause]
            if not _meet_all(without, len(self.slots)):
                kept = without
        return kept

    def largest(self, resource: str) -> float:
        """The most that any slot has of a resource."""
        return max((_total(slot, resource) for slot in self.slots), default=0.0)

    def pick(self, slots: int) -> list[Values]:
        """The slots of a set."""
        return [slot for slot, is_in in zip(self.slots, _bits(slots, len(self.slots)), strict=True) if is_in]


def list_slot_attributes(job: Values, requirements: Sequence[str]) -> frozenset[str]:
    """What has to be known of slots to judge a job, in lower case."""
    found = {one for text in requirements for one in find_references(text)}
    return frozenset(one.name for one in found if one.scope == "target" or (not one.scope and one.name not in job))


def split_requirements(job: Values) -> list[tuple[str, bool]]:
    """The clauses of a job's requirements; with each, whether it was in its description, or HTCondor has added it."""
    value = job.get("requirements")
    if not isinstance(value, Expression):
        return [] if value in (True, None) else [(str(value).lower(), True)]
    text = render(value.text) or value.text
    # HTCondor puts the description's own requirements into parentheses, and adds further ones behind them.
    described = frozenset(split_clauses(find_first_group(text)))
    seen: dict[str, bool] = {}
    for clause in split_clauses(text):
        if clause.lower() != "true":
            seen.setdefault(clause, clause in described)
    return list(seen.items())


def match(job: Values, slots: Sequence[Values], *, operators: str, sites: Sequence[str]) -> Matching:
    """Judge a job.

    Args:
        operators: the requirements that stand in the settings; `sites`: expressions by which they exclude sites.
    """
    of_operator = frozenset(split_clauses(render(operators) or "")) if operators else frozenset()
    of_sites = frozenset(render(site) or site for site in sites)
    everything = [widen(slot) for slot in slots]
    judge = _Judge(job, everything)
    asked = {name: _number(job.get(resource.request), job) for name, resource in RESOURCES.items()}
    requests = {name: amount for name, amount in asked.items() if amount}
    clauses = [
        Clause(name, Source.REQUEST, frozenset({name}), _collect(_total(slot, name) >= amount for slot in slots))
        for name, amount in requests.items()
    ]
    for text, is_described in split_requirements(job):
        attributes = list_slot_attributes(job, [text])
        if not is_described and frozenset(one.name for one in find_references(text)) <= _OF_REQUESTS:
            continue  # says in HTCondor's words what the requests say
        source = Source.USER if is_described else Source.HTCONDOR
        source = Source.OPERATOR if text in of_operator else Source.SITES if text in of_sites else source
        clauses.append(Clause(text, source, attributes, judge.find(text, attributes)))
    fits = _meet_all(clauses, len(slots))
    draining = fits & _collect(slot.get("draining") is True or slot.get("state") == "Drained" for slot in slots)
    policies = _Policies(job, everything)
    judged = zip(everything, _bits(fits & ~draining, len(slots)), strict=True)
    refused = [policies.find_refusing(slot) if may else None for slot, may in judged]
    accepts = _collect(one == [] for one in refused)
    refusals = Counter(clause for one in refused for clause in one or ())
    room = _collect(_has_room(slot, requests) for slot in slots)
    return Matching(slots, clauses, requests, fits, accepts, accepts & room, dict(refusals), draining)


def widen(slot: Values) -> Values:
    """A slot as it is when nothing runs at it."""
    if slot.get("slottype") != "Partitionable":
        return slot
    return {**slot, **{name: slot[total] for name in RESOURCES if (total := f"totalslot{name}") in slot}}


class _Judge:
    """Evaluates clauses of one job against slots; slots that do not differ in what a clause depends on are asked once."""

    def __init__(self, job: Values, slots: Sequence[Values]) -> None:
        self._evaluation = Evaluation(job)
        self._slots = slots
        self._speaks_of = _map_dependences(slots)

    def find(self, text: str, attributes: frozenset[str]) -> int:
        names = sorted(_close(attributes, self._speaks_of))
        known: dict[tuple[Any, ...], bool] = {}

        def is_met(slot: Values) -> bool:
            key = tuple(_key(slot.get(name)) for name in names)
            if key not in known:
                relevant = {name: slot[name] for name in names if name in slot}
                known[key] = self._evaluation.is_true(text, relevant)
            return known[key]

        return _collect(is_met(slot) for slot in self._slots)


class _Policies:
    """START of slots against one job; slots that do not differ in what theirs depends on are asked once."""

    def __init__(self, job: Values, slots: Sequence[Values]) -> None:
        self._job = job
        self._job_speaks_of = _map_dependences([job])
        self._names = sorted(_close(frozenset({"start"}), _map_dependences(slots)))
        self._known: dict[tuple[Any, ...], list[str]] = {}

    def find_refusing(self, slot: Values) -> list[str]:
        """Clauses that do not hold for the job; none: the slot takes it."""
        key = tuple(_key(slot.get(name)) for name in self._names)
        if key not in self._known:
            self._known[key] = self._judge({name: slot[name] for name in self._names if name in slot})
        return self._known[key]

    def _judge(self, slot: Values) -> list[str]:
        start = slot.get("start", True)
        if not isinstance(start, Expression):
            return [] if start else ["false"]
        evaluation = Evaluation(slot)
        job = self._choose(slot)
        clauses = split_clauses(render(start.text) or start.text)
        return [clause for clause in clauses if not evaluation.is_true(clause, job)]

    def _choose(self, slot: Values) -> dict[str, Any]:
        """What a slot's expressions name of the job, and what that depends on in it."""
        texts = (value.text for value in slot.values() if isinstance(value, Expression))
        named = frozenset(one.name for text in texts for one in find_references(text))
        return {name: self._job[name] for name in _close(named, self._job_speaks_of) if name in self._job}


def _map_dependences(ads: Sequence[Values]) -> dict[str, frozenset[str]]:
    """Attribute → attributes of which its value speaks, in any of the ads."""
    texts: dict[str, set[str]] = {}
    for ad in ads:
        for name, value in ad.items():
            if isinstance(value, Expression):
                texts.setdefault(name, set()).add(value.text)
    return {
        name: frozenset(one.name for text in found for one in find_references(text) if one.scope != "target")
        for name, found in texts.items()
    }


def _close(names: frozenset[str], speaks_of: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """These attributes and all of which their values speak."""
    while further := frozenset(one for name in names for one in speaks_of.get(name, ())) - names:
        names |= further
    return names


def _total(slot: Values, resource: str) -> float:
    total = slot.get(f"totalslot{resource}") if slot.get("slottype") == "Partitionable" else None
    value = total if total is not None else slot.get(resource, 0)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _has_room(slot: Values, requests: Mapping[str, float]) -> bool:
    if slot.get("slottype") != "Partitionable":
        return slot.get("state") == "Unclaimed"
    left = {name: slot.get(name, 0) for name in requests}
    return all(isinstance(left[name], (int, float)) and left[name] >= amount for name, amount in requests.items())


def _number(value: Any, job: Values) -> float | None:
    if isinstance(value, Expression):
        value = Evaluation(job).evaluate(value.text, {})
    return float(value) if isinstance(value, (int, float)) else None


def _key(value: Any) -> Any:
    return (type(value), value) if isinstance(value, (str, int, float, bool, Expression, type(None))) else str(value)


def _collect(met: Iterable[bool]) -> int:
    """A set of slots: those for which it is so."""
    return int("".join("1" if one else "0" for one in met)[::-1] or "0", 2)


def _bits(slots: int, n_slots: int) -> list[bool]:
    """Of each slot, whether it is in a set."""
    return [letter == "1" for letter in f"{slots:0{max(n_slots, 1)}b}"[::-1]][:n_slots]


def _meet_all(clauses: Sequence[Clause], n_slots: int) -> int:
    return reduce(lambda met, clause: met & clause.meets, clauses, (1 << n_slots) - 1)
