"""Which field is meant by a name that is none? One that stands a level deeper, or what other systems call by that name."""

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches

import msgspec

from muster.client.shapes.new_workflow import NewTask, PilotConfig, WorkerConfig

_OF_WORKERS = {
    "cores": "n_cores",
    "cpus": "n_cores",
    "memory": "worker_memory",
    "disk": "worker_disk",
}
_OF_TASKS = {
    "args": "task_args",
    "command": "task_args",
    "env": "task_env",
    "environment": "task_env",  # rather than the pilot's
    "image": "task_image",
    "timeout": "timeout_s",
}


def _list_deeper(name: str, shape: type[msgspec.Struct]) -> dict[str, str]:
    return {one.encode_name: f"{name}.{one.encode_name}" for one in msgspec.structs.fields(shape)}


_MEANT: Mapping[type[msgspec.Struct], Mapping[str, str]] = {
    NewTask: {
        **_list_deeper("pilot_config", PilotConfig),
        **_list_deeper("worker_config", WorkerConfig),
        **{name: f"worker_config.{field}" for name, field in _OF_WORKERS.items()},
        **_OF_TASKS,
    },
    WorkerConfig: _OF_WORKERS,
}


def find_meant(name: str, shape: type[msgspec.Struct]) -> str | None:
    """The path, from the shape on, of the field that a name which the shape does not have stands for; None where nobody knows."""
    return _MEANT.get(shape, {}).get(name.lower().replace("-", "_"))


def list_misspelt(names: Iterable[str], shape: type[msgspec.Struct]) -> Iterator[tuple[str, str | None]]:
    """Those of the names that no such object has, each once, with the name that is nearest to it; None where none is near."""
    known = [one.encode_name for one in msgspec.structs.fields(shape)]
    for name in dict.fromkeys(names):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            yield name, near[0] if near else None
