"""Can this agent work beside an HTCondor schedd? What its operators get wrong, each with what to change.

Source: htcondor-notes.md 1 (configuration), 2 (FS, tokens), 8 (event logs), 11 (limits).
"""

import os
import pwd
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.bindings import identify
from muster.site.adapters.htcondor.describe import Policy, render_requirements
from muster.site.adapters.htcondor.folder import PoolFolder
from muster.site.adapters.htcondor.inquiry import (
    LIMITS,
    Access,
    Bindings,
    Inquiry,
    NamedCluster,
    ScheddFacts,
    Slots,
    ask_bindings,
)
from muster.site.ports.checks import Check, fault, fine, warn

CONFIG_REMEDY = "CONDOR_CONFIG names the file: /etc/condor/condor_config, say (in the unit's EnvironmentFile, too)"
PRIVATE_TMP = (
    "the agent must see and write the schedd's own /tmp: PrivateTmp=no, ReadWritePaths=/tmp in its unit; or use a token"
)
CHANNEL_BINDING = "install the schedd's newest release, or set _CONDOR_SEC_FS_ENFORCE_CHANNEL_BINDING=false for the agent, or use a token"
MAKE_ONE = (
    "condor_token_create -identity USER@DOMAIN -token muster, as root at the central manager; the file to ~/.condor/tokens.d, "
    "mode 0600"
)
FS = "FS"
NOT_OWNERS = ("root", "condor", "unauthenticated", "unmapped", "")
"""Names that own no jobs: HTCondor runs none as root, or as itself."""


@dataclass(frozen=True)
class Beside:
    """What the operator says, and what the doctor goes by.

    Args:
        schedd: its name; empty: that of this machine.
        directory: of the agent.
        workers_max: of one taskforce.
        clusters: the folder of the agent's clusters; need not be there.
        has_containers: are tasks with images to be run?
    """

    schedd: str
    directory: Path
    policy: Policy
    workers_max: int
    clusters: Path
    has_containers: bool = True


@dataclass
class Report:
    """What was found, and the name of the schedd, where it answered."""

    checks: list[Check] = field(default_factory=list)
    schedd: str = ""


def examine_pool(beside: Beside) -> Report:
    """Every look, in order; what stands on one that failed is left out."""
    report = Report()
    bindings = ask_bindings()
    report.checks += judge_bindings(bindings, beside.schedd)
    if bindings.config is None:
        return report
    report.checks += look_tokens(bindings.tokens)
    inquiry = Inquiry(beside.schedd)
    try:
        schedd = inquiry.find_schedd()
    except UnavailableError as error:
        remedy = "see that it runs (condor_status -schedd); CONDOR_CONFIG and MUSTER_SITE_CONDOR_SCHEDD name it"
        report.checks.append(fault("schedd", str(error), remedy))
    else:
        report.schedd = schedd.name
        report.checks += judge_schedd(schedd)
        report.checks += _look_access(inquiry, bindings, schedd, beside)
        report.checks += _look_limits(inquiry, schedd, beside)
        report.checks += look_clusters(beside.clusters, schedd.name)
    report.checks += _look_slots(inquiry, beside)
    return report


def judge_bindings(bindings: Bindings, schedd: str) -> Iterator[Check]:
    """The library, and the configuration that it found."""
    yield fine("bindings", f"htcondor2 {bindings.version}")
    if bindings.config is None:
        yield fault("configuration", "HTCondor's library finds no configuration: it would ask nobody", CONFIG_REMEDY)
    elif not bindings.collector:
        yield fault(
            "configuration",
            f"{bindings.config} names no collector",
            f"COLLECTOR_HOST, or CONDOR_HOST, in it; {CONFIG_REMEDY}",
        )
    else:
        whose = f"the schedd {schedd}" if schedd else "the schedd of this machine"
        yield fine("configuration", f"{bindings.config}: collector {bindings.collector}, {whose}")


