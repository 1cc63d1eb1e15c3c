"""What does the service learn of the workers? Statuses in upstream's words (tms.md 6.3 to 6.5), only what changed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from muster.client.shapes.sites import SiteReport
from muster.site.ports.pool import Observation
from muster.site.services.parts import Parts

TOP_ERRORS = 10
"""How many distinct error texts a report holds, the most common first (tms.md 2)."""

Statuses = dict[str, dict[str, int]]
Errors = dict[str, int]


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


async def send_report(parts: Parts, statuses: dict[str, Statuses], errors: dict[str, Errors]) -> list[str]:
    """Send one report; nothing to say is not sent. Returns the uuids that the service does not know."""
    statuses = {uuid: one for uuid, one in statuses.items() if one}
    errors = {uuid: one for uuid, one in errors.items() if one}
    if not statuses and not errors:
        return []
    return await parts.service.report(SiteReport(parts.agent, statuses, errors))


@dataclass
class ReportBook:
    """Remembers what was sent last, so that only changes are sent. After a restart everything is sent once more."""

    _statuses: dict[str, Statuses] = field(default_factory=dict)
    _errors: dict[str, Errors] = field(default_factory=dict)

    async def report(self, parts: Parts, seen: Mapping[str, Observation]) -> list[str]:
        """Send what changed since the last report that was answered. Taskforces that are not named are forgotten.

        Returns the uuids that the service does not know. Raises UnavailableError: the same changes go with the next report.
        """
        statuses = {uuid: render_statuses(one) for uuid, one in seen.items()}
        errors = {uuid: render_errors(one) for uuid, one in seen.items()}
        unknown = await send_report(
            parts,
            {uuid: one for uuid, one in statuses.items() if one != self._statuses.get(uuid)},
            {uuid: one for uuid, one in errors.items() if one != self._errors.get(uuid)},
        )
        self._statuses, self._errors = statuses, errors
        return unknown
