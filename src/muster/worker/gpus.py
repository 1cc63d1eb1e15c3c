"""Which GPUs does a task see? Those that the pool gave its worker, divided among the slots. NVIDIA's, as CUDA names them."""

from __future__ import annotations

import os
import re
from typing import List, Mapping, Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The pool's word to the worker, and the worker's to a task that sees all devices."""

_NONE = frozenset({"", "-1", "none", "void", "NoDevFiles"})
_DEVICE = re.compile(r"nvidia([0-9]+)")


def find_gpus(wanted: int, environ: Mapping[str, str], *, proc: int, devices: str = "/dev") -> List[str]:
    """The worker's GPUs, by index or uuid.

    Where the pool has given it some, all of these; else as many as are wanted of the machine's, each proc of a cluster beginning where the
    one before it ended.

    Args:
        wanted: at least; 0: none is looked for.
        devices: the folder of device files.

    Raises ValueError with a sentence when there are fewer.
    """
    if not wanted:
        return []
    given = environ.get(VISIBLE)
    if given is not None:
        gpus = [name for name in map(str.strip, given.split(",")) if name not in _NONE]
        where = f"{VISIBLE} is {given!r}"
    else:
        there = list_devices(devices)
        gpus = [there[(proc * wanted + place) % len(there)] for place in range(min(wanted, len(there)))]
        where = f"{VISIBLE} is not set, and {devices} has {len(there)}"
    if len(gpus) < wanted:
        raise ValueError(f"the task needs {wanted} (MUSTER_TASK_GPUS), and this worker has {len(gpus)}: {where}")
    return gpus


def divide(gpus: Sequence[str], *, slots: int) -> "List[List[str]]":
    """The GPUs of each slot. Where there are fewer than slots, each sees one, which others see as well."""
    if not gpus:
        return [[] for _ in range(slots)]
    return [list(gpus[slot::slots]) or [gpus[slot % len(gpus)]] for slot in range(slots)]


def list_devices(folder: str) -> List[str]:
    """The machine's, by index."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    return [str(number) for number in sorted(int(found.group(1)) for found in map(_DEVICE.fullmatch, names) if found)]
