"""What is this worker told? Its settings: variables of the environment, over those of a settings file.

Each is described, with its default, in `docs/reference/worker.md`. No other module names them: the service judges by this table what a
user may set, and the site agent what it sets itself. A variable that it does not know is no fault: at an execution point batch system,
glidein and site set what they like, and nobody who could mend it would see a worker fail over it. It is told in the log.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Tuple

from muster.worker.mounts import parse_folders, parse_mounts

TOOLS, NONE = ("apptainer", "podman", "docker"), "none"
"""What runs images, in the order in which one is looked for: those that need no daemon come first."""

AUTO, BWRAP = "auto", "bwrap"
ISOLATIONS = (AUTO, NONE, BWRAP)
"""Whether plain tasks are isolated: where it can be done, never, or without fail."""

JOB_EVENT_LOG, JOB_ATTR, OFF = "job_event_log", "job_attr", "none"
DESTINATIONS = (JOB_EVENT_LOG, JOB_ATTR, OFF)
"""Where HTCondor is told how a worker is: in its event log, in the job's attributes, or nowhere."""

MONTH_S = 30 * 86_400.0

PREFIX = "MUSTER_WORKER_"
URL = f"{PREFIX}URL"
ENROL_FILE = f"{PREFIX}ENROL_FILE"
CLUSTER = f"{PREFIX}CLUSTER"
PROC = f"{PREFIX}PROC"
START = f"{PREFIX}START"
SITE = f"{PREFIX}SITE"
DIR = f"{PREFIX}DIR"
INPUT_DIR = f"{PREFIX}INPUT_DIR"
CA_FILE = f"{PREFIX}CA_FILE"
OFFLINE_S = f"{PREFIX}OFFLINE_S"
SPOOL_MIB = f"{PREFIX}SPOOL_MIB"
GRACE_S = f"{PREFIX}GRACE_S"
BATCH = f"{PREFIX}BATCH"
TASK_START_S = f"{PREFIX}TASK_START_S"
KEEP_TASK_FILES = f"{PREFIX}KEEP_TASK_FILES"
KEPT_FAILURES = f"{PREFIX}KEPT_FAILURES"
CONTAINERS = f"{PREFIX}CONTAINERS"
IMAGE_DIR = f"{PREFIX}IMAGE_DIR"
MOUNTS = f"{PREFIX}MOUNTS"
MOUNTS_ALLOWED = f"{PREFIX}MOUNTS_ALLOWED"
IMAGES_KEPT_S = f"{PREFIX}IMAGES_KEPT_S"
INIT_TIMEOUT_S = f"{PREFIX}INIT_TIMEOUT_S"
IDLE_S = f"{PREFIX}IDLE_S"
ISOLATION = f"{PREFIX}ISOLATION"
HIDDEN = f"{PREFIX}HIDDEN"
WRITABLE = f"{PREFIX}WRITABLE"
CHIRP = f"{PREFIX}CHIRP"
CHIRP_S = f"{PREFIX}CHIRP_S"

RESERVED = frozenset(
    {
        "MUSTER_ATTEMPT",
        "MUSTER_ATTEMPT_FOLDER",
        "MUSTER_TASKFORCE",
        "MUSTER_TASK_FDS",
        "MUSTER_TASK_OUTPUTS",
        "MUSTER_TASK_PIPES",
        "MUSTER_TEST_CRASH",
        "MUSTER_TEST_CRASH_FILE",
        "MUSTER_TOKEN",
    }
)
"""Variables that are no settings, and that nobody but Muster sets for a worker."""

_NUM_STARTS = re.compile(r"^\s*NumJobStarts\s*=\s*([0-9]+)\s*$", re.IGNORECASE | re.MULTILINE)
_INT_MAX = (1 << 31) - 1
_SECONDS_MAX = 1e9
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class SettingsError(Exception):
    """The worker cannot run like this; the text says which setting is wrong and why."""


def parse_folder(text: str) -> Path:
    """A folder, from here."""
    return Path(text).absolute()