def look_tokens(folder: Path) -> Iterator[Check]:
    """HTCondor passes over tokens that others can read, and says nothing."""
    if not os.access(folder, os.R_OK | os.X_OK):  # none, or nobody's business
        return
    for path in sorted(folder.iterdir()):
        try:
            told = path.stat()
            mode = stat.S_IMODE(told.st_mode)
        except OSError as error:
            yield warn("condor token", f"{path}: {error.strerror}", f"chmod 600 {path}")
            continue
        if not path.is_file() or path.name.startswith("."):
            continue
        if mode & 0o077 or told.st_uid != os.geteuid():
            yield warn(
                "condor token",
                f"{path}: mode {mode:04o}, of user {told.st_uid}",
                f"chmod 600 {path}; it must be the agent's own",
            )


def judge_schedd(schedd: ScheddFacts) -> Iterator[Check]:
    """It answers."""
    yield fine("schedd", f"{schedd.name} answers at {schedd.machine}: HTCondor {schedd.version}")
    if schedd.ahead_s is not None and abs(schedd.ahead_s) > 5:
        word = "ahead of" if schedd.ahead_s > 0 else "behind"
        found = f"{abs(schedd.ahead_s):.1f} s {word} this machine's"
        make = fault if abs(schedd.ahead_s) > 60 else warn
        yield make("schedd's clock", found, "set the clocks of both machines by NTP")
    elif schedd.ahead_s is not None:
        yield fine("schedd's clock", f"{abs(schedd.ahead_s):.1f} s from this machine's")


def _look_access(inquiry: Inquiry, bindings: Bindings, schedd: ScheddFacts, beside: Beside) -> Iterator[Check]:
    fs_remedy = name_fs_remedy(look_at_tmp(), library=bindings.version, schedd=schedd.version)
    try:
        access = inquiry.ask_access()
    except UnavailableError as error:
        yield fault("submission", str(error), f"{fs_remedy}; or give the agent a token: {MAKE_ONE}")
        return
    yield judge_access(access, fs_remedy)
    yield from _look_named(inquiry, beside)
    yield judge_log_folder(beside.directory, access, schedd, schedd_uid=_find_owner(bindings.address_file))


def _look_named(inquiry: Inquiry, beside: Beside) -> Iterator[Check]:
    try:
        named = inquiry.list_named(beside.policy.agent)
        _, users = identify(beside.schedd)
    except UnavailableError as error:
        yield warn("name", f"the queue does not say who has this agent's name: {error}", "ALLOW_READ of the schedd")
        return
    yield from judge_named(named, users, beside)


def judge_named(named: Sequence[NamedCluster], users: Sequence[str], beside: Beside) -> Iterator[Check]:
    """Has another agent this one's name?

    Args:
        named: clusters in the queue that say that they are of this agent.
        users: as one of whom it submits.
    """
    agent, folder = beside.policy.agent, Path(os.path.realpath(beside.clusters))
    others = sorted({one.user for one in named if one.user not in users})
    ours = [one for one in named if one.user in users]
    elsewhere = [one for one in ours if not Path(os.path.realpath(one.log)).is_relative_to(folder)]
    if elsewhere:
        places = ", ".join(sorted({str(Path(one.log).parent.parent) for one in elsewhere}))
        yield warn(
            "name",
            f"{len(elsewhere)} of {len(ours)} clusters of an agent {agent!r} were placed from another folder: {places}",
            "if another agent runs there, give it a name of its own (MUSTER_SITE_NAME): each takes the other's clusters for its own; "
            "if this one ran there before, nothing is to be done",
        )
    if others:
        yield warn(
            "name",
            f"{len(named) - len(ours)} clusters of {', '.join(others)} say that they are of an agent {agent!r}: they do not count",
            "ask who submitted them; if it was this agent as somebody else, let it be that user again, or remove them (condor_rm)",
        )


@dataclass(frozen=True)
class Tmp:
    """The folder /tmp, as this process sees it. `is_private`: by systemd's PrivateTmp."""

    is_private: bool
    is_writable: bool


def look_at_tmp() -> Tmp:
    """As the agent would see it, started in the same way."""
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    return Tmp(has_private_tmp(mounts), os.access("/tmp", os.W_OK | os.X_OK))  # noqa: S108 - FS uses this one


