"""Of which clusters is it worth asking why procs of theirs do not run, and what is the service told of it?

Asking takes a pool seconds, so it is done only for those that have waited for a while, and not often.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from muster.client.shapes.sites import SiteReport
from muster.domain.pool_facts import REASONS_MAX
from muster.domain.reason import cut
from muster.site.ports.pool import Observation, ProcState
from muster.site.services.parts import Parts
from muster.site.services.report import TASKFORCES_MAX

WAITED_S = 5.0
"""Seconds for which procs have been waiting before it is asked why."""
FAILED_S = 60.0
"""Seconds for which one counts as waiting whose start failed: it is tried again at once, and seems to run."""
ASK_AGAIN_S = 10.0
"""Seconds between two questions about the same cluster, at least."""

Reasons = tuple[str, ...]


def has_waiting(seen: Observation) -> bool:
    """Is any proc idle or held?"""
    return any(count and _is_waiting(state) for (state, _), count in seen.counts.items())


def _is_waiting(state: str) -> bool:
    return state == ProcState.IDLE or state.split(":", 1)[0] == ProcState.HELD


def trim_reasons(reasons: Iterable[str]) -> Reasons:
    """Those that are told: the first ones, each once, in one line and not too long."""
    lines = dict.fromkeys(cut(one) for one in reasons)
    return tuple(one for one in lines if one)[:REASONS_MAX]


@dataclass
class WaitingBook:
    """Remembers since when procs of taskforces wait, when it was asked why, and what the service was told.

    Times are seconds of any clock that does not go back.
    """

    _since: dict[str, float] = field(default_factory=dict)
    _failed: dict[str, tuple[int, float]] = field(
        default_factory=dict
    )  # starts that failed so far, and since when so many
    _asked: dict[str, float] = field(default_factory=dict)
    _told: dict[str, Reasons] = field(default_factory=dict)

    def look(self, seen: Mapping[str, Observation], *, now: float) -> None:
        """Take in how all of them are. Taskforces that are not named are forgotten."""
        self._failed = {uuid: self._count_failed(uuid, one, now) for uuid, one in seen.items()}
        self._since = {
            uuid: self._since.get(uuid, now)
            for uuid, one in seen.items()
            if has_waiting(one) or (self._failed[uuid][0] and now - self._failed[uuid][1] < FAILED_S)
        }
        self._asked = {uuid: at for uuid, at in self._asked.items() if uuid in seen}
        self._told = {uuid: told for uuid, told in self._told.items() if uuid in seen}

    def _count_failed(self, uuid: str, seen: Observation, now: float) -> tuple[int, float]:
        count = 0 if seen.facts is None else seen.facts.failed_starts
        known = self._failed.get(uuid)
        return known if known is not None and known[0] == count else (count, now)

    def is_waiting(self, uuid: str) -> bool:
        """Did anything of it wait at the last look?"""
        return uuid in self._since

    def list_due(self, *, now: float) -> list[str]:
        """Those to be asked about, the one that was asked about the longest ago first."""
        due = [
            uuid
            for uuid, since in self._since.items()
            if now - since > WAITED_S and now - self._asked.get(uuid, float("-inf")) >= ASK_AGAIN_S
        ]
        return sorted(due, key=lambda uuid: self._asked.get(uuid, float("-inf")))

    def list_over(self, seen: Mapping[str, Observation]) -> list[str]:
        """Those of which nothing waits, and the service may think otherwise: also what an agent of before has told."""
        return [
            uuid for uuid, one in seen.items() if one.counts and uuid not in self._since and self._told.get(uuid) != ()
        ]

    def note_asked(self, uuid: str, *, now: float) -> None:
        """It is being asked about."""
        self._asked[uuid] = now

    async def tell(self, parts: Parts, reasons: Mapping[str, Reasons]) -> None:
        """Tell the service what it does not know yet.

        Raises UnavailableError; InvalidError: it is of before, and takes no reasons.
        """
        news = [uuid for uuid, one in reasons.items() if self._told.get(uuid) != one]
        for start in range(0, len(news), TASKFORCES_MAX):
            some: Sequence[str] = news[start : start + TASKFORCES_MAX]
            await parts.service.report(SiteReport(parts.agent, reasons={uuid: list(reasons[uuid]) for uuid in some}))
            self._told |= {uuid: reasons[uuid] for uuid in some}
