"""Why is a workflow not (or no longer) running? All that is known of it, in sentences, the most important first.

The long form of `domain.stall`: the same causes, with since when, the last error, and what would move each taskforce.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from muster.domain.attempt import CauseOfDeath
from muster.domain.queue import Counts, is_workflow_drained
from muster.domain.reason import Cause, Party, Reason, count, cut, render_utc
from muster.domain.stall import StallCase, find_stall
from muster.domain.standing import KeptFrom, render_kept
from muster.domain.taskforce_reason import (
    TaskforceCase,
    explain_taskforce,
    is_final,
    is_over,
    is_working,
    tell_why_they_wait,
)
from muster.domain.workflow import Taskforce, Workflow, WorkflowState

CAUSES_MAX = 3
"""Causes of death that one sentence names."""


class Verdict(StrEnum):
    """How a workflow is, in a word."""

    RUNNING = "running"
    STARTING = "starting"  # events wait, its workers are on their way
    WAITING = "waiting"  # what waits is tried again after a pause, or there is no room for it yet
    IDLE = "idle"  # it has nothing to do
    BRAKED = "braked"  # somebody stopped it for a while, or it stopped itself
    STALLED = "stalled"  # events wait, and nothing moves until a person does something
    ENDED = "ended"


_IN_WORDS: Mapping[Verdict, str] = {
    Verdict.RUNNING: "it is running",
    Verdict.STARTING: "it is being started",
    Verdict.WAITING: "it has to wait",
    Verdict.BRAKED: "it is stopped for a while",
    Verdict.STALLED: "it stands still",
    Verdict.IDLE: "it has nothing to do",
}


@dataclass(frozen=True)
class WorkflowCase:
    """What is known of a workflow, in one snapshot.

    Args:
        stall: what decides whether anything of it can move.
        at: seconds since the epoch.
        workers: those that are up (`count_up`), by taskforce.
        cases: the taskforces that are to be explained.
        deaths: why events died, the most frequent first.
        ended_itself: it was not a person who ended it.
        kept: room that it keeps though it stands still, and others wait for.
        find_failure: why attempts fail, the most frequent cause; None where none did. Asked only where that is why nothing moves, or
            where nothing is done.
    """

    stall: StallCase
    at: float
    workers: Mapping[str, int]
    cases: Sequence[TaskforceCase]
    deaths: Sequence[CauseOfDeath] = ()
    ended_itself: bool = False
    kept: Sequence[KeptFrom] = ()
    find_failure: Callable[[], str | None] = lambda: None

    @property
    def workflow(self) -> Workflow:
        """Itself."""
        return self.stall.workflow

    @property
    def taskforces(self) -> Sequence[Taskforce]:
        """All of its."""
        return self.stall.taskforces

    @property
    def total(self) -> Counts:
        """What the tasks have before them and behind them."""
        return self.stall.total

    @property
    def live(self) -> int:
        """Workers that are up now."""
        return self.stall.workers


@dataclass(frozen=True)
class Explained:
    """A taskforce that is not at work, and why."""

    taskforce: Taskforce
    workers: int
    reason: Reason


@dataclass(frozen=True)
class Explanation:
    """Why a workflow is as it is.

    Args:
        summary: how it is, in one sentence.
        reasons: of the workflow as a whole.
        taskforces: those that are not at work.
        working, over: how many others are at work, and have come to their end.
        left_out: how many more are not at work.
    """

    workflow: Workflow
    at: float
    verdict: Verdict
    summary: str
    reasons: Sequence[Reason]
    taskforces: Sequence[Explained]
    working: int
    over: int
    left_out: int


def explain(case: WorkflowCase) -> Explanation:
    """Why it is as it is."""
    explained = [
        Explained(one.taskforce, one.workers, reason)
        for one in case.cases
        if (reason := explain_taskforce(one, now=case.at)) is not None
    ]
    working = sum(is_working(one, case.workers.get(one.taskforce_uuid, 0)) for one in case.taskforces)
    listed = {one.taskforce.taskforce_uuid for one in explained}
    over = sum(is_over(one) and one.taskforce_uuid not in listed for one in case.taskforces)
    left_out = len(case.taskforces) - working - over - len(explained)
    stall = _find_stall(case, explained)
    no_room = _find_no_room(explained)
    verdict = _judge(case, stall, explained)
    is_paused = stall is not None and stall.cause is Cause.PAUSED
    waits_for_room = no_room is not None and not working and verdict in (Verdict.WAITING, Verdict.IDLE, Verdict.STALLED)
    reasons = [
        *([_explain_end(case)] if verdict is Verdict.ENDED else []),
        *([stall] if stall is not None else []),
        *([one] if stall is None and verdict is Verdict.IDLE and (one := _explain_idleness(case)) else []),
        *([no_room] if no_room is not None and waits_for_room else []),
        *([Reason(Cause.KEEPS_ROOM, render_kept(case.kept), Party.PERSON)] if case.kept else []),
        *([some_wait] if (some_wait := _explain_some_waiting(case)) is not None else []),
        *([_explain_failures(case, is_told=is_paused)] if case.total.failed else []),
        *([_explain_deaths(case)] if case.total.dead else []),
        *([_explain_left(case)] if verdict is Verdict.ENDED and case.total.waiting else []),
    ]
    to_stop = len(explained) + left_out
    summary = _summarise(case, verdict, to_stop=to_stop)
    return Explanation(case.workflow, case.at, verdict, summary, reasons, explained, working, over, left_out)


def _find_stall(case: WorkflowCase, explained: Sequence[Explained]) -> Reason | None:
    """Why nothing can move, with what is known of the taskforces that are to blame."""
    stall = find_stall(case.stall)
    if stall is None or stall.cause is Cause.BRAKED:
        return stall
    if stall.cause is Cause.PAUSED:
        return replace(stall, last_error=case.find_failure())
    same = Cause.WORKERS_ENDED if stall.cause is Cause.NO_TASKFORCE else stall.cause
    to_blame = [one.reason for one in explained if one.reason.cause is same]
    remedies = dict.fromkeys(remedy for one in to_blame for remedy in one.remedies)
    is_hopeless = any(is_final(one.taskforce) for one in explained)
    if stall.cause in (Cause.HELD, Cause.NO_TASKFORCE) and not is_hopeless:
        remedies[f"muster workflow finish {case.workflow.workflow_id}"] = None
    is_absent = bool(to_blame) and all(one.is_absent for one in to_blame)
    text = stall.text
    if stall.cause is Cause.NOT_TAKEN and to_blame and not is_absent:  # so whether it runs is no question here
        theirs, ours = (
            "upstream's agent has not taken the workers yet, though it",
            "no site agent has taken the workers yet, though one",
        )
        text = f"{theirs if stall.waits_for is Party.UPSTREAM_AGENT else ours} asks for work"
    return replace(
        stall,
        text=text,
        since=stall.since or min((one.since for one in to_blame if one.since is not None), default=None),
        last_error=next((one.last_error for one in to_blame if one.last_error), None),
        remedies=(*stall.remedies, *remedies),
        is_absent=is_absent,
    )


def _find_no_room(explained: Sequence[Explained]) -> Reason | None:
    """Why it is not let in, where all that is not at work waits for that; it is so also while it has no events."""
    reasons = [one.reason for one in explained]
    if not reasons or any(one.cause is not Cause.NO_ROOM for one in reasons):
        return None
    return min(reasons, key=lambda one: one.since or 0.0)


def _judge(case: WorkflowCase, stall: Reason | None, explained: Sequence[Explained]) -> Verdict:
    total = case.total
    if not case.workflow.is_active or case.workflow.brake is not None:
        return Verdict.BRAKED if case.workflow.is_active else Verdict.ENDED
    if total.in_work or ((total.waiting or case.stall.is_direct) and case.live and stall is None):
        return Verdict.RUNNING
    if not total.waiting and not case.stall.is_direct:
        is_lost = stall is not None and stall.cause in (Cause.HELD, Cause.DISPLACED)
        return Verdict.STALLED if is_lost else Verdict.IDLE
    no_room = _find_no_room(explained)
    waits_for_room = no_room is not None and not no_room.needs_help
    if waits_for_room or (stall is not None and stall.cause is Cause.PAUSED):
        return Verdict.WAITING
    needs_help = [one.reason.needs_help for one in explained]
    if (stall is not None and stall.needs_help) or (needs_help and all(needs_help)):
        return Verdict.STALLED
    return Verdict.STARTING


def _summarise(case: WorkflowCase, verdict: Verdict, *, to_stop: int) -> str:
    total, workers = case.total, f"{count(case.live, 'worker')} {'is' if case.live == 1 else 'are'} up"
    events = f"{count(total.waiting, 'event')} waiting, {total.in_work} in work, {total.done} done, {total.dead} dead"
    if total.failed:
        events += f", {count(total.failed, 'failed attempt')}"
    if case.stall.is_direct:
        events = "its events go through the broker, and are not counted here"
    if verdict is not Verdict.ENDED:
        return f"{_IN_WORDS[verdict]}: {events}; {workers}"
    hands_in = f"; {count(case.live, 'worker')} may still hand in what they have" if case.live else ""
    stopping = f"; {to_stop} of {count(len(case.taskforces), 'taskforce')} not yet stopped" if to_stop else ""
    return f"{_explain_end(case).text}{stopping}{hands_in}"


def _explain_end(case: WorkflowCase) -> Reason:
    workflow = case.workflow
    at = f"at {render_utc(workflow.ended_at)}" if workflow.ended_at is not None else "at some time"
    if case.ended_itself:
        text = f"it finished itself {at}: its inputs were closed and nothing was left to do"
    else:
        text = f"it was {workflow.state} by {workflow.ended_by} {at}"
    return Reason(Cause.ENDED, text, Party.NOBODY, workflow.ended_at)


def _explain_idleness(case: WorkflowCase) -> Reason | None:
    """Why an active workflow has nothing to do, where that is as it should be."""
    pairs = [(queue, case.stall.counts[queue.number]) for queue in case.stall.queues]
    if case.workflow.finish_when_done and is_workflow_drained(pairs):
        text = "every event is done and the inputs are closed: it finishes itself in a moment"
        return Reason(Cause.FINISHING, text, Party.SERVICE)
    here = case.workflow.workflow_id
    entrances = [
        queue.alias for queue in case.stall.queues if queue.is_public and queue.is_input and queue.closed_at is None
    ]
    if not entrances:
        return None
    text = f"every event so far is done, and it waits for more: {', '.join(entrances)} {'is' if len(entrances) == 1 else 'are'} open"
    publish = [f"muster queue publish {here} {alias} FILE --close" for alias in entrances]
    return Reason(Cause.INPUTS_OPEN, text, Party.PERSON, remedies=(*publish, f"muster workflow finish {here}"))


def _explain_some_waiting(case: WorkflowCase) -> Reason | None:
    """Of taskforces that are at work, others of whose workers wait, as their site says why."""
    those = [one for one in case.taskforces if is_working(one, case.workers.get(one.taskforce_uuid, 0)) and one.reasons]
    if not those:
        return None
    first = those[0]
    up = f"{case.workers[first.taskforce_uuid]} of {count(first.n_workers, 'worker')}"
    text = f"not all workers are at work: of taskforce {first.taskforce_uuid} at {first.location} {up} are up, and others wait: "
    more = f"; {count(len(those) - 1, 'other taskforce')} likewise" if len(those) > 1 else ""
    look = f"muster taskforce show {first.taskforce_uuid}"
    return Reason(Cause.SOME_WAIT, f"{text}{tell_why_they_wait(first)}{more}", Party.NOBODY, remedies=(look,))


def _explain_failures(case: WorkflowCase, *, is_told: bool) -> Reason:
    """How often it went wrong: where all that is tried fails and is tried again, it looks like work. `is_told`: the cause is."""
    total, here = case.total, case.workflow.workflow_id
    so_far = (
        f"{count(total.done, 'event')} {'is' if total.done == 1 else 'are'} done" if total.done else "no event is done"
    )
    text = f"{count(total.failed, 'attempt')} failed so far, and {so_far}"
    error = None if total.done or is_told else case.find_failure()
    return Reason(
        Cause.FAILED_ATTEMPTS,
        text,
        Party.NOBODY,
        last_error=None if error is None else cut(error),
        remedies=(f"muster workflow errors {here}",),
    )


def _explain_deaths(case: WorkflowCase) -> Reason:
    here, dead = case.workflow.workflow_id, case.total.dead
    named = [f"{one.events} × {cut(one.fingerprint) or 'without a text'}" for one in case.deaths[:CAUSES_MAX]]
    others = [count(len(case.deaths) - CAUSES_MAX, "other cause")] if len(case.deaths) > CAUSES_MAX else []
    text = f"{count(dead, 'event')} failed for the last time: {', '.join([*named, *others]) or 'for causes that are not kept'}"
    newest = max(case.deaths, key=lambda one: one.last_at, default=None)
    of_command = [one.is_of_command for one in case.deaths]
    cannot_run = bool(of_command) and all(of_command)
    look = f"muster dead-letter list {here}"
    if case.workflow.state is WorkflowState.ABORTED:
        remedies = [f"{look}    # has the lines that take the events to a new workflow"]
    elif cannot_run:
        remedies = [
            f"muster task revise {here} --args '…'    # or --image",
            f"muster dead-letter replay {here} --all",
        ]
    else:
        mended = (
            "once the causes are mended; what cannot be run: muster task revise"
            if any(of_command)
            else "once the cause is mended"
        )
        remedies = [look, f"muster dead-letter replay {here} --all    # {mended}"]
    if cannot_run:
        text += (
            ". The command cannot be run where the workers are, so a replay alone fails again: mend the task, or have the program "
            "put there"
        )
    return Reason(
        Cause.DEAD,
        text,
        Party.PERSON,
        min((one.first_at for one in case.deaths), default=None),
        None if newest is None else cut(newest.fingerprint),
        tuple(remedies),
    )


def _explain_left(case: WorkflowCase) -> Reason:
    here, waiting = case.workflow.workflow_id, case.total.waiting
    text = f"{count(waiting, 'event')} {'was' if waiting == 1 else 'were'} left waiting when it ended, and nobody works on them"
    # The command prints the lines that take them to a new workflow, for each of its queues.
    return Reason(Cause.LEFT, text, Party.PERSON, case.workflow.ended_at, remedies=(f"muster dead-letter list {here}",))
