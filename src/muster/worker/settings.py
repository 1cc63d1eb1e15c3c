"""What is this worker told? Its settings: variables of the environment, over those of a settings file.

Each is described, with its default, in `docs/reference/worker.md`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional

_NUM_STARTS = re.compile(r"^\s*NumJobStarts\s*=\s*([0-9]+)\s*$", re.IGNORECASE | re.MULTILINE)


class SettingsError(Exception):
    """The worker cannot run like this; the text says which setting is wrong and why."""


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
        grace_s: seconds that running tasks may use after a request to stop.
        batch: events to have in hand ahead of the tasks; None: what the service says.
        task_start_s: seconds that a warm task may take until it asks for events.
        keep_task_files: keep the folders of attempts that ended well, too.
        failures_kept: how many folders of failed attempts are kept.
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
    grace_s: float = 15.0
    batch: Optional[int] = None
    task_start_s: float = 300.0
    keep_task_files: bool = False
    failures_kept: int = 20


def read_settings(environ: Mapping[str, str], settings_file: Optional[str] = None) -> Settings:
    """Read and check everything. The file is a JSON object of the same names. Raises SettingsError."""
    given = {**_read_settings_file(settings_file), **environ} if settings_file else dict(environ)
    taskforce, secret = _read_enrol_file(_need(given, "MUSTER_ENROL_FILE"))
    return Settings(
        url=_need(given, "MUSTER_URL"),
        taskforce=taskforce,
        secret=secret,
        cluster=given.get("MUSTER_CLUSTER") or "0",
        proc=_integer(given, "MUSTER_PROC", 0, least=0),
        start=_integer(given, "MUSTER_START", _find_start(given), least=0),
        site=given.get("MUSTER_SITE") or given.get("GLIDEIN_Site") or "",
        host=socket.gethostname()[:200],
        workdir=Path(given.get("MUSTER_WORKDIR") or os.getcwd()).absolute(),
        input_dir=Path(given["MUSTER_INPUT_DIR"]).absolute() if given.get("MUSTER_INPUT_DIR") else None,
        ca_file=given.get("MUSTER_CA_FILE") or None,
        offline_s=_number(given, "MUSTER_OFFLINE_S", 3600.0),
        grace_s=_number(given, "MUSTER_GRACE_S", 15.0),
        batch=_integer(given, "MUSTER_TASK_BATCH", 0, least=1) if given.get("MUSTER_TASK_BATCH") else None,
        task_start_s=_number(given, "MUSTER_TASK_START_S", 300.0),
        keep_task_files=(given.get("MUSTER_KEEP_TASK_FILES") or "").lower() in ("1", "true", "yes", "on"),
        failures_kept=_integer(given, "MUSTER_KEPT_FAILURES", 20, least=0),
    )


def _read_settings_file(path: str) -> Mapping[str, str]:
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
        raise SettingsError(f"MUSTER_ENROL_FILE {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        # The cause is not shown: it could quote the secret.
        raise SettingsError(f"MUSTER_ENROL_FILE {path}: must be a JSON object with taskforce and secret") from None
    if not (isinstance(taskforce, str) and taskforce and isinstance(secret, str) and secret):
        raise SettingsError(f"MUSTER_ENROL_FILE {path}: taskforce and secret must be texts")
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


def _integer(given: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = given.get(name)
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; must be a whole number") from None
    if not least <= value < 1 << 31:
        raise SettingsError(f"{name} is {value}; must be at least {least}")
    return value


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    text = given.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}; must be a number of seconds") from None
    if not 0 <= value <= 1e9:  # a NaN is refused here, too
        raise SettingsError(f"{name} is {text}; must be a number of seconds, 0 or more")
    return value
