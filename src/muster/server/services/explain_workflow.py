"""Why is a workflow not (or no longer) running? All that the database knows, in one snapshot, for `domain.explanation` to judge."""

from collections.abc import Mapping, Sequence

from muster.domain.explanation import Explanation, WorkflowCase, explain
from muster.domain.location import Agent, list_upstreams
from muster.domain.queue import Counts, Queue
from muster.domain.stall import StallCase
from muster.domain.taskforce_phase import ENDING, Phase
from muster.domain.taskforce_reason import TaskforceCase, count_up, is_over, is_working
from muster.domain.workflow import TaskDirective
from muster.server.ports.store import Transaction
from muster.server.services.explain_room import RoomLook
from muster.server.services.find_displaced import make_displacement_finder
from muster.server.services.finish_drained import BY
from muster.server.services.parts import Parts

CASES_MAX = 50
"""Taskforces that one answer explains."""
DEATHS_MAX = 20


async def explain_workflow(parts: Parts, workflow_id: str, *, names_owners: bool = False) -> Explanation:
    """Why it is as it is. `names_owners`: of what it waits for, too. Raises NotFoundError."""
    return await parts.store.read(lambda tx: explain(_look(tx, parts, workflow_id, names_owners=names_owners)))


def _look(tx: Transaction, parts: Parts, workflow_id: str, *, names_owners: bool) -> WorkflowCase:
    workflow = tx.workflows.get(workflow_id)
    queues = tx.queues.list_of_workflow(workflow_id)
    numbers = [queue.number for queue in queues]
    inputs = [queue.number for queue in queues if queue.is_input]
    counts = tx.queues.counts(numbers) if numbers else {}
    sessions = tx.holders.count_live(workflow_id)
    taskforces = tx.taskforces.list_of_workflow(workflow_id)
    servers = {one.name: one.agent for one in parts.locations.values()}
    workers = {
        one.taskforce_uuid: count_up(one, sessions.get(one.taskforce_uuid, 0), servers.get(one.location))
        for one in taskforces
    }
    find_displacement = make_displacement_finder(tx, parts.locations)
    work = _count_tasks(tx.workflows.list_directives(workflow_id), queues, counts)
    stall = StallCase(
        workflow=workflow,
        queues=queues,
        counts=counts,
        workers=sum(workers.values()),
        find_taskforces=lambda: taskforces,
        has_ready=lambda: tx.queues.has_ready(inputs),
        find_next_due=lambda: tx.queues.find_next_due(inputs),
        upstreams=list_upstreams(parts.locations),
        find_displacement=find_displacement,
    )
    room = RoomLook(tx, parts, workflow, taskforces, find_displacement)
    return WorkflowCase(
        stall=stall,
        at=tx.now(),
        workers=workers,
        cases=_list_cases(stall, room, workers, servers, work, names_owners=names_owners),
        deaths=tx.events.list_deaths(inputs, limit=DEATHS_MAX) if stall.total.dead else (),
        ended_itself=workflow.ended_by == BY,
        kept=room.find_kept(queues, counts),
        find_failure=lambda: next((one.fingerprint for one in tx.events.list_errors(inputs, limit=1)), None),
    )


def _count_tasks(
    directives: Sequence[TaskDirective], queues: Sequence[Queue], counts: Mapping[int, Counts]
) -> Mapping[str, Counts]:
    """What each task has before it and behind it."""
    by_id = {queue.queue_id: counts[queue.number] for queue in queues}
    return {one.task_id: sum((by_id[queue] for queue in one.input_queues), Counts()) for one in directives}


def _list_cases(
    stall: StallCase,
    room: RoomLook,
    workers: Mapping[str, int],
    servers: Mapping[str, Agent],
    work: Mapping[str, Counts],
    *,
    names_owners: bool,
) -> list[TaskforceCase]:
    """Those that are not at work, held ones first; and one of each task that has none left for its events.

    Args:
        workers: those that are up, by taskforce.
        servers: whose location it is, by name.
        work: by task.
        names_owners: of what they wait for, too.
    """
    tx, workflow, taskforces = room.tx, stall.workflow, stall.taskforces
    served = {one.task_id for one in taskforces if one.phase not in ENDING}
    left = {task for task, ones in work.items() if workflow.is_active and ones.waiting and task not in served}
    over = (one for one in taskforces if one.phase is Phase.CONDOR_COMPLETE)
    missed = {one.task_id: one.taskforce_uuid for one in over if one.task_id in left}
    chosen = [
        one
        for one in taskforces
        if not is_working(one, workers[one.taskforce_uuid])
        and (not is_over(one) or one.cluster_id is None or one.taskforce_uuid in missed.values())
    ]
    chosen = sorted(chosen, key=lambda one: (is_over(one), one.held_reason is None))[:CASES_MAX]
    logs = tx.taskforces.list_log([one.taskforce_uuid for one in chosen]) if chosen else {}
    asks = tx.askings.find(locations={one.location for one in chosen}, schedds={one.schedd for one in chosen})
    is_new = any(one.phase is Phase.PRE_MQ_ACTIVATION for one in chosen)
    no_room = room.explain_no_room(names_owners=names_owners) if is_new else None
    free = {one.task_id for one in stall.free}
    return [
        TaskforceCase(
            taskforce=one,
            log=logs.get(one.taskforce_uuid, ()),
            workers=workers[one.taskforce_uuid],
            server=servers.get(one.location),
            asks=asks,
            has_worked=work[one.task_id].done + work[one.task_id].failed > 0,
            is_needed=one.task_id in missed,
            has_others=one.task_id in free,
            no_room=no_room,
            displacement=stall.find_displacement(one),
            is_drained=workflow.lets_workers_go,
        )
        for one in chosen
    ]
