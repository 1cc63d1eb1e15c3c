"""Which cluster does an order ask for? Judged whole before anything is placed."""

import re
from collections import Counter
from pathlib import PurePath
from typing import Any

import msgspec

from muster.client.shapes.sites import StartOrder
from muster.domain.errors import RejectedError
from muster.domain.location import explain_no_containers
from muster.domain.size import parse_size
from muster.site.ports.pool import ClusterSpec, Request
from muster.worker.settings import find_fault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VALUE_BYTES_MAX = 100_000
"""Linux takes 128 KiB for one variable."""
ENVIRONMENT_BYTES_MAX = 1_000_000
GPUS = "MUSTER_TASK_GPUS"


class UnfitError(RejectedError):
    """The order can never be carried out here, whoever tries again."""


class _PilotConfig(msgspec.Struct):
    """The part of `pilot_config` that concerns the agent."""

    environment: dict[str, str | int | list[str]] = {}
    input_files: list[str] = []


class _WorkerConfig(msgspec.Struct):
    """`worker_config` as upstream's clients send it; the defaults are theirs."""

    n_cores: int = 1
    worker_memory: int | str = "512M"
    worker_disk: int | str = "1G"
    max_worker_runtime: int = 86_400
    priority: int = 0
    do_transfer_worker_stdouterr: bool = True
    condor_requirements: str = ""


def plan_cluster(order: StartOrder, *, workers_max: int, has_containers: bool) -> ClusterSpec:
    """Read an order.

    Args:
        workers_max: of one taskforce.
        has_containers: can the pool's workers run images?

    A list among the variables is joined by `;`, as upstream's queues are (tms.md 4.1).
    Raises UnfitError naming field, value and limit.
    """
    if order.task_image and not has_containers:
        raise UnfitError(explain_no_containers(order.task_image, order.location))
    if not 1 <= order.n_workers <= workers_max:
        raise UnfitError(
            f"n_workers {order.n_workers} is not in 1..{workers_max}: MUSTER_SITE_WORKERS_MAX of the agent at {order.location!r} is "
            f"{workers_max}, of one taskforce"
        )
    try:
        pilot = msgspec.convert(order.pilot_config, _PilotConfig)
    except msgspec.ValidationError as error:
        raise UnfitError(f"pilot_config: {error}") from error
    return ClusterSpec(
        n_workers=order.n_workers,
        secret=order.secret,
        fence=order.fence,
        environment=_read_environment(pilot.environment),
        input_files=_read_input_files(pilot.input_files),
        request=_read_request(order.worker_config, pilot.environment.get(GPUS, 0)),
    )


def _read_request(given: dict[str, Any], gpus: str | int | list[str]) -> Request:
    try:
        config = msgspec.convert(given, _WorkerConfig)
        memory, disk = (parse_size(str(text)) for text in (config.worker_memory, config.worker_disk))
    except (msgspec.ValidationError, ValueError) as error:
        raise UnfitError(f"worker_config: {error}") from error
    if not str(gpus).isdecimal():
        raise UnfitError(f"pilot_config.environment[{GPUS!r}]: {gpus!r} is no number of GPUs")
    return Request(
        n_cores=config.n_cores,
        memory_bytes=memory,
        disk_bytes=disk,
        gpus=int(str(gpus)),
        requirements=config.condor_requirements.strip(),
        priority=config.priority,
        runtime_s_max=config.max_worker_runtime,
        keeps_output=config.do_transfer_worker_stdouterr,
    )


def _read_environment(given: dict[str, str | int | list[str]]) -> dict[str, str]:
    environment = {name: ";".join(value) if isinstance(value, list) else str(value) for name, value in given.items()}
    for name, value in environment.items():
        where = f"pilot_config.environment[{name!r}]"
        if not _NAME.fullmatch(name):
            raise UnfitError(f"{where}: not a variable name; letters, digits and '_' only")
        if fault := find_fault(name, value):  # the service judged so, too, but perhaps one of another version
            raise UnfitError(f"{where}: {fault}")
        if "\0" in value:
            raise UnfitError(f"{where}: the value holds a NUL character")
        if (size := len(value.encode(errors="replace"))) > VALUE_BYTES_MAX:
            raise UnfitError(f"{where}: the value has {size} bytes, {VALUE_BYTES_MAX} are allowed; use an input file")
    if (size := sum(len(name) + len(value.encode(errors="replace")) for name, value in environment.items())) > (
        ENVIRONMENT_BYTES_MAX
    ):
        raise UnfitError(f"pilot_config.environment: {size} bytes in all, {ENVIRONMENT_BYTES_MAX} are allowed")
    return environment


def _read_input_files(given: list[str]) -> tuple[str, ...]:
    twice = [name for name, count in Counter(PurePath(path).name for path in given).items() if count > 1]
    if twice:
        raise UnfitError(f"input_files: two files are named {twice[0]!r}; a worker's folder can hold one of them")
    for path in given:
        if not PurePath(path).is_absolute() or "\0" in path:
            raise UnfitError(f"input_files: {path!r} is not an absolute path at this access point")
    return tuple(given)
