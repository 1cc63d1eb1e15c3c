"""How are single workers of a cluster held, released and removed? Plain calls, one at a time for a cluster, as those of `cluster`.

What is wanted is written down before a worker is asked: whatever is cut off, the next agent goes on with it.
"""

from collections.abc import Collection

import msgspec

from muster.domain.worker_order import OrderAction
from muster.site.adapters.processes.cluster import LocalCluster, Worker
from muster.site.adapters.processes.folder import REMOVED


def act(cluster: LocalCluster, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
    """See `Pool.act`. Raises OSError."""
    done = 0
    for worker in cluster.workers:
        if procs and worker.number not in procs:
            continue
        match action:
            case OrderAction.HOLD:
                done += _hold(cluster, worker, reason)
            case OrderAction.RELEASE:
                done += _release(cluster, worker)
            case OrderAction.REMOVE:
                done += _remove(cluster, worker)
            case OrderAction.LOGS:
                raise ValueError("logs are read, and nothing is done for them")
    return done


def _hold(cluster: LocalCluster, worker: Worker, reason: str) -> bool:
    if worker.state.is_over:
        return False
    worker.due = None
    is_asked = worker.state.is_asked or worker.handle is not None
    cluster.note(worker, msgspec.structs.replace(worker.state, held=reason, is_asked=is_asked))
    cluster.ask_alone(worker)
    return True


def _release(cluster: LocalCluster, worker: Worker) -> bool:
    state = worker.state
    if state.held is None or state.end is not None:
        return False
    cluster.note(worker, msgspec.structs.replace(state, held=None))
    if worker.handle is None:  # otherwise it is due once its process has ended
        worker.due = 0.0
    return True


def _remove(cluster: LocalCluster, worker: Worker) -> bool:
    if worker.state.end is not None or worker.state.is_leaving:
        return False
    worker.due = None
    if worker.handle is None:
        cluster.end(worker, REMOVED, None)
        return True
    cluster.note(worker, msgspec.structs.replace(worker.state, is_leaving=True, held=None))
    cluster.ask_alone(worker)
    return True