def has_private_tmp(mountinfo: str) -> bool:
    """Is what is mounted at /tmp a folder that systemd made for one unit (proc(5), systemd.exec(5))?"""
    words = [line.split(" ") for line in mountinfo.splitlines()]
    return any(len(one) > 4 and one[4] == "/tmp" and "/systemd-private-" in one[3] for one in words)  # noqa: S108


def name_fs_remedy(tmp: Tmp, *, library: str, schedd: str) -> str:
    """What probably keeps FS from working, of which HTCondor says no more than that it failed. Versions as `25.14.1`."""
    if tmp.is_private:
        return f"this process has a /tmp of its own: {PRIVATE_TMP}"
    if not tmp.is_writable:
        return f"no write access to /tmp here: {PRIVATE_TMP}"
    if _read_version(schedd) < _read_version(library):
        return f"the schedd ({schedd}) is older than the library ({library}): {CHANNEL_BINDING}"
    return f"run the agent at the schedd's machine, as a user with an account there (FS); {PRIVATE_TMP}"


def judge_access(access: Access, fs_remedy: str = "") -> Check:
    """May we submit, and who would own the jobs? `fs_remedy`: what might keep FS from working."""
    user, _, domain = access.identity.partition("@")
    found = f"the schedd takes this agent for {access.identity or 'nobody it knows'}, by {access.method or 'no method'}"
    if not access.is_allowed:
        remedy = "ALLOW_WRITE of the schedd's configuration, or another identity"
        return fault("submission", f"{found}, who may not submit", remedy)
    if user in NOT_OWNERS or domain == "unmapped":
        remedy = f"run the agent as another user: User= of its unit; or give it a token of another identity: {MAKE_ONE}"
        if access.method != FS and fs_remedy:
            remedy = f"{FS} goes first, and did not work: {fs_remedy}; or give the agent a token of another identity: {MAKE_ONE}"
        return fault("submission", f"{found}: such a user owns no jobs", remedy)
    return fine("submission", f"{found}; {user} owns the jobs")


def judge_log_folder(directory: Path, access: Access, schedd: ScheddFacts, *, schedd_uid: int | None) -> Check:
    """Can the schedd write event logs into the agent's folder?

    Args:
        schedd_uid: whose its address file is, for a schedd of this machine: it writes as itself, or as the jobs' owner; None: not known.
    """
    place = directory.absolute()
    if schedd_uid is None and schedd.machine.partition(".")[0] != os.uname().nodename.partition(".")[0]:
        found = f"the schedd is at {schedd.machine}: it must see {place} as this machine does"
        return warn("event logs", found, "run the agent at the schedd's machine")
    user = access.identity.partition("@")[0]
    writers = {schedd_uid, _find_uid(user)}
    if os.geteuid() in writers:
        return fine("event logs", f"the schedd writes them in {place} as this agent's user")
    closed = [one for one in (place, *place.parents) if _is_closed(one)]
    found = f"the schedd would write them as {user}, and the agent is user {os.geteuid()}"
    remedy = f"run the agent as {user} (User= of its unit), or have its token made for its own user: {MAKE_ONE}"
    if closed:
        return fault("event logs", f"{found}: closed to others is {closed[-1]}", remedy)
    return warn("event logs", f"{found}: the agent makes its folders for its own user alone", remedy)


def look_clusters(folder: Path, schedd: str) -> Iterator[Check]:
    """Has this schedd what the agent placed? `folder`: of its clusters; `schedd`: as it calls itself."""
    left = [(asked, placed) for asked, placed in PoolFolder(folder).peek() if placed is None or placed.gone_at is None]
    others = Counter(asked.schedd for asked, _ in left if asked.schedd not in ("", schedd))
    for name, count in sorted(others.items()):
        yield warn(
            "clusters",
            f"{count} of {len(left)} were placed at the schedd {name}, of which {schedd} knows nothing: they stay as they are",
            f"MUSTER_SITE_CONDOR_SCHEDD={name}; or remove them by hand (condor_rm -name {name}), then their folders in {folder}, with the "
            "agent stopped",
        )
    if left and not others:
        yield fine("clusters", f"{len(left)} placed and not over, all of them at {schedd}")


