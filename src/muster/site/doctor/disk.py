"""Can the agent keep its journal and the workers' folders where it is told to?"""

import os
import pwd
import re
import resource
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muster.settings.parts import SiteSettings
from muster.site.pools import HTCONDOR, WORKERS_MAX
from muster.site.ports.checks import Check, fault, fine, warn
from muster.worker.memory import render_bytes

DIRECTORY = "MUSTER_SITE_DIRECTORY"
FREE_BYTES_MIN, FREE_BYTES_GOOD = 100 << 20, 1 << 30
"""Below the first nothing can be relied on; below the second it will not last."""
FILES_OF_AGENT = 256
"""Open files that the agent needs for itself: the service, the journal, what it links."""
FILES_FOR_LOGS = 1024
"""Open files that an agent beside HTCondor should be allowed: one for each taskforce's event log, and its own."""
SHARED = re.compile(
    r"(nfs|cifs|smb|9p|afs|lustre|gpfs|ceph|gluster|beegfs|orangefs|pvfs|fuse\.(sshfs|glusterfs|ceph|s3fs|rclone))",
    re.IGNORECASE,
)
"""File systems of other machines: their locks and their order of writes cannot be relied on."""
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """Where a path is kept. `type`: the kernel's word for the file system."""

    point: Path
    type: str

    @property
    def is_shared(self) -> bool:
        return SHARED.match(self.type) is not None


def look_disk(settings: SiteSettings) -> Iterator[Check]:
    """The directory, and how many files may be open."""
    yield from look_directory(settings.directory)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_open_files(
        settings, hard if settings.pool == HTCONDOR else soft
    )  # there the agent takes all that it may


def look_directory(directory: Path) -> Iterator[Check]:
    """One line where it cannot be used; else what it is, and what is free."""
    place = directory.absolute()
    there = find_existing(place)
    if not there.is_dir():
        yield fault("directory", f"{place}: {there} is no folder", f"name another folder: {DIRECTORY}")
        return
    who = pwd.getpwuid(os.geteuid()).pw_name if _has_name(os.geteuid()) else str(os.geteuid())
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = f"let {who} write there: sudo install -d -o {who} -m 700 {place}; or name another folder: {DIRECTORY}"
        yield fault("directory", f"{there} cannot be written by {who}", remedy)
        return
    yield judge_owner(place, there, who)
    mount = find_mount(there.resolve(), Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace"))
    if mount is not None and mount.is_shared:
        found = f"{place} is on {mount.type} ({mount.point}): locks and event logs cannot be relied on there"
        yield fault("file system", found, f"name a folder on a local disk: {DIRECTORY}")
    elif mount is not None:
        yield fine("file system", f"{mount.type} ({mount.point})")
    yield judge_room(place, shutil.disk_usage(there).free)


def judge_owner(place: Path, there: Path, who: str) -> Check:
    """Whose it is, and who else can look in. `there`: the folder, or the nearest above it, which exists."""
    if there != place:
        return fine("directory", f"{place} can be made")
    told = place.stat()
    mode = stat.S_IMODE(told.st_mode)
    owner = pwd.getpwuid(told.st_uid).pw_name if _has_name(told.st_uid) else str(told.st_uid)
    found = f"{place}: mode {mode:04o}, of {owner}"
    if told.st_uid != os.geteuid():
        return warn(
            "directory",
            f"{found}, and the agent would run as {who}",
            f"run the agent as {owner}, or: chown -R {who} {place}",
        )
    if mode & 0o022:
        return warn("directory", f"{found}: others can write there", f"chmod 700 {place}")
    return fine("directory", found)


def judge_room(place: Path, free_bytes: int) -> Check:
    """Is there room to write?"""
    found = f"{render_bytes(free_bytes)} free in {place}"
    if free_bytes < FREE_BYTES_MIN:
        return fault("disk", found, f"make room there, or name another folder: {DIRECTORY}")
    if free_bytes < FREE_BYTES_GOOD:
        return warn("disk", found, f"make room there, or name another folder: {DIRECTORY}")
    return fine("disk", found)


def judge_open_files(settings: SiteSettings, limit: int) -> Check:
    """`limit`: open files of a process; -1: any number."""
    if settings.pool == HTCONDOR:
        needed, why = FILES_FOR_LOGS, "one for each taskforce"
    else:
        needed = FILES_OF_AGENT + (settings.workers_max or WORKERS_MAX[settings.pool])
        why = "one for each worker"
    found = "any number" if limit == resource.RLIM_INFINITY else str(limit)
    if limit != resource.RLIM_INFINITY and limit < needed:
        return warn(
            "open files",
            f"{found} are allowed; {needed} may be needed ({why})",
            f"LimitNOFILE={needed} of its unit, or ulimit -n {needed}",
        )
    return fine("open files", f"{found} are allowed")


def find_existing(place: Path) -> Path:
    """The path itself, or the nearest above it that is there."""
    while not os.path.exists(place) and place != place.parent:  # noqa: PTH110 - one that cannot be looked at is none
        place = place.parent
    return place


def find_mount(path: Path, mountinfo: str) -> Mount | None:
    """Where a path without links is kept.

    Args:
        mountinfo: of /proc/self/mountinfo (proc(5)); of two mounts at one point the later one counts.
    """
    found: Mount | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        words, told = left.split(" "), right.split(" ")
        if len(words) < 5 or not told[0]:
            continue
        point = Path(_OCTAL.sub(lambda octal: chr(int(octal[1], 8)), words[4]))
        if path.is_relative_to(point) and (found is None or len(point.parts) >= len(found.point.parts)):
            found = Mount(point, told[0])
    return found


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
