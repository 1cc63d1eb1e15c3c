"""What do the events of a log come to? Each is handed to the tally of its cluster; most are passed over without a closer look."""

import re
from dataclasses import dataclass, field, replace

from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally, Correction
from muster.site.adapters.htcondor.event_log.event_bodies import (
    CHIRP_AT,
    CHIRP_END,
    OF_CHIRPS,
    OF_CLUSTERS,
    OF_PROCS,
    Take,
    name_taskforce,
    pass_over,
)
from muster.site.adapters.htcondor.event_log.events import NEXT, Number, code_of
from muster.site.adapters.htcondor.event_log.split import Block, Damage, find_header, split_damaged
from muster.site.adapters.htcondor.event_log.times import LogClock

CLUSTERS_MAX = 65_536
DAMAGE_KEPT = 20
KNOWN_MAX = 10_000
_CHIRP, _AD = code_of(Number.GENERIC), code_of(Number.AD_INFORMATION)
_LOOKED_AT = 4
_OF_STATES = {
    code_of(number): number
    for number in NEXT
    if number not in (Number.GENERIC, Number.FILE_TRANSFER, Number.REMOTE_ERROR)  # they change none that is known
}
_CLOSE = ord(")")
_ID = re.compile(rb"(\d{1,10})\.(-?\d{1,10})\.\d{1,10}")


@dataclass
class DamageReport:
    """What was passed over because it was damaged: how often, how much, and the first few places."""

    count: int = 0
    size_bytes: int = 0
    first: list[Damage] = field(default_factory=list)

    def add(self, damage: Damage) -> None:
        """One more."""
        self.count += 1
        self.size_bytes += damage.size_bytes
        if len(self.first) < DAMAGE_KEPT:
            self.first.append(damage)


