"""Which workers are meant by the words on the command line? Those of one taskforce, by their numbers, or as `worker list` names them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muster.cli.failure import UsageError
from muster.cli.lookup import get_workflow_id
from muster.client.shapes.workflows import TaskforceView
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError
from muster.domain.ids import TASKFORCE_UUID
from muster.domain.worker_order import PROCS_MAX

_SPAN = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", re.ASCII)
_NAMED = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})(?:@.*)?", re.ASCII)
_HOW = "a worker is a number, like 3, several are 0-9 or 1,4, and `muster worker list` names one like 12.3@host"


@dataclass(frozen=True)
class Chosen:
    """Workers of one taskforce. `procs`: empty: all of them."""

    taskforce: TaskforceView
    procs: list[int]


def find_workers(client: Client, of: str, words: Sequence[str]) -> Chosen:
    """The workers that are meant.

    Args:
        of: a taskforce's uuid, or a workflow (its id, or `latest`) that has one taskforce, or that has the cluster that the words name.
        words: none: all.

    Raises NotFoundError, InvalidError; UsageError: it might be several taskforces.
    """
    clusters, procs = _read(words)
    if TASKFORCE_UUID.fullmatch(of) is not None:
        taskforce = client.get_taskforce(of)
    else:
        taskforce = _choose(client, get_workflow_id(client, of), clusters)
    if wrong := [one for one in clusters if one != taskforce.cluster_id]:
        reason = f"{wrong[0]} is not the cluster of {taskforce.taskforce_uuid}, which is {taskforce.cluster_id}"
        raise InvalidError([Finding("worker", reason)])
    return Chosen(taskforce, procs)


def _read(words: Sequence[str]) -> tuple[set[int], list[int]]:
    """The clusters and the procs that are named."""
    clusters: set[int] = set()
    procs: dict[int, None] = {}
    for word in (part for one in words for part in one.split(",")):
        if named := _NAMED.fullmatch(word):
            clusters.add(int(named[1]))
            procs[int(named[2])] = None
        else:
            procs |= dict.fromkeys(_read_span(word))
        if len(procs) > PROCS_MAX:
            raise InvalidError([Finding("worker", f"at most {PROCS_MAX} are named at once; --all means all of them")])
    return clusters, list(procs)


def _read_span(word: str) -> range:
    span = _SPAN.fullmatch(word)
    first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
    if last < first:
        raise InvalidError([Finding("worker", f"{word!r} names none: {_HOW}")])
    return range(first, min(last, first + PROCS_MAX) + 1)


def _choose(client: Client, workflow_id: str, clusters: set[int]) -> TaskforceView:
    view = client.get_workflow(workflow_id)
    fitting = [one for one in view.taskforces if not clusters or one.cluster_id in clusters]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(_list_known(view.taskforces))
    what = f"no taskforce with cluster {min(clusters)}" if clusters else f"{len(view.taskforces)} taskforces"
    raise UsageError(f"workflow {workflow_id} has {what}: name one of {known}")


def _list_known(taskforces: Sequence[TaskforceView]) -> Iterator[str]:
    for one in taskforces[:10]:
        yield f"{one.taskforce_uuid} (cluster {one.cluster_id or 'not known yet'}, {one.location})"
    if len(taskforces) > 10:
        yield f"and {len(taskforces) - 10} more: muster taskforce list"