def parse_count(text: str) -> int:
    """How many; none is a number, too. Raises ValueError with half a sentence."""
    return _parse_whole(text, least=0)


def parse_batch(text: str) -> int:
    """How many, at least one. Raises ValueError with half a sentence."""
    return _parse_whole(text, least=1)


def parse_seconds(text: str) -> float:
    """A length of time. Raises ValueError with half a sentence."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _SECONDS_MAX:  # a NaN is refused here, too
        raise ValueError(f"must be a number of seconds, 0 to {_SECONDS_MAX:.0f}")
    return value


def parse_flag(text: str) -> bool:
    """Yes or no, in the usual words. Raises ValueError with half a sentence."""
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


def parse_tool(text: str) -> str:
    """What runs images: a name, or a program's path. Raises ValueError with half a sentence."""
    if os.path.basename(text) not in TOOLS and text != NONE:
        raise ValueError(f"must be {', '.join(TOOLS)}, the path of one of these, or {NONE}")
    return text


def parse_isolation(text: str) -> str:
    """Whether plain tasks are isolated. Raises ValueError with half a sentence."""
    if text not in ISOLATIONS:
        raise ValueError(f"must be one of {', '.join(ISOLATIONS)}")
    return text


def parse_writable(text: str) -> "Tuple[str, ...]":
    """Folders, or none. Raises ValueError with half a sentence."""
    return () if text == NONE else parse_folders(text)


def parse_destination(text: str) -> str:
    """Where HTCondor is told. Raises ValueError with half a sentence."""
    if text not in DESTINATIONS:
        raise ValueError(f"must be one of {', '.join(DESTINATIONS)}")
    return text


@dataclass(frozen=True)
class Variable:
    """One setting.

    Args:
        parse: reads its text. Raises ValueError with half a sentence.
        is_users: a user may set it for the workers of a task, in `pilot_config.environment`. The others say who the worker is, what it may
            touch and how long it may stay: that is for who runs it to decide, which is the site agent.
    """

    parse: Callable[[str], Any]
    is_users: bool = False


VARIABLES: Mapping[str, Variable] = {
    URL: Variable(str),
    ENROL_FILE: Variable(str),
    CLUSTER: Variable(str),
    PROC: Variable(parse_count),
    START: Variable(parse_count),
    SITE: Variable(str),
    DIR: Variable(parse_folder),
    INPUT_DIR: Variable(parse_folder),
    CA_FILE: Variable(str),
    OFFLINE_S: Variable(parse_seconds),
    SPOOL_MIB: Variable(parse_count),
    GRACE_S: Variable(parse_seconds),
    BATCH: Variable(parse_batch, is_users=True),
    TASK_START_S: Variable(parse_seconds, is_users=True),
    KEEP_TASK_FILES: Variable(parse_flag, is_users=True),
    KEPT_FAILURES: Variable(parse_count, is_users=True),
    INIT_TIMEOUT_S: Variable(parse_seconds, is_users=True),
    IDLE_S: Variable(parse_seconds, is_users=True),
    CONTAINERS: Variable(parse_tool),
    IMAGE_DIR: Variable(parse_folder),
    IMAGES_KEPT_S: Variable(parse_seconds),
    MOUNTS: Variable(parse_mounts, is_users=True),
    MOUNTS_ALLOWED: Variable(parse_folders),
    ISOLATION: Variable(parse_isolation),
    HIDDEN: Variable(parse_folders),
    WRITABLE: Variable(parse_writable),
    CHIRP: Variable(parse_destination),
    CHIRP_S: Variable(parse_seconds),
}
"""Every setting. An empty text is as good as none."""

UPSTREAMS: Mapping[str, str] = {
    MOUNTS: "EWMS_PILOT_EXTERNAL_DIRECTORIES",
    INIT_TIMEOUT_S: "EWMS_PILOT_INIT_TIMEOUT",
    KEEP_TASK_FILES: "EWMS_PILOT_KEEP_ALL_TASK_FILES",
    CHIRP_S: "EWMS_PILOT_HTCHIRP_RATELIMIT_INTERVAL",
}
"""Variables of upstream's pilot that mean the same, where ours is not set. Those of a task the service reads (`task_settings`)."""


