"""What happens when `muster worker` starts, and how does it end? Settings, signals, the pilot, exit.json."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import List, Mapping, Optional

from muster.worker.child import ExecutionPointError
from muster.worker.chirp import Chirper, Status, find_proxy
from muster.worker.ending import Exit
from muster.worker.link import AddressError, parse_address
from muster.worker.log_lines import LogLines
from muster.worker.pilot import Pilot, Signalled
from muster.worker.reaper import Reaper
from muster.worker.settings import DIR, PREFIX, SettingsError, data_folder, list_strays, read_file, read_settings

VERSION = "0.1.0"
SETTINGS_STATUS = 2
STRAYS_CHARS_MAX = 500


def main(argv: Optional[List[str]] = None) -> int:
    """Run a worker; returns its exit status: 0 ended as asked, 1 failed, 2 wrong settings, 3 no container runtime here.

    `argv`: at most one word, the path of a settings file; or `--doctor`, and perhaps `--json`: see `doctor`.
    """
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["--doctor"] and words[1:] in ([], ["--json"]):
        from muster.worker import doctor  # workers have no need of it, and start sooner

        return doctor.main(words[1:])
    log = LogLines()
    proxy = find_proxy(os.environ, Path.cwd())
    if len(words) > 1 or (words[:1] and words[0].startswith("-")):
        sys.stderr.write("usage: muster-worker.pyz [SETTINGS-FILE | --doctor [--json]]\n")
        return SETTINGS_STATUS
    try:
        settings = read_settings(os.environ, words[0] if words else None)
        if words:  # a batch system that hands a file on, and no variables: what a user wants set is in it, too
            os.environ.update((name, text) for name, text in read_file(words[0]).items() if not name.startswith(PREFIX))
        address = parse_address(settings.url, ca_file=settings.ca_file)
        settings.workdir.mkdir(parents=True, exist_ok=True)
        os.chdir(settings.workdir)
        lock = lock_folder(settings.workdir)
    except (SettingsError, AddressError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return SETTINGS_STATUS
    sys.setswitchinterval(0.0005)  # a thread that has an answer to read must not wait long for one that computes
    began = time.time()
    reaper = Reaper(data_folder(settings.workdir), adopts=True)
    chirper = Chirper(proxy, log, destination=settings.chirp, interval_s=settings.chirp_s, count=lambda: pilot.counts)
    pilot = Pilot(settings, address=address, reaper=reaper, log=log, tell=chirper.tell, version=VERSION)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: pilot.inbox.put(Signalled(signal.Signals(number).name)))
    log.tell("started", taskforce=settings.taskforce, proc=settings.proc, start=settings.start, pid=os.getpid())
    if strays := list_strays(os.environ):
        log.tell("ignored", variables=" ".join(strays)[:STRAYS_CHARS_MAX])
    chirper.tell(Status.STARTED)
    try:
        # An earlier start that was killed may have left tasks; they would work beside ours, in the same folders.
        reaper.kill_everything()
        how = pilot.run()
    except ExecutionPointError as error:
        how = Exit(1, str(error))
    except BaseException as error:
        how = Exit(1, f"{type(error).__name__}: {error}")
        write_exit(str(settings.workdir), how, pilot.counts, began, log)
        reaper.kill_everything()
        chirper.tell(Status.FATAL, error=how.why)
        chirper.close()
        traceback.print_exc()
        raise
    write_exit(str(settings.workdir), how, pilot.counts, began, log)
    chirper.tell(Status.FATAL if how.status else Status.DONE, error=how.why if how.status else None)
    chirper.close()
    log.tell("ended", status=how.status, why=how.why, **dict(pilot.counts))
    os.close(lock)
    if how.status:
        sys.stderr.write(f"{how.why}\n")
    return how.status


def lock_folder(workdir: Path) -> int:
    """Two workers in one folder would stop each other's tasks. The lock goes with the process. Raises SettingsError, OSError."""
    lock = os.open(workdir / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingsError(f"{DIR} {workdir}: another worker is at work in this folder") from None
    return lock


def write_exit(workdir: str, how: Exit, counts: Mapping[str, int], began: float, log: LogLines) -> None:
    """Leave exit.json for whoever started this worker: whole or not at all, as on a full disk. The last words on stderr say why, too."""
    content = {"exit_code": how.status, "why": how.why, "counts": dict(counts), "began": began, "ended": time.time()}
    path = os.path.join(workdir, "exit.json")
    try:
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(content, file)
        os.replace(f"{path}.new", path)
    except OSError as error:
        log.tell("exit.json was not written", why=str(error))
