"""What would a worker find on this machine? Looked at one thing after the other, each with what to do where it is not as it should be.

`python3 muster-worker.pyz --doctor [--json]` in a batch job, `muster worker doctor` at a desk. Nothing is left behind.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Iterator, List, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from muster.worker.bubblewrap import (
    IsolationError,
    check_folder,
    find_bwrap,
    judge_probe,
    render_namespaces,
    render_probe,
)
from muster.worker.chirp import find_proxy
from muster.worker.gpus import VISIBLE, list_devices
from muster.worker.images import Ran, default_folder
from muster.worker.link import AddressError, Link, parse_address
from muster.worker.memory import render_bytes
from muster.worker.settings import (
    BWRAP,
    CA_FILE,
    CONTAINERS,
    DIR,
    IMAGE_DIR,
    ISOLATION,
    NONE,
    TOOLS,
    URL,
    VARIABLES,
    list_strays,
)
from muster.worker.tools import find_tool

GOOD, NOTE, BAD = "good", "note", "bad"
RUN_S = 10.0
CLOCK_S_MAX = 60.0
LITTLE_BYTES = 1 << 30
_NAMESPACES = "import ctypes;c=ctypes.CDLL(None);raise SystemExit(c.unshare(1<<28) or c.unshare(1<<17))"
"""Of users (0x10000000), then, with the rights that one has in it, of mounts (0x20000)."""
_ASKED = {
    "docker": ["version", "--format", "docker {{.Client.Version}}, server {{.Server.Version}}"],
    "podman": ["info", "--format", "podman {{.Version.Version}}"],
}
"""What tells more than a version: whether there is a daemon, or its user may have containers."""
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Finding:
    """One look. `state`: GOOD, NOTE (some tasks cannot run here, or something is missing that helps), or BAD (a worker cannot work)."""

    what: str
    state: str
    text: str
    remedy: str = ""


Look = Callable[[Mapping[str, str]], Iterator[Finding]]


def main(words: Sequence[str]) -> int:
    """`--doctor`, its further words here. Returns the exit status: 1 if something is bad."""
    findings = examine(os.environ)
    sys.stdout.write(render_json(findings) if "--json" in words else render(findings))
    return int(any(one.state == BAD for one in findings))


def examine(environ: Mapping[str, str]) -> "List[Finding]":
    """Every look, in order. One that goes wrong is told as such."""
    return [finding for look in _LOOKS for finding in _take(look, environ)]


def _take(look: Look, environ: Mapping[str, str]) -> "List[Finding]":
    try:
        return list(look(environ))
    except Exception as error:  # noqa: BLE001 - whatever this machine does to one look, the others are made
        return [Finding(look.__name__[6:], BAD, f"could not be looked at: {type(error).__name__}: {error}")]


def render_json(findings: Sequence[Finding]) -> str:
    """For programs."""
    return json.dumps({"findings": [asdict(one) for one in findings]}, indent=2) + "\n"


def render(findings: Sequence[Finding]) -> str:
    """For people."""
    lines = []
    for one in findings:
        lines.append(f"{one.state:<5}{one.what:<16}{one.text}")
        if one.remedy:
            lines.append(f"{'':<21}-> {one.remedy}")
    n_bad = sum(one.state == BAD for one in findings)
    lines.append("a worker can work here" if not n_bad else f"a worker cannot work here: {n_bad} bad")
    return "\n".join(lines) + "\n"


def _look_python(_environ: Mapping[str, str]) -> Iterator[Finding]:
    text = f"Python {sys.version.split()[0]} ({sys.executable}), {os.uname().sysname} {os.uname().release}"
    if sys.version_info < (3, 9):
        yield Finding("python", BAD, text, "start the worker with Python 3.9 or newer")
    elif sys.platform != "linux":
        yield Finding("python", BAD, text, "workers run on Linux")
    else:
        yield Finding("python", GOOD, text)


def _look_settings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A worker with one of these ends before it asks for anything."""
    for name in sorted(VARIABLES):
        if text := environ.get(name):
            try:
                VARIABLES[name].parse(text)
            except ValueError as error:
                yield Finding("settings", BAD, f"{name} is {text[:100]!r}, but {error}", "mend it, or leave it out")
    for name in list_strays(environ):
        yield Finding("settings", NOTE, f"{name} is no setting of a worker", "leave it out, or look for its right name")


