"""Why can nothing of a workflow move? The cause first that somebody can do something about.

The one place that judges it: `watch` shows the sentence alone, `muster workflow explain` all of it (`domain.explanation`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from shlex import quote

from muster.domain.queue import Counts, Queue, sum_inputs
from muster.domain.reason import Cause, Party, Reason
from muster.domain.taskforce_phase import ENDING, Phase
from muster.domain.workflow import Taskforce, Workflow

TASKS_MAX = PLACES_MAX = 3
"""Tasks, and places, that one sentence names."""
LET_IN_S = 5.0
"""A workflow for which there is room is let in much sooner."""


def explain_stall(
    workflow: Workflow,
    queues: Sequence[Queue],
    counts: Mapping[int, Counts],
    workers: int,
    *,
    has_ready: Callable[[], bool],
    find_next_due: Callable[[], float | None],
    list_taskforces: Callable[[], Sequence[Taskforce]],
    upstreams: Collection[str] = (),
    find_displacement: Callable[[Taskforce], str | None] = lambda _: None,
    now: float | None = None,
    find_obstacle: Callable[[], str | None] = lambda: None,
) -> str | None:
    """`find_stall`, in one sentence."""
    stall = find_stall(
        workflow,
        queues,
        counts,
        workers,
        has_ready=has_ready,
        find_next_due=find_next_due,
        list_taskforces=list_taskforces,
        upstreams=upstreams,
        find_displacement=find_displacement,
        now=now,
        find_obstacle=find_obstacle,
    )
    return None if stall is None else stall.text


def find_stall(
    workflow: Workflow,
    queues: Sequence[Queue],
    counts: Mapping[int, Counts],
    workers: int,
    *,
    has_ready: Callable[[], bool],
    find_next_due: Callable[[], float | None],
    list_taskforces: Callable[[], Sequence[Taskforce]],
    upstreams: Collection[str] = (),
    find_displacement: Callable[[Taskforce], str | None] = lambda _: None,
    now: float | None = None,
    find_obstacle: Callable[[], str | None] = lambda: None,
) -> Reason | None:
    """Why nothing can move; None when something can, or will in a moment.

    Args:
        has_ready: could a worker take an event now? Asked only where workers wait.
        find_next_due: when can one take the first of those that wait for their next attempt? Asked only where `has_ready` says no.
        list_taskforces: all of them; asked only where they may be the cause, since there may be thousands.
        upstreams: locations that upstream's agent serves.
        find_displacement: why can no agent take it (`domain.displacement`)? Asked only of those that none has taken.
        now: seconds since the epoch, where nobody else tells of workflows that wait to be let in.
        find_obstacle: why was this one not let in lately, as half a sentence, where that is known? Asked only where it waits for that.
    """
    total = sum_inputs(queues, counts)
    explain_not_taken = partial(_explain_not_taken, upstreams=upstreams, find_displacement=find_displacement)
    if not workflow.is_active or total.in_work:
        return None
    if total.waiting and upstreams and (places := _list_direct(list_taskforces(), upstreams)):
        return _explain_not_bridged(workflow, queues, counts, places)
    if total.waiting and workers:
        # Nothing is in work though workers are up: those that could take what waits are not among them, perhaps.
        return _find_held_task(list_taskforces()) if has_ready() else _explain_pause(workflow, find_next_due())
    if total.published == 0 and upstreams and is_direct(list_taskforces(), upstreams):
        return _explain_no_worker(total, list_taskforces(), upstreams, explain_not_taken, now, find_obstacle)
    if total.waiting == 0:
        no_input = _explain_no_input(workflow, queues, total)
        return no_input if total.published else _explain_before(no_input, list_taskforces(), now, find_obstacle)
    return _explain_no_worker(total, list_taskforces(), upstreams, explain_not_taken, now, find_obstacle)


def is_direct(taskforces: Sequence[Taskforce], upstreams: Collection[str]) -> bool:
    """Do its workers get their events from the broker, past this service? Upstream's do, and a workflow has no others beside them."""
    return bool(_list_direct(taskforces, upstreams))