def _look_limits(inquiry: Inquiry, schedd: ScheddFacts, beside: Beside) -> Iterator[Check]:
    try:
        limits = inquiry.list_limits()
    except UnavailableError as error:
        yield warn("limits", f"the schedd does not tell them: {error}", f"condor_config_val -schedd {' '.join(LIMITS)}")
        return
    yield judge_limits(limits.get(LIMITS[0]), limits.get(LIMITS[1]), schedd.running_max, beside)


def judge_limits(per_submission: int | None, per_owner: int | None, running_max: int | None, beside: Beside) -> Check:
    """Does the schedd take as many workers as the operator allows? What a factory makes bit by bit, it does not count at once."""
    at_once = min(beside.workers_max, beside.policy.factory_from - 1)
    limits = f"{LIMITS[0]} {per_submission}, {LIMITS[1]} {per_owner}, {running_max} running at once"
    found = f"{limits}; MUSTER_SITE_WORKERS_MAX {beside.workers_max}"
    if per_submission is not None and per_submission < at_once:
        remedy = f"MUSTER_SITE_CONDOR_FACTORY_FROM={max(per_submission, 2)}, or {LIMITS[0]} of the schedd"
        return fault("limits", f"{found}: up to {at_once} are submitted at once, which it refuses", remedy)
    if per_owner is not None and per_owner < beside.workers_max:
        return warn(
            "limits",
            f"{found}: it refuses more than it takes of one owner",
            f"MUSTER_SITE_WORKERS_MAX={per_owner}, or {LIMITS[1]} of the schedd",
        )
    return fine("limits", found)


def _look_slots(inquiry: Inquiry, beside: Beside) -> Iterator[Check]:
    requirements = render_requirements("", beside.policy)
    try:
        slots = inquiry.count_slots(requirements)
    except UnavailableError as error:
        yield fault(
            "slots", str(error), "see that the collector runs, and that READ is allowed to this user (ALLOW_READ)"
        )
    except ValueError as error:
        yield fault("slots", f"{requirements} is no ClassAd expression: {error}", "MUSTER_SITE_CONDOR_REQUIREMENTS")
    else:
        yield from judge_slots(slots, requirements, beside)


def judge_slots(slots: Slots, requirements: str, beside: Beside) -> Iterator[Check]:
    """Is there a machine for the workers, and can it run images?"""
    if not slots.count:
        remedy = "glide-ins may come later; else see condor_status, and that execution points may join (ALLOW_DAEMON)"
        yield warn("slots", "there is none in the pool now", remedy)
        return
    found = f"{slots.fitting} of {slots.count} ({slots.fitting_cpus} of {slots.cpus} CPUs) meet {requirements}"
    if slots.fitting:
        yield fine("slots", found)
    else:
        yield warn(
            "slots",
            found,
            "MUSTER_SITE_CONDOR_REQUIREMENTS, MUSTER_SITE_CONDOR_EXCLUDED_SITES; condor_status -constraint shows them",
        )
    yield from _judge_runtimes(slots, beside)


def _judge_runtimes(slots: Slots, beside: Beside) -> Iterator[Check]:
    names: Sequence[str] = [f"{count} {name}" for name, count in slots.runtimes.items()]
    found = f"of {slots.count} slots have: {', '.join(names)}"
    if beside.policy.worker_image and not slots.runtimes.get("HasContainer"):
        remedy = "install Apptainer at the execution points, or leave out MUSTER_SITE_CONDOR_WORKER_IMAGE"
        yield warn("containers", f"{found}; the workers' image needs one", remedy)
    elif beside.has_containers and not any(slots.runtimes.values()):
        remedy = 'install Apptainer at the execution points; or MUSTER_SITE_CONTAINERS=none, and "containers": false for the location'
        yield warn("containers", f"{found}: tasks with an image may find no machine", remedy)
    else:
        yield fine("containers", found)


def _is_closed(folder: Path) -> bool:
    """May others not go through it? One that is not there yet closes nothing."""
    try:
        return not stat.S_IMODE(folder.stat().st_mode) & stat.S_IXOTH
    except PermissionError:
        return True
    except OSError:
        return False


def _read_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _find_owner(file: Path | None) -> int | None:
    try:
        return None if file is None else file.stat().st_uid
    except OSError:
        return None


def _find_uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None