def find_fault(name: str, text: str) -> Optional[str]:
    """Why a user may not give the workers of a task this variable: half a sentence with value and remedy. None: nothing against it."""
    value = repr(text if len(text) <= 40 else f"{text[:40]}…")
    if name in RESERVED:
        return f"is {value}, but nobody but Muster itself sets it: leave it out"
    if not name.startswith(PREFIX):
        return None
    variable = VARIABLES.get(name)
    if variable is None or not variable.is_users:
        why = "the worker has no such setting" if variable is None else "only the site agent sets it"
        theirs = ", ".join(sorted(name for name, one in VARIABLES.items() if one.is_users))
        return f"is {value}, but {why}: leave it out; a user may set {theirs}"
    try:
        if text:
            variable.parse(text)
    except ValueError as error:
        return f"is {value}; {error}"
    return None


@dataclass(frozen=True)
class Settings:
    """What a worker is told.

    Args:
        url: the service's base address.
        taskforce, secret: what it enrols with.
        cluster, proc, start: which start of which proc it is.
        workdir: its folder. input_dir: the folder whose files every task sees; None for none.
        ca_file: certificates of a private authority; None for the system's.
        offline_s: seconds to go on without an answer of the service.
        spool_mib: MiB of attempts that may wait on disk while the service is away; 0: none do.
        grace_s: seconds that running tasks may use after a signal, unless the service says how long.
        batch: events to have in hand ahead of the tasks; None: what the service says.
        task_start_s: seconds that a warm task may take until it asks for events.
        keep_task_files: keep the folders of attempts that ended well, too.
        failures_kept: how many folders of failed attempts are kept.
        init_timeout_s: seconds that the init command may take; None: any time.
        idle_s: seconds without an event after which it ends by itself; None, and 0: it waits for as long as its workflow may have some.
        containers: what runs images: one of `TOOLS`, its path, or `NONE`; None: the first of them that is there.
        image_dir: where the images of this execution point are; None: `images.default_folder`.
        images_kept_s: seconds after which an image that nobody uses is deleted; 0: never.
        mounts: folders that the task's containers are to see, to read only. mounts_allowed: those in which they may be; none: nowhere.
        isolation: one of `ISOLATIONS`. hidden: what isolated tasks do not see, beside the worker's own. writable: where they may write.
        private_files: of the worker's own, what no task is to read.
        chirp: where HTCondor is told how it goes: one of `DESTINATIONS`.
        chirp_s: seconds between two lines of totals, at least.
    """

    url: str
    taskforce: str
    secret: str = field(repr=False)
    cluster: str
    proc: int
    start: int
    site: str
    host: str
    workdir: Path
    input_dir: Optional[Path] = None
    ca_file: Optional[str] = None
    offline_s: float = 3600.0
    spool_mib: int = 64
    grace_s: float = 15.0
    batch: Optional[int] = None
    task_start_s: float = 300.0
    keep_task_files: bool = False
    failures_kept: int = 20
    init_timeout_s: Optional[float] = None
    idle_s: Optional[float] = None
    containers: Optional[str] = None
    image_dir: Optional[Path] = None
    images_kept_s: float = MONTH_S
    mounts: Tuple[str, ...] = ()
    mounts_allowed: Tuple[str, ...] = ()
    isolation: str = AUTO
    hidden: Tuple[str, ...] = ()
    writable: Tuple[str, ...] = ("/",)
    private_files: Tuple[str, ...] = ()
    chirp: str = JOB_EVENT_LOG
    chirp_s: float = 60.0


def data_folder(workdir: Path) -> str:
    """Where a worker keeps what its tasks read and write; every process of a task names it in its variables."""
    return str(workdir / "ewms-pilot-data")


