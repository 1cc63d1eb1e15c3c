"""What keeps an agent with these settings from its work? Every look in order, each told for itself."""

from collections.abc import AsyncIterator, Sequence

import anyio.to_thread

from muster.settings.parts import SiteSettings
from muster.site.doctor.disk import look_disk
from muster.site.doctor.service import look_service
from muster.site.pools import HTCONDOR, WORKERS_MAX, find_container_tool, read_policy
from muster.site.ports.checks import Check, Verdict, fault, fine, warn
from muster.worker.settings import NONE


async def examine(settings: SiteSettings) -> Sequence[Check]:
    """Look at everything. Takes as long as those take that do not answer: some seconds."""
    return [check async for check in look_everywhere(settings)]


async def look_everywhere(settings: SiteSettings) -> AsyncIterator[Check]:
    """The disk, the pool, the service."""
    try:
        checks: Sequence[Check] = await anyio.to_thread.run_sync(lambda: list(look_disk(settings)))
    except OSError as error:
        checks = [render_fault("directory", error)]
    for check in checks:
        yield check
    schedd = ""
    try:
        checks, schedd = await anyio.to_thread.run_sync(look_pool, settings)
    except OSError as error:
        checks = [render_fault("pool", error)]
    for check in checks:
        yield check
    async for check in look_service(settings, schedd=schedd):
        yield check


def render_fault(what: str, error: OSError) -> Check:
    """A look that this user could not take."""
    found = f"could not be looked at: {error.filename or ''} {error.strerror or error}"
    return fault(what, found, "let this user see it, or run this as the agent's user")


def look_pool(settings: SiteSettings) -> tuple[Sequence[Check], str]:
    """The pool, and the name of its schedd; empty: there is none, or it does not answer."""
    if settings.pool != HTCONDOR:
        return [look_processes(settings)], ""
    try:
        from muster.site.adapters.htcondor.doctor import Beside, examine_pool
    except ModuleNotFoundError as error:
        remedy = "pip install 'muster-compute[site]', into the environment that the agent runs in"
        return [fault("bindings", f"{error.name} is not installed", remedy)], ""
    report = examine_pool(
        Beside(
            settings.condor_schedd,
            settings.directory,
            read_policy(settings),
            settings.workers_max or WORKERS_MAX[HTCONDOR],
            settings.directory / HTCONDOR,
            has_containers=settings.containers != NONE,
        )
    )
    return report.checks, report.schedd


def look_processes(settings: SiteSettings) -> Check:
    """Workers of this machine: what runs images?"""
    tool = find_container_tool(settings)
    if tool is not None:
        return fine("containers", f"{tool} runs images; `muster worker doctor` looks at it closely")
    if settings.containers == NONE:
        return fine("containers", 'MUSTER_SITE_CONTAINERS is none; "containers": false for the location tells users so')
    return warn(
        "containers",
        "neither apptainer, podman nor docker is on PATH: tasks with an image are refused",
        "install Apptainer, or MUSTER_SITE_CONTAINERS",
    )


def render(checks: Sequence[Check]) -> str:
    """For people: a line each, and its remedy below."""
    lines = []
    for one in checks:
        lines.append(f"{one.verdict:<8} {one.what:<16} {one.found}")
        if one.remedy:
            lines.append(f"{'':<25} -> {one.remedy}")
    errors, warnings = (sum(one.verdict is verdict for one in checks) for verdict in (Verdict.ERROR, Verdict.WARNING))
    end = "the agent cannot work like this" if errors else "the agent can work"
    counts = (
        f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((errors, "error"), (warnings, "warning"))
    )
    return "\n".join([*lines, f"{end}: {', '.join(counts)}"])
