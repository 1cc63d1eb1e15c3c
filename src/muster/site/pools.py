"""Which pool does the agent stand beside, and what are its workers told? Made from the settings."""

import contextlib
import hashlib
import os
import resource
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import structlog

from muster.domain.errors import Finding, InvalidError
from muster.settings.parts import SiteSettings
from muster.site.adapters.durable import disk_errors
from muster.site.adapters.processes.pool import ProcessPool
from muster.site.adapters.processes.restart import RestartPolicy
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.ports.pool import Pool
from muster.site.services.stop import LEAVE_S
from muster.worker import settings as worker_settings
from muster.worker.bundle import build_bundle
from muster.worker.tools import find_tool

if TYPE_CHECKING:
    from muster.site.adapters.htcondor.describe import Policy

log = structlog.get_logger("muster.site")

HTCONDOR = "htcondor"
WORKERS_MAX: Mapping[str, int] = {"processes": 1000, HTCONDOR: 100_000}
"""Of one taskforce, where the operator says nothing."""


@dataclass(frozen=True)
class OpenPool:
    """A pool that is the agent's until `close`, which lets go of what runs and touches nothing.

    Args:
        has_containers: can its workers run images?
        damaged: what could not be read and was moved aside.
    """

    pool: Pool
    close: Callable[[], Awaitable[None]]
    has_containers: bool
    workers_max: int
    damaged: Sequence[Path]


async def open_pool(settings: SiteSettings, directory: Path) -> OpenPool:
    """Take over what an earlier agent left in the folder.

    Raises:
        InvalidError: HTCondor's bindings are not installed.
        UnavailableError: the disk refuses.
    """
    workers_max = settings.workers_max or WORKERS_MAX[settings.pool]
    if settings.pool == HTCONDOR:
        return await _open_condor(settings, directory, workers_max)
    described = await anyio.to_thread.run_sync(_describe_processes, settings, directory)
    pool = await ProcessPool.open(directory, described)

    async def close() -> None:
        pool.close()

    return OpenPool(pool, close, find_container_tool(settings) is not None, workers_max, pool.damaged)


async def _open_condor(settings: SiteSettings, directory: Path, workers_max: int) -> OpenPool:
    try:
        from muster.site.adapters.htcondor.folder import Workers
        from muster.site.adapters.htcondor.hold_policy import HoldPolicy
        from muster.site.adapters.htcondor.inquiry import ask_bindings
        from muster.site.adapters.htcondor.keeping import KeepingRules
        from muster.site.adapters.htcondor.pool import CondorPool
        from muster.site.adapters.htcondor.rules import Rules
        from muster.site.adapters.htcondor.schedd import Schedd
    except ModuleNotFoundError as error:
        reason = f"is 'htcondor', and {error.name} is not installed: pip install 'muster-compute[site]'"
        raise InvalidError([Finding("pool", reason)]) from error
    _raise_open_files()
    bundle = await anyio.to_thread.run_sync(_place_bundle, directory / "bundle")
    ca_file = os.environ.get(worker_settings.CA_FILE)
    pool = await CondorPool.open(
        directory / HTCONDOR,
        Schedd(settings.condor_schedd),
        Rules(
            read_policy(settings),
            Workers(
                _list_for_remote(settings, has_ca=bool(ca_file)),
                bundle,
                site=settings.name,
                hidden=_list_hidden(settings, directory),  # execution point and access point may be one machine
                ca_file=Path(ca_file) if ca_file else None,
                private=[*_list_own(settings, directory), ask_bindings().tokens, *_list_keys()],
                inputs=list(map(Path, settings.input_folders)),
            ),
            holds=HoldPolicy(
                holds_max=settings.worker_starts_max,
                first_s=settings.worker_restart_s,
                delay_s_max=settings.worker_restart_s_max,
            ),
            keeping=KeepingRules(
                packed_after_s=settings.condor_packed_after_s,
                kept_s=settings.condor_kept_s,
                bytes_max=settings.condor_kept_mib << 20,
            ),
            truth_s=settings.condor_truth_s,
        ),
    )
    has_containers = settings.containers != worker_settings.NONE
    return OpenPool(pool, pool.close, has_containers, workers_max, pool.damaged)


def read_policy(settings: SiteSettings) -> "Policy":
    """What the operator says of an HTCondor pool."""
    from muster.site.adapters.htcondor.describe import Policy

    return Policy(
        agent=settings.name,
        starts_max=settings.worker_starts_max,
        vacate_s=settings.condor_vacate_s,
        lease_s=settings.condor_lease_s,
        factory_from=settings.condor_factory_from,
        materialized_max=settings.condor_idle_max,
        requirements=settings.condor_requirements,
        excluded_sites=settings.condor_excluded_sites,
        accounting_group=settings.condor_accounting_group,
        accounting_user=settings.condor_accounting_user,
        worker_image=settings.condor_worker_image,
        attributes=settings.condor_attributes,
    )