def _list_direct(taskforces: Sequence[Taskforce], upstreams: Collection[str]) -> Sequence[str]:
    return sorted({one.location for one in taskforces if one.location in upstreams})


def _explain_not_bridged(
    workflow: Workflow, queues: Sequence[Queue], counts: Mapping[int, Counts], places: Sequence[str]
) -> Reason:
    """Whatever becomes of its workers, nobody comes for these events."""
    filled = [(one.alias, counts[one.number].waiting) for one in queues if one.is_input and counts[one.number].waiting]
    waiting, here = sum(number for _, number in filled), workflow.workflow_id
    wait = "1 event was published here and waits" if waiting == 1 else f"{waiting} events were published here and wait"
    who = f"the pilots at {', '.join(places)} read from the broker"
    text = f"{wait}, but {who}, and nothing is carried there in this version: publish to the broker instead"
    remedies = [
        line
        for alias, _ in filled
        for line in (
            f"muster event export {here} {quote(alias)} --state waiting > {quote(f'{alias}.jsonl')}    # what waits here",
            f"muster token queue {here} {quote(alias)} --json    # where to publish it: the queue on the broker, and a token for it",
        )
    ]
    return Reason(Cause.NOT_BRIDGED, text, Party.PERSON, remedies=tuple(remedies))


def _explain_pause(workflow: Workflow, due: float | None) -> Reason:
    when = "" if due is None else f", the next at {datetime.fromtimestamp(due, UTC):%H:%M:%S} UTC"
    look = f"muster workflow errors {workflow.workflow_id}"
    text = f"all that waits failed before, and is tried again after a pause{when}: {look}"
    return Reason(Cause.PAUSED, text, Party.TIME, remedies=(look,))


def _explain_before(
    no_input: Reason | None, every: Sequence[Taskforce], now: float | None, find_obstacle: Callable[[], str | None]
) -> Reason | None:
    """Before anybody publishes what could not, or not yet, be worked on. `no_input`: what is told of that there are no events."""
    if (held := _find_held_task(every)) is not None:
        return held
    tried = [one for one in every if one.phase not in ENDING]
    no_room = _find_want_of_room(tried, now, find_obstacle)
    if no_input is None or no_room is None:
        return no_input or no_room
    return replace(no_input, text=f"{no_input.text}; {no_room.text}", remedies=(*no_input.remedies, *no_room.remedies))


def _explain_no_worker(
    total: Counts,
    every: Sequence[Taskforce],
    upstreams: Collection[str],
    explain_not_taken: Callable[[Sequence[Taskforce]], Reason],
    now: float | None,
    find_obstacle: Callable[[], str | None],
) -> Reason | None:
    # Those that were told to stop before the workflow was reopened are no help, and no trouble either.
    taskforces = [one for one in every if one.phase not in ENDING]
    if taskforces and all(one.held_reason is not None for one in taskforces):
        return _find_held_task(taskforces)
    if not taskforces:
        events = f"{total.waiting} events wait, and " if total.waiting else ""
        text = f"{events}every taskforce has ended: add workers (muster workflow add-workers), or end the workflow"
        return Reason(Cause.NO_TASKFORCE, text, Party.PERSON)
    tried = [one for one in taskforces if one.held_reason is None]
    if (no_room := _find_want_of_room(tried, now, find_obstacle)) is not None:
        return no_room
    unclaimed = [one for one in tried if one.phase is Phase.PENDING_STARTER and one.claim_agent is None]
    submitted = any(one.phase is Phase.CONDOR_SUBMIT for one in taskforces)
    if unclaimed and not submitted:
        return explain_not_taken(unclaimed)
    if not submitted or is_direct(taskforces, upstreams):
        return None  # upstream's workers do not call: what their agent sees of them is all that is known
    return _explain_silence(total)