class LogTally:
    """The clusters of one log.

    Attributes:
        clusters: by number.
        changed: clusters that something happened to since this was last emptied.
    """

    def __init__(self, clock: LogClock) -> None:
        self.clock = clock
        self.clusters: dict[int, ClusterTally] = {}
        self.damage = DamageReport()
        self.changed: set[ClusterTally] = set()
        self._known: dict[bytes, tuple[ClusterTally, int]] = {}  # by id, of procs met lately
        self._takes: dict[bytes, Take] = dict(OF_PROCS)
        self._nameless: set[ClusterTally] = set()
        self._limits: dict[int, int] = {}

    def take_block(self, block: Block, begin: int) -> None:
        """Count the events of a block, which begins at a byte of its file."""
        takes, known, clock = self._takes, self._known, self.clock
        changed = self.changed
        id_end, text_after = _find_places(block)
        name_at, name_end = text_after + CHIRP_AT, text_after + CHIRP_END
        for code, event in zip(block.codes, block.events, strict=True):
            try:
                if code == _CHIRP:
                    close = id_end if event[id_end] == _CLOSE else event.find(b")")
                    take = OF_CHIRPS.get(event[close + name_at : close + name_end], pass_over)
                    if take is None:
                        continue
                else:
                    take = takes.get(code)
                    if take is None:
                        continue
                    close = id_end if event[id_end] == _CLOSE else event.find(b")")
                token = event[5:close]
                tally, index = known.get(token) or self._find_proc(token, code)
                if index < 0 or tally.corrected:
                    take = self._reconsider(take, tally, index, code, event)
                take(tally, index, event, close + text_after, clock)
                if take is not pass_over:
                    changed.add(tally)
            except (ValueError, IndexError) as error:
                self._take_rest(block, event, begin, str(error))
        for damage in block.damage:
            self.damage.add(replace(damage, offset=begin + damage.offset))

    def rest(self) -> None:
        """No more blocks for now: let go of what only makes the next one faster."""
        self._known.clear()

    def take_changes(self) -> frozenset[int]:
        """Numbers of the clusters that something happened to since the last call."""
        changed = frozenset(tally.cluster for tally in self.changed)
        self.changed.clear()
        return changed

    def add(self, tally: ClusterTally) -> None:
        """Go on with a tally that was kept."""
        self.clusters[tally.cluster] = tally
        if tally.limit is not None:
            self._limits[tally.cluster] = tally.limit
        if tally.taskforce is None and tally.ads_to_ask:
            self._ask_ads_of(tally)

    def expect(self, cluster: int, n_procs: int) -> None:
        """Say how many procs a cluster has, which need not be known yet."""
        self._limits[cluster] = n_procs
        self._known.clear()
        if cluster in self.clusters:
            self.clusters[cluster].expect(n_procs)
            self.changed.add(self.clusters[cluster])

    def correct(self, cluster: int, proc: int, known: Correction) -> None:
        """Take over what the queue or the history says of a proc, also of one that the log has not named yet. Raises ValueError."""
        tally = self.clusters.get(cluster) or self._meet(cluster)
        tally.correct(proc, known)
        self.changed.add(tally)

    def begin_anew(self) -> "LogTally":
        """An empty one that expects the same."""
        anew = LogTally(self.clock)
        anew._limits = self._limits
        return anew

    def _take_rest(self, block: Block, event: bytes, begin: int, why: str) -> None:
        """An event is not what it should be, or its time is not as long as that of the first one."""
        begin += block.offset_of(event)
        rest = split_damaged([event])
        if rest.events and (rest.events[0] is not event or len(block.events) > 1):
            self.take_block(
                rest, begin
            )  # there was another event behind one that was cut off before its text; or this one alone
        else:
            self.damage.add(Damage(begin, len(event), why))

    def _find_proc(self, token: bytes, code: bytes) -> tuple[ClusterTally, int]:
        match = _ID.fullmatch(token)
        if match is None:
            raise ValueError("no id of a job")
        cluster, proc = int(match[1]), int(match[2])
        tally = self.clusters.get(cluster) or self._meet(cluster)
        if proc < 0:
            if code not in OF_CLUSTERS and code != _AD:
                raise ValueError("an event of a proc names none")
            return tally, -1
        index = tally.index_of(proc)
        if index == proc:  # one that is not in line may move
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[token] = tally, index
        return tally, index

    def _meet(self, cluster: int) -> ClusterTally:
        if len(self.clusters) >= CLUSTERS_MAX:
            raise ValueError("too many clusters in one log")
        tally = ClusterTally(cluster)
        tally.limit = self._limits.get(cluster)
        self.add(tally)
        return tally

    def _reconsider(self, take: Take, tally: ClusterTally, index: int, code: bytes, event: bytes) -> Take:
        if index < 0:
            return OF_CLUSTERS.get(code, take)
        number = _OF_STATES.get(code)
        if number is None or not tally.is_outdated(index, number, self.clock.read(event)):
            return take
        return pass_over

    def _ask_ads_of(self, tally: ClusterTally) -> None:
        self._nameless.add(tally)
        self._takes[_AD] = self._take_ad

    def _ask_no_more(self, tally: ClusterTally) -> None:
        self._nameless.discard(tally)
        if not self._nameless:
            self._takes.pop(_AD, None)

    def _take_ad(self, tally: ClusterTally, _index: int, event: bytes, _at: int, _: LogClock) -> None:
        if tally.taskforce is None:
            name_taskforce(tally, event)
            tally.ads_to_ask -= 1
        if tally.taskforce is not None or not tally.ads_to_ask:
            self._ask_no_more(tally)


def _find_places(block: Block) -> tuple[int, int]:
    """Where the id ends in the first event that is one, and how much farther the text begins: mostly as in all others."""
    for event in block.events[:_LOOKED_AT]:  # the first may be damaged
        match = find_header(event)
        if match is not None:
            close = event.find(b")")
            return close, match.end() - close
    return 0, 0
