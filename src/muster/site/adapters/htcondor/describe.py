"""How does HTCondor hear of a cluster? As a submit description: what its commands are, and why each of them is there.

Source: the manual of HTCondor 25, "condor_submit"; tms.md 4.3 for what upstream's agent asked for. No secret is among the values: they
are for everybody to read in the queue.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from muster.domain import pool_defaults
from muster.domain.errors import RejectedError
from muster.site.adapters.htcondor.launcher import ALWAYS, FAILED
from muster.site.ports.pool import ClusterSpec

TAG = "EWMSTaskforceUUID"
"""The attribute of a proc's ad, and the note of its SUBMIT event, that holds the taskforce's uuid. Upstream's name: its tools read it."""
FENCE, WORKERS, AGENT = "MusterFence", "MusterWorkers", "MusterAgent"
"""Attributes from which the agent's memory can be made again."""

FAILED_SUBCODE = 77
"""The subcode (of hold code 3, a policy's) by which a worker that failed waits for its next start."""
WRONG_SETTINGS_STATUS = 2
"""The worker's exit status for settings with which no start of it can succeed (`muster.worker.main`)."""

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f$]")
_SITE_ATTRIBUTE = "GLIDEIN_Site"


@dataclass(frozen=True)
class Policy:
    """What the operator says of this pool; the sentences stand at the settings `MUSTER_SITE_CONDOR_…`.

    Args:
        agent: the agent's lasting name.
        starts_max: starts of a worker that may fail, before it counts as failed.
        vacate_s: seconds that workers may use at most once HTCondor has asked them to end.
        lease_s: seconds for which an execution point goes on without word of the access point.
        factory_from, materialized_max: clusters of so many workers are made by a factory, which keeps so many idle.
        worker_image: in which HTCondor runs the workers; empty: at the machine itself.
        attributes: of every proc, as ClassAd expressions.
    """

    agent: str
    starts_max: int = pool_defaults.STARTS_MAX
    vacate_s: float = pool_defaults.VACATE_S
    lease_s: float = pool_defaults.LEASE_S
    factory_from: int = pool_defaults.FACTORY_FROM
    materialized_max: int = pool_defaults.IDLE_MAX
    requirements: str = ""
    excluded_sites: Sequence[str] = ()
    accounting_group: str = ""
    accounting_user: str = ""
    worker_image: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Files:
    """Paths at the access point. `launcher`: the script that HTCondor runs. `transferred`: what it finds in its folder.
    `outputs`: the folder of what workers print.
    """

    log: Path
    launcher: Path
    transferred: Sequence[str]
    outputs: Path


