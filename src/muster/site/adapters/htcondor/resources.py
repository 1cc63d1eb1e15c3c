"""What may a worker ask of its machine, by which names is it asked, and how is an amount of it told?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from muster.domain.size import render_size


@dataclass(frozen=True)
class Resource:
    """One kind.

    Args:
        request: the attribute of a job that asks for it, in lower case.
        setting: where a user says how much.
        render: an amount in HTCondor's unit, as people read it.
        of: what it is an amount of; its words for one and for several, where it is counted.
        less: how one asks for not as much.
    """

    request: str
    setting: str
    render: Callable[[float], str]
    of: tuple[str, str]
    less: str

    def render_whole(self, amount: float) -> str:
        """With what it is an amount of: `4 cores`, `2 GiB of memory`."""
        return f"{self.render(amount)} {self.of[0 if amount == 1 else 1]}"


def _count(amount: float) -> str:
    return f"{amount:g}"


RESOURCES: Mapping[str, Resource] = {
    "gpus": Resource("requestgpus", "MUSTER_TASK_GPUS", _count, ("GPU", "GPUs"), "fewer"),
    "memory": Resource(
        "requestmemory", "worker_memory", lambda mib: render_size(int(mib) << 20), ("of memory", "of memory"), "less"
    ),
    "cpus": Resource("requestcpus", "n_cores", _count, ("core", "cores"), "fewer"),
    "disk": Resource(
        "requestdisk", "worker_disk", lambda kib: render_size(int(kib) << 10), ("of disk", "of disk"), "less"
    ),
}
"""By the attribute of a slot, in lower case."""

SETTINGS: Mapping[str, str] = {
    **{one.request: one.setting for one in RESOURCES.values()},
    "originaltime": "max_worker_runtime",
    "allowedexecuteduration": "max_worker_runtime",
    "jobprio": "priority",
    "acctgroup": "MUSTER_SITE_CONDOR_ACCOUNTING_GROUP",
    "accountinggroup": "MUSTER_SITE_CONDOR_ACCOUNTING_GROUP",
    "acctgroupuser": "MUSTER_SITE_CONDOR_ACCOUNTING_USER",
    "wantcontainer": "MUSTER_SITE_CONDOR_WORKER_IMAGE",
    "containerimage": "MUSTER_SITE_CONDOR_WORKER_IMAGE",
}
"""Attribute of a job → what decides it."""
