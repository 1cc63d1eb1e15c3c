"""`muster worker hold`, `release`, `remove`, `logs`: what is to become of single workers, and what have they written?"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from cyclopts import Parameter

from muster.cli.console import put, put_block, put_data, put_fields, put_json, render_count, render_time, say
from muster.cli.failure import OK, UsageError
from muster.cli.lookup import check_taskforce_uuid
from muster.cli.remedies import say_next
from muster.cli.service import HERE, Service, connect
from muster.cli.worker_names import Chosen, find_workers
from muster.client.shapes.worker_orders import OrderWorkers, WorkerOrderView
from muster.client.synchronous import Client
from muster.domain.errors import ConflictError, NotFoundError, UnavailableError
from muster.domain.size import render_size
from muster.domain.worker_order import LOG_BYTES_MAX, PAST, OrderAction, OrderState, render_procs

WAIT_S = 30.0
_PARK_S = 20.0
_SO_ALREADY: Mapping[OrderAction, str] = {
    OrderAction.HOLD: "held",
    OrderAction.RELEASE: "not held",
    OrderAction.REMOVE: "removed",
}
_TF = "TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d"
EXAMPLES: Mapping[OrderAction, str] = {
    OrderAction.HOLD: f"""Examples:
  muster worker hold latest 3 --reason "its disk is full"
  muster worker hold {_TF} 0-9 12
  muster worker hold latest 12.3@c7.example.org
  muster worker hold {_TF} --all --wait 0""",
    OrderAction.RELEASE: f"""Examples:
  muster worker release latest 3
  muster worker release {_TF} --all""",
    OrderAction.REMOVE: f"""Examples:
  muster worker remove latest 3 --reason "its machine is odd"
  muster worker remove {_TF} 0-9

All of a workflow's: muster workflow abort. More of them: muster task add-workers""",
    OrderAction.LOGS: f"""Examples:
  muster worker logs latest 3
  muster worker logs {_TF} 0 --stream stderr
  muster worker logs latest 12.3@c7.example.org --json | jq -r '.logs[].name'

What the task of a failed event printed: muster event logs""",
}
EXAMPLE_OF_ORDER = f"Example:\n  muster worker order {_TF} WO-0123456789abcdef"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """How something is asked for workers."""

    all_: bool = False
    """All of the taskforce's."""
    reason: str = ""
    """Why; it stands in the taskforce's log and in the pool's."""
    wait: float = WAIT_S
    """Seconds to wait for the site's agent to say that it is done."""


PLAINLY = How()


def hold(of: str, /, *workers: str, wanted: How = PLAINLY, service: Service = HERE) -> int:
    """Hold workers: each ends what it has in hand, leaves, and is not started again until it is released.

    Args:
        of: a taskforce's uuid, or a workflow (its id, or `latest`).
        workers: which: 3, 0-9, 1,4, or as `muster worker list` names them.
    """
    return _order(OrderAction.HOLD, of, workers, wanted, service)


def release(of: str, /, *workers: str, wanted: How = PLAINLY, service: Service = HERE) -> int:
    """Release held workers, whatever they are held for: they wait for their next start.

    Args:
        of: a taskforce's uuid, or a workflow (its id, or `latest`).
        workers: which: 3, 0-9, 1,4, or as `muster worker list` names them.
    """
    return _order(OrderAction.RELEASE, of, workers, wanted, service)


def remove(of: str, /, *workers: str, wanted: How = PLAINLY, service: Service = HERE) -> int:
    """Remove workers for good: each ends what it has in hand and leaves; the others go on.

    Args:
        of: a taskforce's uuid, or a workflow (its id, or `latest`).
        workers: which: 3, 0-9, 1,4, or as `muster worker list` names them.
    """
    return _order(OrderAction.REMOVE, of, workers, wanted, service)


def logs(of: str, worker: str, /, *, stream: str | None = None, wait: float = WAIT_S, service: Service = HERE) -> int:
    """Show what a worker wrote, and what its pool wrote of it: the end of each, fetched from its site now.

    Of a worker that HTCondor has started more than once there is also what an earlier start wrote that failed (stderr-before).

    Args:
        of: a taskforce's uuid, or a workflow (its id, or `latest`).
        worker: its number, or as `muster worker list` names it.
        stream: only this one (stderr, stdout, or events, which are the pool's), as it is; on a terminal its control characters are shown.
        wait: seconds to wait for the site's agent.
    """
    with connect(service) as client:
        chosen = find_workers(client, of, [worker])
        if len(chosen.procs) != 1:
            raise UsageError(f"worker: {worker!r} names {len(chosen.procs)}: the logs of one at a time are fetched")
        order = _ask(client, chosen, OrderWorkers(OrderAction.LOGS, chosen.procs), wait_s=wait)
    _require_answer(order, chosen)
    if service.json:
        put_json(order)
    elif stream is not None:
        _put_stream(order, stream)
    elif order.logs:
        put(f"{order.taskforce_uuid}, worker {order.procs[0]} ({chosen.taskforce.cluster_id}.{order.procs[0]})")
        for one in order.logs:
            put_block(f"{one.name} ({_render_size(one.text, one.size_bytes)})", one.text)
    else:
        say(
            f"{render_procs(order.procs)} of {order.taskforce_uuid} has written nothing, or nothing of it came back yet"
        )
    return OK