def _find_want_of_room(
    tried: Sequence[Taskforce], now: float | None, find_obstacle: Callable[[], str | None]
) -> Reason | None:
    """Do all that are tried wait to be let in, for longer than it takes where there is room?"""
    if now is None or any(one.phase is not Phase.PRE_MQ_ACTIVATION for one in tried):
        return None
    since = min((one.created_at for one in tried), default=now)
    if now - since <= LET_IN_S:
        return None
    look = f"muster workflow explain {tried[0].workflow_id}"
    why = "" if (obstacle := find_obstacle()) is None else f", as {obstacle}"
    return Reason(
        Cause.NO_ROOM, f"its workers wait to be let in{why}: {look}", Party.ACTIVATOR, since, remedies=(look,)
    )


def _find_held_task(every: Sequence[Taskforce]) -> Reason | None:
    """Is there a task that nobody can work on, whatever the others do?"""
    by_task: dict[str, list[Taskforce]] = {}
    for one in every:
        if one.phase not in ENDING:
            by_task.setdefault(one.task_id, []).append(one)
    held = {
        task_id: those[0].held_reason
        for task_id, those in by_task.items()
        if all(one.held_reason is not None for one in those)
    }
    if not held:
        return None
    if len(held) == len(by_task):
        text = "no taskforce can be started"
    else:
        text = f"nobody can work on {', '.join(sorted(held)[:TASKS_MAX])}: no taskforce of it can be started"
    return Reason(Cause.HELD, f"{text}: {(next(iter(held.values())) or '')[:500]}", Party.PERSON)


def _explain_silence(total: Counts) -> Reason:
    if total.done or total.failed:
        text = "no worker is up at the moment: those that ended are started again by their site"
        return Reason(Cause.NONE_UP, text, Party.SITE_AGENT)
    return Reason(Cause.NOT_CALLED, "the workers were submitted, and none has called yet", Party.WORKERS)


def _explain_not_taken(
    unclaimed: Sequence[Taskforce],
    *,
    upstreams: Collection[str],
    find_displacement: Callable[[Taskforce], str | None],
) -> Reason:
    displaced = {one.taskforce_uuid: why for one in unclaimed if (why := find_displacement(one)) is not None}
    if len(displaced) == len(unclaimed):
        why = "; ".join(sorted(set(displaced.values()))[:PLACES_MAX])
        return Reason(Cause.DISPLACED, f"nobody can take the workers: {why}", Party.PERSON)
    unclaimed = [one for one in unclaimed if one.taskforce_uuid not in displaced]
    places = ", ".join(sorted({one.location for one in unclaimed if one.location not in upstreams}))
    if places:
        text = f"no site agent has taken the workers yet: is `muster site` running for {places}?"
        return Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT)
    schedds = ", ".join(sorted({one.schedd for one in unclaimed}))
    text = f"upstream's agent has not taken the workers yet: is the task management service running at {schedds}?"
    return Reason(Cause.NOT_TAKEN, text, Party.UPSTREAM_AGENT)


def _explain_no_input(workflow: Workflow, queues: Sequence[Queue], total: Counts) -> Reason | None:
    entrances = [queue for queue in queues if queue.is_public and queue.is_input]
    waits_for = [queue.alias for queue in entrances if queue.closed_at is None]
    names, here = ", ".join(waits_for), workflow.workflow_id
    publish = [f"muster queue publish {here} {quote(alias)} FILE --close" for alias in waits_for]
    if total.published == 0 and waits_for:
        text = f"no events were published yet: publish into {names}"
        return Reason(Cause.NO_EVENTS, text, Party.PERSON, workflow.created_at, remedies=tuple(publish))
    if workflow.finish_when_done and waits_for:
        text = f"every event is done: publish more, or close {names} to finish the workflow"
        close = [f"muster queue close {here} {quote(alias)}" for alias in waits_for]
        return Reason(Cause.INPUTS_OPEN, text, Party.PERSON, remedies=(*publish, *close))
    if not workflow.finish_when_done and entrances and not waits_for:
        text = "every event is done and the inputs are closed: finish the workflow to release its workers"
        since = max((queue.closed_at for queue in entrances if queue.closed_at is not None), default=None)
        return Reason(Cause.INPUTS_CLOSED, text, Party.PERSON, since, remedies=(f"muster workflow finish {here}",))
    return None
