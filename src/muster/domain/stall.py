"""Why can nothing of a workflow move? The cause first that somebody can do something about.

The one place that judges it: `watch` shows the sentence alone, `muster workflow explain` all of it (`domain.explanation`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from shlex import quote

from muster.domain.brake import Brake
from muster.domain.queue import Counts, Queue, sum_inputs
from muster.domain.reason import Cause, Party, Reason
from muster.domain.taskforce_phase import ENDING, Phase
from muster.domain.taskforce_reason import explain_ended_workers, tell_why_they_wait
from muster.domain.workflow import Taskforce, Workflow

TASKS_MAX = PLACES_MAX = 3
"""Tasks, and places, that one sentence names."""
LET_IN_S = 5.0
"""A workflow for which there is room is let in much sooner."""


@dataclass(frozen=True)
class StallCase:
    """What is known of a workflow of which nothing may move. What is costly to find out is only asked where it may be the cause.

    Args:
        workers: those that are up.
        find_taskforces: all of its; there may be thousands.
        has_ready: could a worker take an event now? Asked only where workers wait.
        find_next_due: when can one take the first of those that wait for their next attempt? Asked only where `has_ready` says no.
        upstreams: locations that upstream's agent serves.
        find_displacement: why can no agent take it (`domain.displacement`)? Asked only of those that none has in hand.
        now: seconds since the epoch, where nobody else tells of workflows that wait to be let in.
        find_obstacle: why was this one not let in lately, as half a sentence, where that is known? Asked only where it waits for that.
    """

    workflow: Workflow
    queues: Sequence[Queue]
    counts: Mapping[int, Counts]
    workers: int
    find_taskforces: Callable[[], Sequence[Taskforce]]
    has_ready: Callable[[], bool] = lambda: True
    find_next_due: Callable[[], float | None] = lambda: None
    upstreams: Collection[str] = ()
    find_displacement: Callable[[Taskforce], str | None] = lambda _: None
    now: float | None = None
    find_obstacle: Callable[[], str | None] = lambda: None

    @cached_property
    def taskforces(self) -> Sequence[Taskforce]:
        """All of its."""
        return self.find_taskforces()

    @property
    def tried(self) -> Sequence[Taskforce]:
        """Without those that were told to stop before the workflow was reopened: they are no help, and no trouble either."""
        return [one for one in self.taskforces if one.phase not in ENDING]

    @property
    def free(self) -> Sequence[Taskforce]:
        """Those that are tried, and can be started."""
        return [one for one in self.tried if self.find_loss(one) is None]

    def find_loss(self, taskforce: Taskforce) -> tuple[Cause, str] | None:
        """Why nobody starts it until a person does something."""
        if taskforce.held_reason is not None:
            return Cause.HELD, taskforce.held_reason
        is_offered = taskforce.phase is Phase.PENDING_STARTER and taskforce.claim_until is None
        why = self.find_displacement(taskforce) if is_offered else None
        return None if why is None else (Cause.DISPLACED, why)

    @cached_property
    def total(self) -> Counts:
        """What the tasks have before them and behind them."""
        return sum_inputs(self.queues, self.counts)

    @property
    def places_direct(self) -> Sequence[str]:
        """Where its workers get their events from the broker, past this service: upstream's do."""
        if not self.upstreams:
            return ()
        return sorted({one.location for one in self.taskforces if one.location in self.upstreams})

    @property
    def is_direct(self) -> bool:
        """Do its events go from the broker to its workers? Where some do, all do, and none was published here."""
        return self.total.published == 0 and bool(self.places_direct)


def explain_stall(case: StallCase) -> str | None:
    """`find_stall`, in one sentence."""
    return None if (stall := find_stall(case)) is None else stall.text


def find_stall(case: StallCase) -> Reason | None:
    """Why nothing can move; None when something can, or will in a moment."""
    if not case.workflow.is_active:
        return None
    if case.workflow.brake is not None:
        return _explain_brake(case.workflow, case.workflow.brake, case.total)
    return None if case.total.in_work else _find_want(case)