def _raise_open_files() -> None:
    """Each cluster's log is an open file: take as many as this process may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems have a limit beside that
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _list_for_remote(settings: SiteSettings, *, has_ca: bool) -> dict[str, str]:
    """What workers are told that run at another machine. Paths are those of their folder."""
    from muster.site.adapters.htcondor import launcher

    tool = {} if settings.containers is None else {worker_settings.CONTAINERS: settings.containers}
    images = {} if settings.image_dir is None else {worker_settings.IMAGE_DIR: str(settings.image_dir)}
    authority = {worker_settings.CA_FILE: launcher.CA} if has_ca else {}
    return {
        worker_settings.URL: settings.url,
        worker_settings.ENROL_FILE: launcher.ENROL,
        worker_settings.DIR: launcher.WORK_FOLDER,
        worker_settings.INPUT_DIR: launcher.INPUT_FOLDER,
        worker_settings.GRACE_S: f"{settings.stop_grace_s:g}",
        **_list_for_all(settings),
        **tool,
        **images,
        **authority,
    }


def _list_for_all(settings: SiteSettings) -> dict[str, str]:
    """What workers are told, wherever they are."""
    return {
        worker_settings.OFFLINE_S: f"{settings.worker_offline_s:g}",
        worker_settings.MOUNTS_ALLOWED: ",".join(settings.mounts),
        worker_settings.ISOLATION: settings.isolation,
        worker_settings.WRITABLE: ",".join(settings.writable) or worker_settings.NONE,
        worker_settings.IMAGES_KEPT_S: f"{settings.images_kept_s:g}",
    }


def find_container_tool(settings: SiteSettings) -> str | None:
    """The program with which the workers of this machine run images; None: they run none."""
    found = find_tool(settings.containers, os.environ)
    return None if found is None else found[1]


def _describe_processes(settings: SiteSettings, directory: Path) -> WorkerSettings:
    """What workers are told; the bundle is built here, once, so that a start costs nothing but the process."""
    tool = find_container_tool(settings) or worker_settings.NONE
    bwrap = shutil.which(worker_settings.BWRAP)
    images = {} if settings.image_dir is None else {worker_settings.IMAGE_DIR: str(settings.image_dir.resolve())}
    return WorkerSettings(
        command=(sys.executable, "-I", "-S", str(_place_bundle(directory / "bundle"))),
        environment={
            worker_settings.URL: settings.url,
            worker_settings.SITE: settings.name,
            worker_settings.GRACE_S: f"{settings.stop_grace_s:g}",
            worker_settings.CONTAINERS: tool,
            worker_settings.HIDDEN: ",".join(_list_hidden(settings, directory)),
            **_list_for_all(settings),
            **images,
        },
        restart=RestartPolicy(
            starts_max=settings.worker_starts_max,
            first_s=settings.worker_restart_s,
            delay_s_max=settings.worker_restart_s_max,
            healthy_s=settings.worker_healthy_s,
        ),
        leave_s=settings.stop_grace_s + LEAVE_S,
        programs=() if bwrap is None else (str(Path(bwrap).absolute().parent),),
        inputs=list(map(Path, settings.input_folders)),
    )


def _list_own(settings: SiteSettings, directory: Path) -> list[Path]:
    """What is the agent's alone."""
    return [directory, settings.token_file, *filter(None, [settings.oidc_client_secret_file])]


def _list_keys() -> list[Path]:
    """Where programs keep the keys of the agent's user: nobody's input, whatever folders the operator lists."""
    with contextlib.suppress(RuntimeError):  # a user without a home
        return [Path.home() / name for name in (".condor", ".ssh", ".gnupg", ".netrc", ".aws", ".docker")]
    return []


def _list_hidden(settings: SiteSettings, directory: Path) -> list[str]:
    """What isolated tasks do not see."""
    own = (str(path.resolve()) for path in _list_own(settings, directory))
    hidden = dict.fromkeys([*settings.hidden, *own])
    for path in hidden:
        if "," in path:  # the worker is told the list with commas in between
            log.warning("isolated tasks will see this path, for there is a comma in it", path=path)
    return [path for path in hidden if "," not in path]


def _place_bundle(folder: Path) -> Path:
    """Build the worker's file under a name of its content: running workers go on reading the one they began with."""
    with disk_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = folder / "draft.pyz"
        build_bundle(draft)
        place = folder / f"muster-worker-{hashlib.sha256(draft.read_bytes()).hexdigest()[:16]}.pyz"
        draft.replace(place)
        return place
