"""What has happened in the log at a path, whatever happens to the path?

The schedd opens the path at each write and makes the file anew where it is gone; a shadow keeps the file that it opened first. So after a
rename or a deletion the old inode may still grow: it is read on, beside the new file, until `settle` is called.

| the path | what is done |
| --- | --- |
| is missing, or is gone | waited for; the file that was there is read on |
| is another file | that is read from its beginning, as well as the old one |
| is another file that begins alike | a copy: read on where the old one was, or, if it was edited, everything is counted anew |
| was cut short | read on behind what is left; what was counted stays |
| was overwritten with something else | that is read from its beginning; what was counted stays |
| was edited in its place | everything is counted anew |
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import tzinfo
from pathlib import Path

from muster.site.adapters.htcondor.event_log import checkpoint as checkpoints
from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally, Correction
from muster.site.adapters.htcondor.event_log.log_file import Condition, LogFile
from muster.site.adapters.htcondor.event_log.log_tally import DamageReport, LogTally
from muster.site.adapters.htcondor.event_log.split import Damage, split_block
from muster.site.adapters.htcondor.event_log.times import LogClock

AT_MOST_BYTES = 64 << 20


class LogReader:
    """Follows one log. For one thread at a time.

    Args:
        path: of the log; need not exist yet.
        checkpoint: where to keep how far it was read and what it came to (`save`); goes on from there if that is still true, and
            reads everything again if it is not.
        zone: of times that name none; None is that of this machine.
        now: seconds since the epoch, for times without a year.
    """

    def __init__(
        self,
        path: Path,
        *,
        checkpoint: Path | None = None,
        zone: tzinfo | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.clock = LogClock(zone, now=now)
        self._checkpoint = checkpoint
        self._files: list[LogFile] = []  # the last one is that of the path
        self._tally = LogTally(self.clock)
        saved = checkpoints.load(checkpoint) if checkpoint else None
        if saved is not None:
            self._restore(saved)

    def poll(self, *, at_most_bytes: int = AT_MOST_BYTES) -> bool:
        """Read what is new, about so many bytes at most. Returns whether there may be more to read at once. Raises OSError.

        Costs two calls of the system where nothing happened.
        """
        self._find_file()
        try:
            return self._read(at_most_bytes)
        finally:
            self._tally.rest()

    def _read(self, at_most_bytes: int) -> bool:
        left = at_most_bytes
        for file in list(self._files):
            condition = file.inspect()
            if condition is Condition.EDITED:
                self._count_anew()
                return True
            if condition is Condition.CUT:
                self._tell(Damage(file.offset, 0, "cut short"))
                file.go_to_end()
            elif condition is Condition.REPLACED:
                self._tell(Damage(file.offset, 0, "overwritten"))
                file.start_over()
            if condition is not Condition.UNCHANGED:
                left -= self._read_file(file, left)
                if left <= 0:
                    return True
        return False

    def _read_file(self, file: LogFile, at_most_bytes: int) -> int:
        """Returns how many bytes were read."""
        read_bytes = 0
        file.look_again()  # also if an error comes between
        for begin, found in file.read_blocks():
            if isinstance(found, Damage):
                self._tell(found)
                read_bytes += found.size_bytes
            else:
                self._tally.take_block(split_block(found), begin)
                read_bytes += len(found)
            if read_bytes >= at_most_bytes:
                return read_bytes
        file.rest()
        return read_bytes

    @property
    def clusters(self) -> Mapping[int, ClusterTally]:
        """What became of each cluster, by its number."""
        return self._tally.clusters

    @property
    def damage(self) -> DamageReport:
        """What was passed over."""
        return self._tally.damage

    def take_changes(self) -> frozenset[int]:
        """Numbers of the clusters that something happened to since the last call."""
        return self._tally.take_changes()

    def expect(self, cluster: int, *, n_procs: int) -> None:
        """Say how many procs a cluster has: others are damage, not procs that never end."""
        self._tally.expect(cluster, n_procs)

    def correct(self, cluster: int, proc: int, known: Correction) -> None:
        """Take over what the queue or the history says of a proc, see `ClusterTally.correct`. Raises ValueError."""
        self._tally.correct(cluster, proc, known)

    def settle(self) -> None:
        """Nobody writes into older files any more: read what they have, and let them go."""
        while self.poll():
            pass
        for file in self._files[:-1]:
            file.close()
        del self._files[:-1]

    def save(self, *, sync: bool = True) -> None:
        """Keep how far the log was read and what it came to; `sync`: so that a power cut does not take it. Raises OSError.

        Without a checkpoint's path it does nothing.
        """
        if self._checkpoint:
            checkpoints.save(self._checkpoint, self._files, self._tally, sync=sync)

    def close(self) -> None:
        """Let all files go."""
        for file in self._files:
            file.close()
        self._files.clear()

    def _tell(self, damage: Damage) -> None:
        self._tally.damage.add(damage)

    def _find_file(self) -> None:
        try:
            inode = self.path.stat().st_ino
            if self._files and self._files[-1].inode == inode:
                return
            file = LogFile.open(self.path)
        except FileNotFoundError:
            return
        known = next((one for one in self._files if one.inode == file.inode), None)
        if known is not None:  # it was renamed, and is back
            file.close()
            self._files.remove(known)
            file = known
        elif self._files and self._files[-1].head and file.begins_with(self._files[-1].head):
            self._take_copy(file, self._files[-1])
        self._files.append(file)

    def _take_copy(self, copy: LogFile, original: LogFile) -> None:
        """Another file with the same beginning has what was read of the original, or most of it."""
        if copy.holds(original.offset, original.mark):
            copy.go_to(original.offset)
        else:
            self._count_anew(but=original)

    def _count_anew(self, *, but: LogFile | None = None) -> None:
        """Forget what was counted, and read every file again; `but` one that has nothing that is not in another."""
        self._tally = self._tally.begin_anew()
        self._tell(Damage(0, 0, "edited"))
        for file in self._files:
            if file is not but:
                file.start_over()
                file.look_again()

    def _restore(self, saved: checkpoints.Saved) -> None:
        current = saved.files[-1]
        files = [file for one in saved.files for file in self._reopen(one, everywhere=one is not current)]
        if not any(file.inode == current.inode for file in files):
            files += self._reopen(current, everywhere=True)
        if not any(file.inode == current.inode for file in files):
            for file in files:
                file.close()
            return
        self._files = files
        checkpoints.restore_tally(saved, self._tally)

    def _reopen(self, saved: checkpoints.SavedFile, *, everywhere: bool) -> Iterator[LogFile]:
        """The file that was read, if it still is what it was: at the path, or, as it may have been renamed, elsewhere in its folder."""
        for path in self._list_folder() if everywhere else [self.path]:
            try:
                if path.stat().st_ino != saved.inode:
                    continue
                file = LogFile.open(path)
            except OSError:
                continue
            if file.holds(saved.offset, saved.mark) and file.begins_with(saved.head):
                file.go_to(saved.offset)
                yield file
                return
            file.close()

    def _list_folder(self) -> list[Path]:
        try:
            return [Path(entry.path) for entry in os.scandir(self.path.parent) if entry.is_file(follow_symlinks=False)]
        except OSError:
            return []