def _find_want(case: StallCase) -> Reason | None:
    """What it lacks, though nobody stopped it, while nothing of it is at work."""
    total = case.total
    if total.waiting and (places := case.places_direct):
        return _explain_not_bridged(case, places)
    if total.waiting and case.workers:
        # Nothing is in work though workers are up: those that could take what waits are not among them, perhaps.
        return _find_lost_task(case) if case.has_ready() else _explain_pause(case)
    if total.waiting or case.is_direct:
        return _explain_no_worker(case)
    return _explain_no_input(case) if total.published else _explain_before(case)


def _explain_brake(workflow: Workflow, brake: Brake, total: Counts) -> Reason:
    """It would be so whatever else is in the way; what is at work may go on."""
    here = workflow.workflow_id
    resume = f"muster workflow resume {here}"
    if brake.has_tripped:
        text = f"it stopped itself: {brake.reason}"
        remedies: tuple[str, ...] = (
            f"muster workflow errors {here}",
            f"{resume}    # once the cause is mended, or to go on as it is",
        )
    else:
        text = f"it was {brake.state} by {brake.by}{f': {brake.reason}' if brake.reason else ''}"
        remedies = (resume,)
    if total.dead:
        dead = "event has" if total.dead == 1 else "events have"
        remedies = (*remedies, f"{resume} --dead-letters    # and try again the {total.dead} that {dead} died")
    return Reason(Cause.BRAKED, text, Party.PERSON, brake.at, brake.fingerprint, remedies)


def _explain_not_bridged(case: StallCase, places: Sequence[str]) -> Reason:
    """Whatever becomes of its workers, nobody comes for these events."""
    waits = [(one.alias, case.counts[one.number].waiting) for one in case.queues if one.is_input]
    filled = [alias for alias, waiting in waits if waiting]
    waiting, here = sum(number for _, number in waits), case.workflow.workflow_id
    wait = "1 event was published here and waits" if waiting == 1 else f"{waiting} events were published here and wait"
    who = f"the pilots at {', '.join(places)} read from the broker"
    text = f"{wait}, but {who}, and nothing is carried there in this version: publish to the broker instead"
    remedies = [
        line
        for alias in filled
        for line in (
            f"muster event export {here} {quote(alias)} --state waiting > {quote(f'{alias}.jsonl')}    # what waits here",
            f"muster token queue {here} {quote(alias)} --json    # where to publish it: the queue on the broker, and a token for it",
        )
    ]
    return Reason(Cause.NOT_BRIDGED, text, Party.PERSON, remedies=tuple(remedies))


def _explain_pause(case: StallCase) -> Reason:
    due = case.find_next_due()
    when = "" if due is None else f", the next at {datetime.fromtimestamp(due, UTC):%H:%M:%S} UTC"
    look = f"muster workflow errors {case.workflow.workflow_id}"
    text = f"all that waits failed before, and is tried again after a pause{when}: {look}"
    return Reason(Cause.PAUSED, text, Party.TIME, remedies=(look,))


def _explain_before(case: StallCase) -> Reason | None:
    """Before anybody publishes what could not, or not yet, be worked on."""
    if (lost := _find_lost_task(case)) is not None:
        return lost
    no_input, no_room = _explain_no_input(case), _find_want_of_room(case, case.free)
    if no_input is None or no_room is None:
        return no_input or no_room
    return replace(no_input, text=f"{no_input.text}; {no_room.text}", remedies=(*no_input.remedies, *no_room.remedies))


def _explain_no_worker(case: StallCase) -> Reason | None:
    total, taskforces, free = case.total, case.tried, case.free
    if taskforces and not free:
        return _find_lost_task(case)
    if not taskforces:
        events = f"{total.waiting} events wait, and " if total.waiting else ""
        text = f"{events}every taskforce has ended: add workers (muster workflow add-workers), or end the workflow"
        return Reason(Cause.NO_TASKFORCE, text, Party.PERSON)
    if (no_room := _find_want_of_room(case, free)) is not None:
        return no_room
    unclaimed = [one for one in free if one.phase is Phase.PENDING_STARTER and one.claim_agent is None]
    submitted = any(one.phase is Phase.CONDOR_SUBMIT for one in taskforces)
    if unclaimed and not submitted:
        return _explain_not_taken(case, unclaimed)
    if not submitted or case.is_direct:
        return None  # upstream's workers do not call: what their agent sees of them is all that is known
    return _explain_silence(total, taskforces)


