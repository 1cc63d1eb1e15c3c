"""How does HTCondor hear where a worker is? By its starter's chirp proxy, in a thread of its own: events never wait for it.

Attributes, statuses and quoting: pilot.md sections 2 and 8. Different from upstream: tracebacks are not sent, texts are cut so that their
closing quote is kept, and nobody notices a proxy that does not answer.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Tuple

from muster.worker.log_lines import LogLines
from muster.worker.settings import JOB_EVENT_LOG, OFF

PREFIX = "HTChirpEWMSPilot"
STATUS, ERROR, STARTED, UPDATED = "Status", "Error", "StartedTimestamp", "LastUpdatedTimestamp"
TOTAL, SUCCESS, FAILED = "TasksTotal", "TasksSuccess", "TasksFailed"

TEXT_BYTES_MAX = 900
"""Of a line in the event log, whose readers see 985 at most."""
ANSWER_S_MAX = 10.0
RETRY_S = 5.0
_SPECIAL = ("\\", " ", "\n", "\t", "\r")


class Status:
    """Where a worker is; the words are upstream's."""

    STARTED = "Started"
    INIT = "RunningInitCommand"
    AWAITING = "AwaitingFirstMessage"
    TASKING = "Tasking"
    PENDING = "PendingRemainingTasks"
    DONE = "Done"
    FATAL = "FatalError"


class ChirpError(Exception):
    """The proxy did not take a line."""


@dataclass(frozen=True)
class Proxy:
    """Where the proxy is, and the word that lets us in."""

    host: str
    port: int
    cookie: str

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def find_proxy(environ: Mapping[str, str], folder: Path) -> Optional[Proxy]:
    """The proxy of this job's starter; None outside HTCondor, and where the job asked for none. `folder`: where the job began."""
    scratch = environ.get("_CONDOR_SCRATCH_DIR")
    place = environ.get("_CONDOR_CHIRP_CONFIG") or os.path.join(scratch or folder, ".chirp.config")
    try:
        host, port, cookie = Path(place).read_text().split()
        return Proxy(host, int(port), cookie)
    except (OSError, ValueError):
        return None


def quote(value: object) -> str:
    """A ClassAd string, of which the whole line has room: cut in its middle, never in its quotes."""
    text = (
        str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\r", "").replace("\n", "\\n").replace("\t", " ")
    )
    if len(text.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        begin = _cut(text, TEXT_BYTES_MAX // 4)
        text = f"{begin} [...] {_cut(text[::-1], TEXT_BYTES_MAX * 3 // 4 - 10)[::-1].lstrip(chr(92))}"
    return f'"{text}"'


def _cut(text: str, bytes_max: int) -> str:
    """Its beginning, without half of a letter, or of an escaped one."""
    kept = text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")
    bare = kept.rstrip("\\")
    return bare if (len(kept) - len(bare)) % 2 else kept


class Chirper:
    """Tells what it was told last, of each attribute: a status at once, totals now and then. Methods may be called by any thread.

    Args:
        proxy: None: nobody is told anything.
        destination: one of `settings.DESTINATIONS`.
        interval_s: seconds between two lines of totals, at least.
        count: how many attempts ended how: `done`, `failed`.
    """

    def __init__(
        self,
        proxy: Optional[Proxy],
        log: LogLines,
        *,
        destination: str = JOB_EVENT_LOG,
        interval_s: float = 60.0,
        count: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._proxy = proxy
        self._log = log
        self._destination = destination
        self._interval_s = interval_s
        self._count = count
        self._lock = threading.Lock()
        self._pending: Dict[str, object] = {}
        self._told: Tuple[int, int] = (0, 0)
        self._is_due = threading.Event()
        self._is_over = False
        self._connection: Optional[Connection] = None
        self._thread: Optional[threading.Thread] = None
        if proxy is not None and destination != OFF:
            self._thread = threading.Thread(target=self._serve, name="chirp", daemon=True)
            self._thread.start()

    def tell(self, status: str, *, error: Optional[str] = None) -> None:
        """The worker is there now. The same status twice is told once."""
        with self._lock:
            if status == Status.STARTED:
                self._pending[STARTED] = int(time.time())
            if error:
                self._pending[ERROR] = error
            self._pending.pop(STATUS, None)  # behind the error, as upstream's readers expect
            self._pending[STATUS] = status
        self._is_due.set()

    def close(self, *, within_s: float = 10.0) -> None:
        """Tell what is left, and end."""
        self._is_over = True
        self._is_due.set()
        if self._thread is not None:
            self._thread.join(within_s)

    # -- in the thread -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            self._is_due.wait(self._interval_s)
            self._is_due.clear()
            is_over = self._is_over
            self._note_totals()
            while not self._send():
                if is_over:
                    return  # whoever ends does not wait for a proxy
                self._is_due.wait(RETRY_S)
                is_over = self._is_over
            if is_over:
                self._disconnect()
                return

    def _note_totals(self) -> None:
        counts = self._count()
        done, failed = counts.get("done", 0), counts.get("failed", 0)
        if (done, failed) == self._told:
            return
        self._told = (done, failed)
        with self._lock:
            totals = {TOTAL: done + failed, SUCCESS: done, FAILED: failed}
            self._pending.update({name: value for name, value in totals.items() if value})

    def _send(self) -> bool:
        """Tell what is pending. False: the rest is for the next try."""
        with self._lock:
            batch = dict(self._pending)
        if not batch:
            return True
        try:
            if self._connection is None and self._proxy is not None:
                self._connection = Connection(self._proxy)
            for name, value in [*batch.items(), (UPDATED, int(time.time()))]:
                if self._connection is not None:
                    self._connection.write(self._render(name, value))
                with self._lock:
                    if self._pending.get(name) == value:
                        del self._pending[name]
        except (OSError, ChirpError) as error:
            self._log.tell("chirp failed", why=str(error)[:200])
            self._disconnect()
            return False
        return True

    def _render(self, name: str, value: object) -> str:
        if self._destination == JOB_EVENT_LOG:
            return f"ulog {escape(f'{PREFIX}{name}: {quote(value)}')}"
        expression = str(value) if isinstance(value, int) else quote(value)
        return f"set_job_attr {escape(PREFIX + name)} {escape(expression)}"

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Connection:
    """One connection to the proxy, let in. Raises OSError, ChirpError."""

    def __init__(self, proxy: Proxy) -> None:
        self._socket = socket.create_connection((proxy.host, proxy.port), timeout=ANSWER_S_MAX)
        self._answers = self._socket.makefile("rb")
        try:
            self.write(f"cookie {proxy.cookie}", shown="cookie")
        except BaseException:
            self.close()
            raise

    def write(self, line: str, *, shown: Optional[str] = None) -> None:
        """Say a line, and wait for its number. `shown`: in errors, in its place."""
        self._socket.sendall(line.encode("utf-8", "replace") + b"\n")
        answer = self._answers.readline(1024).strip()
        if not answer.lstrip(b"-").isdigit() or int(answer) < 0:
            raise ChirpError(
                f"{shown or line.split(' ', 1)[0]} was answered with {answer[:40].decode('ascii', 'replace')!r}"
            )

    def close(self) -> None:
        """Twice is as good as once."""
        self._answers.close()
        self._socket.close()


def escape(text: str) -> str:
    """A word of a line, as the proxy reads it."""
    return "".join(f"\\{sign}" if sign in _SPECIAL else sign for sign in text)