def order(taskforce: str, order: str, /, *, service: Service = HERE) -> int:
    """Show what came of what was asked for workers before, for a day.

    Args:
        taskforce: its uuid.
        order: its id, as it was told when it was asked for.
    """
    with connect(service) as client:
        found = client.get_worker_order(check_taskforce_uuid(taskforce), order)
    if service.json:
        put_json(found)
        return OK
    put_fields(
        [
            ("order", found.order_id),
            ("taskforce", found.taskforce_uuid),
            ("what", f"{found.action} {render_procs(found.procs)}"),
            ("asked", f"{render_time(found.asked_at)} by {found.asked_by}"),
            *([("reason", found.reason)] if found.reason else []),
            ("state", found.state),
            *([("done", found.done)] if found.state == OrderState.DONE else []),
            *([("error", found.error)] if found.error else []),
        ]
    )
    for one in found.logs:
        put_block(f"{one.name} ({_render_size(one.text, one.size_bytes)})", one.text)
    return OK


def _order(action: OrderAction, of: str, workers: tuple[str, ...], how: How, service: Service) -> int:
    if bool(workers) == how.all_:
        raise UsageError(
            f"say which workers to {action}: their numbers, or --all" if not how.all_ else "--all goes without numbers"
        )
    with connect(service) as client:
        chosen = find_workers(client, of, workers)
        order = _ask(client, chosen, OrderWorkers(action, chosen.procs, how.reason), wait_s=how.wait)
    if service.json:
        put_json(order)
    if order.state == OrderState.WAITING and how.wait <= 0:
        if not service.json:
            say(f"the agent {chosen.taskforce.claim_agent} is asked to {action} {render_procs(order.procs)}")
            say_next([f"muster worker order {order.taskforce_uuid} {order.order_id}    # what came of it"], service)
        return OK
    _require_answer(order, chosen)
    if not service.json:
        put(_render_done(order, action))
    return OK


def _ask(client: Client, chosen: Chosen, wanted: OrderWorkers, *, wait_s: float) -> WorkerOrderView:
    """Place the order and wait for what comes of it. Raises UsageError for a time that is none."""
    if not 0 <= wait_s < math.inf:
        raise UsageError(f"--wait: {wait_s:g} is no number of seconds to wait")
    order = client.order_workers(chosen.taskforce.taskforce_uuid, wanted)
    deadline = time.monotonic() + wait_s
    while order.state == OrderState.WAITING and (left_s := deadline - time.monotonic()) > 0:
        order = client.get_worker_order(order.taskforce_uuid, order.order_id, wait_s=min(left_s, _PARK_S))
    return order


def _require_answer(order: WorkerOrderView, chosen: Chosen) -> None:
    """Raises ConflictError: the agent could not; UnavailableError: it has not answered."""
    agent, uuid = chosen.taskforce.claim_agent, order.taskforce_uuid
    if order.state == OrderState.FAILED:
        raise ConflictError(
            f"the agent {agent} could not {order.action} {render_procs(order.procs)} of {uuid}: {order.error}"
        )
    if order.state == OrderState.WAITING:
        raise UnavailableError(
            f"the agent {agent} has not answered yet; what was asked for stands for five minutes: "
            f"`muster worker order {uuid} {order.order_id}` shows what comes of it, `muster location list` whether the agent is there"
        )
    if order.state == OrderState.EXPIRED:
        raise UnavailableError(
            f"the agent {agent} has not answered in time, and nothing is done any more: is it there? `muster location list`"
        )


def _render_done(order: WorkerOrderView, action: OrderAction) -> str:
    told = f"{render_count(order.done, 'worker')} of {order.taskforce_uuid} {PAST[action]}"
    left = len(order.procs) - order.done
    if order.procs and left:
        told += (
            f"; {left} of those that were named {'is' if left == 1 else 'are'} gone, or {_SO_ALREADY[action]} before"
        )
    return told


def _put_stream(order: WorkerOrderView, stream: str) -> None:
    for one in order.logs:
        if one.name == stream:
            put_data(one.text.encode())
            return
    known = ", ".join(one.name for one in order.logs) or "none"
    raise NotFoundError(
        f"there is no {stream} of {render_procs(order.procs)} of {order.taskforce_uuid} at its site; there is: {known}"
    )


def _render_size(text: str, size_bytes: int) -> str:
    is_whole = size_bytes <= LOG_BYTES_MAX and len(text.encode()) >= size_bytes
    return render_size(size_bytes) if is_whole else f"of {render_size(size_bytes)} the end"