def _find_want_of_room(case: StallCase, free: Sequence[Taskforce]) -> Reason | None:
    """Do all that are tried wait to be let in, for longer than it takes where there is room?"""
    if case.now is None or any(one.phase is not Phase.PRE_MQ_ACTIVATION for one in free):
        return None
    since = min((one.created_at for one in free), default=case.now)
    if case.now - since <= LET_IN_S:
        return None
    look = f"muster workflow explain {case.workflow.workflow_id}"
    why = "" if (obstacle := case.find_obstacle()) is None else f", as {obstacle}"
    return Reason(
        Cause.NO_ROOM, f"its workers wait to be let in{why}: {look}", Party.ACTIVATOR, since, remedies=(look,)
    )


def _find_lost_task(case: StallCase) -> Reason | None:
    """Is there a task that nobody can work on, whatever the others do? One whose taskforces are all held goes before others."""
    by_task: dict[str, list[tuple[Cause, str] | None]] = {}
    for one in case.tried:
        by_task.setdefault(one.task_id, []).append(case.find_loss(one))
    lost = {task_id: [one for one in those if one is not None] for task_id, those in by_task.items() if all(those)}
    held = {task_id: those for task_id, those in lost.items() if all(cause is Cause.HELD for cause, _ in those)}
    if not lost:
        return None
    named = held or lost
    of = "" if len(named) == len(by_task) else f"nobody can work on {', '.join(sorted(named)[:TASKS_MAX])}: "
    if held:
        what = "no taskforce of it can be started" if of else "no taskforce can be started"
        why = next(iter(held.values()))[0][1][:500]
        return Reason(Cause.HELD, f"{of}{what}: {why}", Party.PERSON)
    whys = {why for those in lost.values() for cause, why in those if cause is Cause.DISPLACED}
    what = "nobody can take its workers" if of else "nobody can take the workers"
    return Reason(Cause.DISPLACED, f"{of}{what}: {'; '.join(sorted(whys)[:PLACES_MAX])}", Party.PERSON)


def _explain_silence(total: Counts, taskforces: Sequence[Taskforce]) -> Reason:
    why = next(filter(None, map(tell_why_they_wait, taskforces)), None)
    silence = _tell_silence(total, taskforces)
    return silence if why is None else replace(silence, text=f"workers wait at their site: {why}; {silence.text}")


def _tell_silence(total: Counts, taskforces: Sequence[Taskforce]) -> Reason:
    if total.done or total.failed:
        text = "no worker is up at the moment: those that ended are started again by their site"
        return Reason(Cause.NONE_UP, text, Party.SITE_AGENT)
    ended = next(filter(None, map(explain_ended_workers, taskforces)), None)
    if ended is not None:
        text = f"workers end before they take an event, and are started again, later and later: {ended}"
        return Reason(Cause.WORKERS_END, text, Party.PERSON)
    return Reason(Cause.NOT_CALLED, "the workers were submitted, and none has called yet", Party.WORKERS)


def _explain_not_taken(case: StallCase, unclaimed: Sequence[Taskforce]) -> Reason:
    places = ", ".join(sorted({one.location for one in unclaimed if one.location not in case.upstreams}))
    if places:
        text = f"no site agent has taken the workers yet: is `muster site` running for {places}?"
        return Reason(Cause.NOT_TAKEN, text, Party.SITE_AGENT)
    schedds = ", ".join(sorted({one.schedd for one in unclaimed}))
    text = f"upstream's agent has not taken the workers yet: is the task management service running at {schedds}?"
    return Reason(Cause.NOT_TAKEN, text, Party.UPSTREAM_AGENT)


def _explain_no_input(case: StallCase) -> Reason | None:
    workflow, total = case.workflow, case.total
    entrances = [queue for queue in case.queues if queue.is_public and queue.is_input]
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