def _look_containers(environ: Mapping[str, str]) -> Iterator[Finding]:
    wanted = environ.get(CONTAINERS) or None
    n_good = 0
    for name in TOOLS if wanted is None else (wanted,):
        found = find_tool(name, environ)
        if found is None:
            continue
        asked = _ASKED.get(found[0], ["--version"])
        ran = _run([found[1], *asked])
        n_good += ran is not None and ran.status == 0
        yield _judge_tool(found[0], found[1], ran)
    if not n_good:
        why = f"{CONTAINERS} is {wanted}" if wanted else f"none of {', '.join(TOOLS)} works"
        text = f"{why}: tasks with an image cannot run here"
        yield Finding("containers", NOTE, text, "" if wanted == NONE else "have Apptainer installed")


def _judge_tool(name: str, program: str, ran: "Optional[Ran]") -> Finding:
    if ran is None:
        return Finding(name, NOTE, f"{program} does not answer within {RUN_S:g} s", f"{CONTAINERS} names another")
    said = (ran.stdout if ran.status == 0 else ran.stderr or ran.stdout).strip().splitlines()
    if ran.status == 0:
        return Finding(name, GOOD, f"{said[0][:200] if said else 'it says no version'} ({program})")
    return Finding(name, NOTE, f"{program} fails: {said[-1][:300] if said else f'status {ran.status}'}")


def _look_isolation(environ: Mapping[str, str]) -> Iterator[Finding]:
    wanted = environ.get(ISOLATION)
    if wanted == NONE:
        yield Finding("isolation", NOTE, f"plain tasks are not isolated: {ISOLATION} is {NONE}")
        return
    try:
        program = _try_bwrap(environ)
    except IsolationError as error:
        state, remedy = BAD if wanted == BWRAP else NOTE, "have bubblewrap installed, and user namespaces allowed"
        yield Finding("isolation", state, f"plain tasks are not isolated: {error}", remedy)
    else:
        said = _run([program, "--version"])
        yield Finding("isolation", GOOD, f"plain tasks are isolated by {said.stdout.strip() if said else program}")


def _try_bwrap(environ: Mapping[str, str]) -> str:
    """The program, which works. Raises IsolationError."""
    program = find_bwrap(environ)
    if folder_of_worker := environ.get(DIR):
        check_folder(os.path.realpath(folder_of_worker))
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.realpath(folder)
        Path(place, "secret").touch()
        words = [*render_namespaces(program), "--tmpfs", place, "--"]
        judge_probe(_run([*words, *render_probe(f"{place}/secret", f"{place}/written")]))
    return program


def _look_namespaces(_environ: Mapping[str, str]) -> Iterator[Finding]:
    ran = _run([sys.executable, "-I", "-S", "-c", _NAMESPACES])
    if ran is not None and ran.status == 0:
        yield Finding("user namespaces", GOOD, "can be made")
        return
    text = "cannot be made: Apptainer without setuid, and bwrap, do not work"
    yield Finding(
        "user namespaces", NOTE, text, "the machine's administrator allows them (sysctl user.max_user_namespaces)"
    )


def _look_fuse(_environ: Mapping[str, str]) -> Iterator[Finding]:
    if os.access("/dev/fuse", os.R_OK | os.W_OK):
        yield Finding("fuse", GOOD, "/dev/fuse can be used")
    else:
        why = "may not be used" if os.path.exists("/dev/fuse") else "is not there"
        yield Finding("fuse", NOTE, f"/dev/fuse {why}: SIF files are unpacked for each event", "use folders as images")


def _look_memory(_environ: Mapping[str, str]) -> Iterator[Finding]:
    with open("/proc/meminfo", encoding="ascii") as file:
        total = int(file.readline().split()[1]) * 1024
    version = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        groups = [line.rstrip("\n").split(":", 2)[1:] for line in file]
    own = next((path for names, path in groups if names == "" or "memory" in names.split(",")), "/")
    root, name = ("", "memory.max") if version == "v2" else ("/memory", "memory.limit_in_bytes")
    limits = [_read_number(f"/sys/fs/cgroup{root}{folder}/{name}") for folder in (own, *map(str, Path(own).parents))]
    limit = min([total, *(one for one in limits if one is not None)])
    text = f"{render_bytes(total)}; this job may use {render_bytes(limit)}" if limit < total else render_bytes(total)
    measured = "is" if os.path.exists(f"/sys/fs/cgroup{root}{own}/{name}") else "is not"
    yield Finding("memory", GOOD, f"{text}; cgroups {version}, memory {measured} counted there")