def describe(spec: ClusterSpec, policy: Policy, files: Files, *, tag: str) -> dict[str, str]:
    """The commands, in the order in which a person would read them. The number of procs is told with the submission.

    Raises RejectedError for texts that no command can hold, naming the field.
    """
    request = spec.request
    for path in files.transferred:
        if _UNSAFE.search(path) or "," in path:
            raise RejectedError(
                f"input_files: {path!r} holds a comma, a dollar sign or a control character: HTCondor cannot transfer it"
            )
    if _UNSAFE.search(request.requirements):
        raise RejectedError(
            f"condor_requirements {request.requirements[:200]!r} holds a dollar sign or a control character; it must be one ClassAd "
            "expression"
        )
    description = {
        **_describe_program(spec, policy, files, tag),
        "log": str(files.log),
        # A line of its own, beside the batch name, which takes the place of other notes.
        "submit_event_user_notes": f"{TAG}={tag}",
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT",
        "transfer_input_files": ",".join(files.transferred),
        "transfer_output_files": '""',  # nothing; were it left out, all that is new in the folder would come back
        "output": "/dev/null",
        "error": str(
            files.outputs / "$(ProcId).err"
        ),  # empty for one that ended well, unless it is wanted (`launcher`)
        "requirements": render_requirements(request.requirements, policy),
        "request_cpus": str(request.n_cores),
        "request_memory": str(-(-request.memory_bytes // (1 << 20))),  # MiB
        "request_disk": str(-(-request.disk_bytes // (1 << 10))),  # KiB
        "priority": render_priority(request.priority, spec.n_workers),
        "job_max_vacate_time": f"{policy.vacate_s:.0f}",
        "job_lease_duration": f"{policy.lease_s:.0f}",
        "batch_name": tag,
        **_describe_failures(policy),
        # Chirp: its words reach log and job ad; with a proxy for files a task would read and write the access point as the agent's user.
        "+WantIOProxy": "false",
        "+WantRemoteUpdates": "true",
        f"+{TAG}": quote(tag),
        f"+{AGENT}": quote(policy.agent),
        f"+{FENCE}": str(spec.fence),
        f"+{WORKERS}": str(spec.n_workers),
    }
    if request.gpus:
        description["request_gpus"] = str(request.gpus)
    if request.runtime_s_max:
        description["allowed_execute_duration"] = str(request.runtime_s_max)
        description["+OriginalTime"] = str(request.runtime_s_max)  # glide-ins choose by it
    if policy.accounting_group:
        description["accounting_group"] = policy.accounting_group
    if policy.accounting_user:
        description["accounting_group_user"] = policy.accounting_user
    if spec.n_workers >= policy.factory_from:
        description["max_idle"] = str(policy.materialized_max)
    description.update({f"+{name}": expression for name, expression in policy.attributes.items()})
    return description


def _describe_program(spec: ClusterSpec, policy: Policy, files: Files, tag: str) -> dict[str, str]:
    program = {"universe": "vanilla"}
    if policy.worker_image:
        program = {"universe": "container", "container_image": policy.worker_image, "transfer_container": "false"}
    variables = {
        "MUSTER_TASKFORCE": tag,
        "MUSTER_WORKER_CLUSTER": "$(ClusterId)",
        "MUSTER_WORKER_PROC": "$(ProcId)",
    }
    return {
        **program,
        "executable": str(files.launcher),
        "transfer_executable": "true",
        "arguments": render_words([ALWAYS if spec.request.keeps_output else FAILED, *spec.argv]),
        "environment": '"' + " ".join(f"{name}={value}" for name, value in variables.items()) + '"',
    }


def _describe_failures(policy: Policy) -> dict[str, str]:
    """One that failed waits, held, until the agent releases it (after a while that grows); the last time it leaves the queue."""
    is_failed = f"(ExitBySignal =?= true || (ExitCode =!= 0 && ExitCode =!= {WRONG_SETTINGS_STATUS}))"
    return {
        "on_exit_hold": f"{is_failed} && NumJobCompletions < {policy.starts_max}",
        "on_exit_hold_reason": 'ifThenElse(ExitBySignal =?= true, strcat("worker was ended by signal ", ExitSignal), '
        'strcat("worker ended with status ", ExitCode))',
        "on_exit_hold_subcode": str(FAILED_SUBCODE),
    }


def render_requirements(users: str, policy: Policy) -> str:
    """The operator's and the user's together; the user's in parentheses, which it cannot leave: it was parsed alone before."""
    terms = [f"({policy.requirements})"] if policy.requirements else []
    terms += [f"({render_excluded(site)})" for site in policy.excluded_sites]
    terms += [f"({users})"] if users else []
    return " && ".join(terms) or "true"


def render_excluded(site: str) -> str:
    """What is required of slots where a site is excluded."""
    return f"{_SITE_ATTRIBUTE} =!= {quote(site)}"


def render_priority(priority: int, n_workers: int) -> str:
    """Later procs of a large cluster come after those of others (tms.md 4.5): from `priority` down to about half of it."""
    if n_workers <= 1 or priority <= 1:
        return str(priority)
    return f"{priority} - ( ($(ProcId) * {priority // 2}) / ({n_workers - 1}) )"


def quote(text: str) -> str:
    """As a text in a ClassAd expression."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render_words(words: Sequence[str]) -> str:
    """In the newer syntax of `arguments`: quoted as a whole, each word in single quotes."""
    quoted = ("'" + word.replace("'", "''").replace('"', '""') + "'" for word in words)
    return '"' + " ".join(quoted) + '"'


def is_tag(text: str) -> bool:
    """Can it be the tag of a cluster, and the name of a folder?"""
    return _TAG.fullmatch(text) is not None
