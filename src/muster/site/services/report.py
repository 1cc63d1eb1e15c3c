"""What does the service learn of the workers? Statuses in upstream's words (tms.md 6.3 to 6.5) and what the pool tells; what changed.

What has become empty is told too: upstream leaves it out, so that its service shows the last error for ever.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from muster.client.shapes.sites import SiteReport, WorkerFacts
from muster.domain.errors import InvalidError
from muster.domain.pool_facts import PoolFacts, list_top
from muster.site.ports.pool import Observation
from muster.site.services.parts import Parts

TOP_ERRORS = 10
"""How many distinct error texts a report holds, the most common first (tms.md 2)."""
TASKFORCES_MAX = 100
"""Taskforces of one message, so that it is not too long."""
FACTS_AGAIN_S = 600.0
"""Seconds after which a service that refused facts, since it is older, is told them again."""

Statuses = dict[str, dict[str, int]]
Errors = dict[str, int]
T = TypeVar("T")


def render_statuses(seen: Observation) -> Statuses:
    """Job status → pilot status → procs; a pilot status that is not known is `null`."""
    statuses: Statuses = {}
    for (state, pilot), count in sorted(seen.counts.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        if count:
            statuses.setdefault(str(state), {})[str(pilot) if pilot else "null"] = count
    return statuses


def render_errors(seen: Observation) -> Errors:
    """The most common error texts, with how many procs ended with each."""
    return dict(Counter(seen.errors).most_common(TOP_ERRORS))


def render_facts(facts: PoolFacts) -> WorkerFacts:
    """Of hosts, sites, holds and steps those with the most procs."""
    return WorkerFacts(
        restarts=facts.restarts,
        evictions=facts.evictions,
        disconnects=facts.disconnects,
        failed_starts=facts.failed_starts,
        disconnected=facts.disconnected,
        holds=list_top(facts.holds),
        transfers=list_top(facts.transfers),
        hosts=list_top(facts.hosts),
        sites=list_top(facts.sites),
    )


@dataclass(frozen=True)
class Changes:
    """What is to be told, by uuid."""

    statuses: Mapping[str, Statuses]
    errors: Mapping[str, Errors]
    facts: Mapping[str, WorkerFacts]

    def without_facts(self) -> "Changes":
        """As a service of before takes it."""
        return Changes(self.statuses, self.errors, {})

    async def send(self, parts: Parts) -> list[str]:
        """Send them, in as many messages as they need; nothing to say is not sent. Returns the uuids that the service does not know."""
        uuids = list(dict.fromkeys((*self.statuses, *self.errors, *self.facts)))
        unknown: list[str] = []
        for start in range(0, len(uuids), TASKFORCES_MAX):
            some = uuids[start : start + TASKFORCES_MAX]
            report = SiteReport(
                parts.agent, _take(self.statuses, some), _take(self.errors, some), _take(self.facts, some)
            )
            unknown += await parts.service.report(report)
        return unknown


async def report_end(parts: Parts, uuid: str, seen: Observation) -> None:
    """Send what became of one taskforce, whole."""
    facts = {} if seen.facts is None else {uuid: render_facts(seen.facts)}
    last = Changes({uuid: render_statuses(seen)}, {uuid: render_errors(seen)}, facts)
    try:
        await last.send(parts)
    except InvalidError:
        if not facts:
            raise
        await last.without_facts().send(parts)


@dataclass
class ReportBook:
    """Remembers what was sent last, so that only changes are sent. After a restart everything is sent once more."""

    _statuses: dict[str, Statuses] = field(default_factory=dict)
    _errors: dict[str, Errors] = field(default_factory=dict)
    _facts: dict[str, WorkerFacts] = field(default_factory=dict)
    _facts_refused_at: float = float("-inf")

    async def report(self, parts: Parts, seen: Mapping[str, Observation]) -> list[str]:
        """Send what changed since the last report that was answered. Taskforces that are not named are forgotten.

        Returns the uuids that the service does not know. Raises UnavailableError: the same changes go with the next report.
        """
        # One of which nothing is known yet, since the agent has just begun, must not wipe out what the service knows.
        known = {uuid: one for uuid, one in seen.items() if one.counts or uuid in self._statuses}
        statuses = {uuid: render_statuses(one) for uuid, one in known.items()}
        errors = {uuid: render_errors(one) for uuid, one in known.items()}
        facts = {uuid: render_facts(one.facts) for uuid, one in known.items() if one.facts is not None}
        if 0 <= parts.now() - self._facts_refused_at < FACTS_AGAIN_S:
            facts = _take(self._facts, list(facts))  # what was told before stays told
        changes = Changes(
            _leave_out(statuses, self._statuses), _leave_out(errors, self._errors), _leave_out(facts, self._facts)
        )
        try:
            unknown = await changes.send(parts)
        except InvalidError:
            if not changes.facts:
                raise
            self._facts_refused_at = parts.now()
            facts = _take(self._facts, list(facts))
            unknown = await changes.without_facts().send(parts)
        self._statuses, self._errors, self._facts = statuses, errors, facts
        return unknown


def _take(those: Mapping[str, T], uuids: Sequence[str]) -> dict[str, T]:
    return {uuid: those[uuid] for uuid in uuids if uuid in those}


def _leave_out(now: Mapping[str, T], told: Mapping[str, T]) -> dict[str, T]:
    """What is not as it was told."""
    return {uuid: one for uuid, one in now.items() if uuid not in told or told[uuid] != one}