def _look_folders(environ: Mapping[str, str]) -> Iterator[Finding]:
    yield _judge_folder("workdir", os.path.abspath(environ.get(DIR) or os.getcwd()), DIR, NOTE)
    images = environ.get(IMAGE_DIR) or str(default_folder())
    yield _judge_folder("images", os.path.abspath(images), IMAGE_DIR, BAD)


def _judge_folder(what: str, folder: str, setting: str, others: str) -> Finding:
    """`others`: how bad it is that others can write there."""
    there = folder
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        return Finding(what, BAD, f"{folder} cannot be written", f"name another folder ({setting})")
    free = shutil.disk_usage(there).free
    text = f"{folder}: {render_bytes(free)} free"
    told = os.stat(there)
    is_ours = told.st_uid == os.geteuid() and not stat.S_IMODE(told.st_mode) & 0o022
    if there == folder and not is_ours:
        return Finding(
            what, others, f"{text}; others can write there", f"chmod 700 {folder}, or name another ({setting})"
        )
    return Finding(what, GOOD if free > LITTLE_BYTES else NOTE, text, "" if free > LITTLE_BYTES else "make room there")


def _look_gpus(environ: Mapping[str, str]) -> Iterator[Finding]:
    devices, given = list_devices("/dev"), environ.get(VISIBLE)
    text = f"{len(devices)} NVIDIA devices" + (f", {VISIBLE} is {given!r}" if given is not None else "")
    yield Finding("gpus", GOOD, text)


def _look_chirp(environ: Mapping[str, str]) -> Iterator[Finding]:
    if find_proxy(environ, Path.cwd()) is not None:
        yield Finding("chirp", GOOD, "HTCondor is told how it goes")
    elif "_CONDOR_SCRATCH_DIR" in environ:
        yield Finding("chirp", NOTE, "a job of HTCondor without a proxy for chirp", "+WantRemoteUpdates = true")
    else:
        yield Finding("chirp", GOOD, "not within HTCondor")


def _look_proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    names = [name for one in _PROXIES for name in (one, one.upper()) if environ.get(name)]
    shown = [f"{name}={environ[name].rpartition('@')[2]}" for name in names]  # a password stands before the @
    yield Finding("proxies", GOOD, ", ".join(shown) or "none set")


def _look_service(environ: Mapping[str, str]) -> Iterator[Finding]:
    url = environ.get(URL)
    if not url:
        yield Finding("service", NOTE, f"not tried: {URL} is not set", f"{URL}=https://… names it")
        return
    try:
        address = parse_address(url, ca_file=environ.get(CA_FILE) or None)
    except AddressError as error:
        yield Finding("service", BAD, str(error), f"set {URL} right")
        return
    began = time.time()
    try:
        said = Link(address).ask_date(timeout_s=RUN_S)
    except (OSError, http.client.HTTPException) as error:
        why = f"{type(error).__name__}: {error}"
        remedy = "the way out: firewall, https_proxy, certificates (MUSTER_WORKER_CA_FILE)"
        yield Finding("service", BAD, f"{urlsplit(url).netloc} does not answer: {why}", remedy)
        return
    took = time.time() - began
    yield Finding("service", GOOD, f"{urlsplit(url).netloc} answers within {took:.2f} s")
    told = email.utils.parsedate_to_datetime(said).timestamp() if said else None
    if told is None:
        yield Finding("clock", NOTE, "the service tells no time to compare with")
        return
    off = began + took / 2 - told
    state = BAD if abs(off) > CLOCK_S_MAX else GOOD
    text = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the service's"
    yield Finding("clock", state, text, "set this machine's clock (NTP)" if state == BAD else "")


_LOOKS: "Sequence[Look]" = [
    _look_python,
    _look_settings,
    _look_containers,
    _look_isolation,
    _look_namespaces,
    _look_fuse,
    _look_memory,
    _look_folders,
    _look_gpus,
    _look_chirp,
    _look_proxies,
    _look_service,
]


def _read_number(path: str) -> Optional[int]:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):  # `max` is no limit
        return None


def _run(words: Sequence[str]) -> Optional[Ran]:
    """A program's end. None: it did not come to it in time."""
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        return Ran(127, "", str(error))
    with process:
        try:
            stdout, stderr = process.communicate(timeout=RUN_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None
    return Ran(process.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"))