def read_settings(environ: Mapping[str, str], settings_file: Optional[str] = None) -> Settings:
    """Read and check everything. The file is a JSON object of the same names. Raises SettingsError."""
    given = {**read_file(settings_file), **environ} if settings_file else dict(environ)
    taskforce, secret = _read_enrol_file(_need(given, ENROL_FILE))
    return Settings(
        url=_need(given, URL),
        taskforce=taskforce,
        secret=secret,
        cluster=_read(given, CLUSTER, "0"),
        proc=_read(given, PROC, 0),
        start=_read(given, START, _find_start(given)),
        site=_read(given, SITE, given.get("GLIDEIN_Site") or ""),
        host=socket.gethostname()[:200],
        workdir=_read(given, DIR, parse_folder(os.getcwd())),
        input_dir=_read(given, INPUT_DIR, None),
        ca_file=_read(given, CA_FILE, None),
        offline_s=_read(given, OFFLINE_S, 3600.0),
        spool_mib=_read(given, SPOOL_MIB, 64),
        grace_s=_read(given, GRACE_S, 15.0),
        batch=_read(given, BATCH, None),
        task_start_s=_read(given, TASK_START_S, 300.0),
        keep_task_files=_read(given, KEEP_TASK_FILES, False),
        failures_kept=_read(given, KEPT_FAILURES, 20),
        init_timeout_s=_read(given, INIT_TIMEOUT_S, None),
        idle_s=_read(given, IDLE_S, None),
        containers=_read(given, CONTAINERS, None),
        image_dir=_read(given, IMAGE_DIR, None),
        images_kept_s=_read(given, IMAGES_KEPT_S, MONTH_S),
        mounts=_read(given, MOUNTS, ()),
        mounts_allowed=_read(given, MOUNTS_ALLOWED, ()),
        isolation=_read(given, ISOLATION, AUTO),
        hidden=_read(given, HIDDEN, ()),
        writable=_read(given, WRITABLE, ("/",)),
        private_files=tuple(os.path.abspath(path) for path in (given[ENROL_FILE], settings_file) if path),
        chirp=_read(given, CHIRP, JOB_EVENT_LOG),
        chirp_s=_read(given, CHIRP_S, 60.0),
    )


def list_strays(environ: Mapping[str, str]) -> List[str]:
    """Names that look like a setting of the worker and are none."""
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in VARIABLES)


def read_file(path: str) -> Mapping[str, str]:
    """A settings file: variables by name. What is no setting is for the worker's own variables. Raises SettingsError."""
    try:
        content = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError(f"settings file {path}: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"settings file {path}: must be a JSON object of variables")
    return {str(name): str(value) for name, value in content.items()}


def _read_enrol_file(path: str) -> "tuple[str, str]":
    """Taskforce and secret. The file is made private first, should a transfer have opened it to others."""
    try:
        if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            os.chmod(path, 0o600)
        content = json.loads(Path(path).read_bytes())
        taskforce, secret = content["taskforce"], content["secret"]
    except OSError as error:
        raise SettingsError(f"{ENROL_FILE} {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        # The cause is not shown: it could quote the secret.
        raise SettingsError(f"{ENROL_FILE} {path}: must be a JSON object with taskforce and secret") from None
    if not (isinstance(taskforce, str) and taskforce and isinstance(secret, str) and secret):
        raise SettingsError(f"{ENROL_FILE} {path}: taskforce and secret must be texts")
    return taskforce, secret


def _find_start(given: Mapping[str, str]) -> int:
    """How often HTCondor has started this proc before; 0 where there is no job ad."""
    path = given.get("_CONDOR_JOB_AD")
    if not path:
        return 0
    try:
        found = _NUM_STARTS.search(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def _need(given: Mapping[str, str], name: str) -> str:
    if not (value := given.get(name)):
        raise SettingsError(f"{name} is not set")
    return value


def _read(given: Mapping[str, str], name: str, default: Any) -> Any:
    said = name if given.get(name) else UPSTREAMS.get(name, name)
    if not (text := given.get(said)):
        return default
    try:
        return VARIABLES[name].parse(text)
    except ValueError as error:
        raise SettingsError(f"{said} is {text!r}; {error}") from None


def _parse_whole(text: str, *, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not least <= value <= _INT_MAX:
        raise ValueError(f"must be a whole number, {least} to {_INT_MAX}")
    return value
