"""Where does a cluster keep what is known of each proc? In arrays, 27 bytes a proc, and not in objects, of which one alone takes more."""

from array import array

GAP_MAX = 65_536
"""How far beyond the procs seen so far a number may lie and still get its place in line. One that lies farther is kept on its own, so
that a damaged header does not make an array of a thousand million entries."""
APART_MAX = 1_000_000
_EXIT_CODE_MAX = 2**31 - 2

FIELDS = ("states", "words", "errors", "places", "exits", "starts", "evictions", "disconnects", "started", "flags")
"""The arrays, each with an entry for each proc."""


class UnbelievableError(ValueError):
    """An event names a proc that cannot be."""


class ProcEntries:
    """The procs of a cluster.

    Attributes:
        size: entries in each array, also of procs that were not heard of.
        in_line: procs below have their number as index.
        apart: proc → index of the others, which are behind.
        limit: how many procs there can be; None if it is not known.
        corrected: index → since when it is known from elsewhere how the proc is, and whether it ended then.
    """

    def __init__(self, cluster: int) -> None:
        self.cluster = cluster
        self.size = 0
        self.in_line = 0
        self.apart: dict[int, int] = {}
        self.limit: int | None = None
        self.corrected: dict[int, tuple[float, bool]] = {}
        self.states = array("H")  # JobStatus; of a held proc 16 and its reason's slot
        self.words = array("H")  # pilot status
        self.errors = array("I")
        self.places = array("I")  # machine and site, while it is there
        self.exits = array("i")  # see `exit_of`
        self.starts, self.evictions, self.disconnects = array("H"), array("H"), array("H")
        self.started = array("I")  # seconds since the epoch; of one that was evicted: when that was
        self.flags = array("B")

    def find_index(self, proc: int) -> int | None:
        """Where a proc has its entries, if it was heard of."""
        index = proc if 0 <= proc < self.in_line else self.apart.get(proc)
        return index if index is not None and self.states[index] else None

    def index_of(self, proc: int) -> int:
        """Where a proc has its entries; makes room for it. Raises UnbelievableError."""
        if proc < 0 or (self.limit is not None and proc >= self.limit):
            raise UnbelievableError(f"no proc {proc} in cluster {self.cluster}")
        if proc < self.in_line:
            return proc
        index = self.apart.get(proc)
        if index is not None:
            return index
        if proc < self.in_line + GAP_MAX:
            self._lengthen(proc + 1)
            return proc
        if len(self.apart) >= APART_MAX:
            raise UnbelievableError(f"too many procs out of line in cluster {self.cluster}")
        self.apart[proc] = self.size
        self._insert(self.size, 1)
        return self.size - 1

    def _lengthen(self, wanted: int) -> None:
        """Make the line longer, by some more than wanted: entries out of line, behind it, move each time."""
        more = max(wanted, self.in_line + max(64, self.in_line // 16)) - self.in_line
        if self.limit is not None:
            more = min(more, self.limit - self.in_line)
        self._insert(self.in_line, more)
        self.in_line += more
        if self.apart:
            self.corrected = {
                index + more * (index >= self.in_line - more): one for index, one in self.corrected.items()
            }
            self.apart = {proc: index + more for proc, index in self.apart.items()}
            for proc in [proc for proc in self.apart if proc < self.in_line]:
                self._get_in_line(proc, self.apart.pop(proc))

    def _get_in_line(self, proc: int, index: int) -> None:
        for name in FIELDS:
            entries: array[int] = getattr(self, name)
            entries[proc], entries[index] = entries[index], entries[proc]
        if index in self.corrected:
            self.corrected[proc] = self.corrected.pop(index)

    def _insert(self, at: int, more: int) -> None:
        for name in FIELDS:
            entries: array[int] = getattr(self, name)
            entries[at:at] = array(entries.typecode, bytes(more * entries.itemsize))
        self.size += more


def exit_of(exit_code: int | None, signal: int | None) -> int:
    """An exit as `exits` keeps it: 0 if nothing is known, 1 more than an exit code, less than 0 by a signal."""
    if signal is not None:
        return -min(signal, _EXIT_CODE_MAX)
    return 0 if exit_code is None else 1 + min(max(exit_code, 0), _EXIT_CODE_MAX)


def read_exit(how: int) -> tuple[int | None, int | None]:
    """Exit code and signal of an entry of `exits`; both None where nothing is known."""
    if how == 0:
        return None, None
    return (how - 1, None) if how > 0 else (None, -how)
