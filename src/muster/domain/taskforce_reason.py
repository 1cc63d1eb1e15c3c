"""Why is a taskforce not at work? What its phase waits for, since when, and what would move it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from shlex import quote

from muster.domain.asking import KEPT_S, SILENT_S, Ask
from muster.domain.location import Agent
from muster.domain.occupancy import NoRoom
from muster.domain.reason import Cause, Party, Reason, count, cut, render_counts, render_utc
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import PhaseLogEntry, Taskforce

SLOW_S = 30.0
"""A step of the service itself that takes longer is worth a word."""
P = Phase
_FINAL = "; its site cannot start it as it is"
"""At the end of why a taskforce is held, where its site said that no other try can help."""

REASONS_NAMED = 3
"""Of why workers wait, as their site says: those that one sentence names."""

HELD_NO_MORE = "It was held, so nobody was starting it when its workflow ended."
"""In the log of one that was held when its workflow ended."""


@dataclass(frozen=True)
class TaskforceCase:
    """What is known of a taskforce.

    Args:
        log: oldest first.
        workers: those that are up (`count_up`).
        server: whose location it stands at; None: the service knows no such location any more.
        asks: who asked for work there, ours and upstream's.
        has_worked: did any worker of its task ever end an event?
        is_needed: do events wait for its task while no other taskforce of it is left?
        has_others: are there other workers for its task, or on their way, so that its events are worked on?
        no_room: why it is not let in; None where there is room.
        displacement: why no agent can take it (`domain.displacement`), as half a sentence; None where one can.
        is_drained: was its workflow drained, so that more workers are refused until it is resumed?
    """

    taskforce: Taskforce
    log: Sequence[PhaseLogEntry] = ()
    workers: int = 0
    server: Agent | None = Agent.MUSTER
    asks: Sequence[Ask] = ()
    has_worked: bool = False
    is_needed: bool = False
    has_others: bool = False
    no_room: NoRoom | None = None
    displacement: str | None = None
    is_drained: bool = False


def render_final(reason: str) -> str:
    """Why a taskforce is held that its site can never start as it is, whoever tries again."""
    return reason + _FINAL


def is_final(taskforce: Taskforce) -> bool:
    """Is it held for what no release can mend?"""
    return taskforce.held_reason is not None and is_final_reason(taskforce.held_reason)


def is_final_reason(held_reason: str) -> bool:
    """Does it say that no release can mend what a taskforce is held for?"""
    return held_reason.endswith(_FINAL)


def is_working(taskforce: Taskforce, workers: int) -> bool:
    """Is there nothing to explain? `workers`: those that are up (`count_up`)."""
    return taskforce.phase is P.CONDOR_SUBMIT and workers > 0


def count_up(taskforce: Taskforce, sessions: int, server: Agent | None) -> int:
    """How many of its workers are up: by their sessions, and of upstream's workers, which do not call, by what their agent sees.

    Args:
        server: whose location it stands at.
    """
    is_ours = server is Agent.MUSTER or taskforce.claim_agent is not None
    if sessions or is_ours or taskforce.phase is P.CONDOR_COMPLETE:
        return sessions
    return sum(taskforce.compound_statuses.get("RUNNING", {}).values())


def is_over(taskforce: Taskforce) -> bool:
    """Has it come to its end? One that was ended before it had a cluster has."""
    return taskforce.phase is P.CONDOR_COMPLETE or is_without_cluster(taskforce.phase, taskforce.cluster_id)


def is_without_cluster(phase: str, cluster_id: int | None) -> bool:
    """Was it ended before it had a cluster, as far as anybody knows, so that nobody has to stop it?"""
    return phase == P.PENDING_STOPPER and cluster_id is None


def explain_taskforce(case: TaskforceCase, *, now: float) -> Reason | None:
    """Why it is not at work; None where it is, or where it has come to its end and is not missed.

    Args:
        now: seconds since the epoch.
    """
    if is_working(case.taskforce, case.workers):
        return None
    is_held = case.taskforce.held_reason is not None and not is_over(case.taskforce)
    return _explain_held(case) if is_held else _explain_phase(case, now)


def find_since(case: TaskforceCase) -> float:
    """When it came into its phase, seconds since the epoch."""
    came = (one.at for one in reversed(case.log) if one.was_successful and one.target_phase is case.taskforce.phase)
    return next(came, case.taskforce.created_at)


def find_last_error(case: TaskforceCase) -> str | None:
    """What went wrong last, since something went well."""
    for one in reversed(case.log):
        if one.was_successful:
            break
        if one.target_phase in (P.PRE_LAUNCH, P.CONDOR_SUBMIT, P.CONDOR_RM) and one.context:
            return cut(one.context.removeprefix("ERROR: "))
    return None


def _explain_phase(case: TaskforceCase, now: float) -> Reason | None:
    match case.taskforce.phase:
        case P.PRE_MQ_ACTIVATION:
            return _explain_activation(case, now)
        case P.PRE_LAUNCH:
            text = "it waits for launch control, which lets it through by itself" + _mind_slowness(case, now)
            return Reason(Cause.NOT_LAUNCHED, text, Party.LAUNCH_CONTROL, find_since(case))
        case P.PENDING_STARTER:
            return _explain_start(case, now)
        case P.CONDOR_SUBMIT:
            return _explain_silence(case)
        case P.PENDING_STOPPER | P.CONDOR_RM:
            return _explain_stop(case, now)
        case P.CONDOR_COMPLETE:
            return _explain_end(case)


def _explain_held(case: TaskforceCase) -> Reason:
    taskforce = case.taskforce
    reason = cut((taskforce.held_reason or "").removesuffix(_FINAL))
    at = next((one.at for one in reversed(case.log) if not one.was_successful), find_since(case))
    release = f"muster taskforce release {taskforce.taskforce_uuid}"
    if is_final(taskforce):
        text = f"it is held: its site cannot start it as it is, however often that is tried ({reason})"
        if case.has_others:
            return Reason(Cause.HELD, f"{text}; others work for its task", Party.PERSON, at, reason)
        text += "; the task must be changed, or the workflow: revise the one, or end the other and submit a mended one"
        return Reason(Cause.HELD, text, Party.PERSON, at, reason, list_ways_to_mend(taskforce))
    if taskforce.phase is P.PENDING_STARTER:
        tried = f"after {count(taskforce.submit_failures, 'failed start')} "
        text = f"it is held: {tried}it is not tried any more ({reason}); mend that, and release it, or add workers elsewhere"
        return Reason(Cause.HELD, text, Party.PERSON, at, reason, (release, _add_workers(case, location="…")))
    tried = f"after {count(taskforce.remove_failures, 'failed removal')} "
    where = f"cluster {taskforce.cluster_id} at {taskforce.schedd}"
    mend = "mend that, and release it, or remove it there by hand"
    text = f"it is held: {tried}it is not tried any more to remove {where} ({reason}); {mend}"
    by_hand = (f"condor_rm {taskforce.cluster_id}    # at {taskforce.schedd}",) if _is_upstreams(case) else ()
    return Reason(Cause.HELD, text, Party.PERSON, at, reason, (release, *by_hand))


def list_ways_to_mend(taskforce: Taskforce) -> tuple[str, ...]:
    """What to type where a taskforce cannot be started as it was submitted, whoever tries."""
    return (
        f"muster task revise {taskforce.task_id} --image …    # or what else of it is wrong: muster task revise --help",
        f"muster workflow abort {taskforce.workflow_id}    # where events wait, it prints the lines that take them to the mended one",
        "muster workflow submit mended.yaml    # its file, with that changed",
    )


def _explain_activation(case: TaskforceCase, now: float) -> Reason:
    if case.no_room is not None:
        return _explain_want_of_room(case.no_room, find_since(case))
    text = "it waits for the activator, which makes its queues ready by itself" + _mind_slowness(case, now)
    return Reason(Cause.NOT_ACTIVATED, text, Party.ACTIVATOR, find_since(case))


def _explain_want_of_room(room: NoRoom, since: float) -> Reason:
    # That it was told to wait is no error.
    if room.is_lasting:
        text = f"{room.text}; only then there is room for it"
        return Reason(Cause.NO_ROOM, text, Party.PERSON, since, remedies=room.remedies)
    text = f"{room.text}; the activator lets it in by itself when {room.until}"
    return Reason(Cause.NO_ROOM, text, Party.ACTIVATOR, since, remedies=room.remedies)


def _explain_start(case: TaskforceCase, now: float) -> Reason:
    taskforce, since, error = case.taskforce, find_since(case), find_last_error(case)
    failed = f" ({count(taskforce.submit_failures, 'start')} failed, the last one: {error})" if error else ""
    agent, until = taskforce.claim_agent, taskforce.claim_until
    if agent is not None and until is not None and until > now:
        text = f"site agent {agent} has taken it and is starting it at {taskforce.location}{failed}"
        return Reason(Cause.TAKEN, text, Party.SITE_AGENT, since, error)
    if case.displacement is not None:
        mend = f"{_name_again(case)}; else add workers elsewhere, or abort it and submit it elsewhere"
        text = f"nobody can start its workers{failed}: {case.displacement}; {mend}"
        abort = f"muster workflow abort {taskforce.workflow_id}    # and submit it with another location"
        return Reason(Cause.DISPLACED, text, Party.PERSON, since, error, (_add_workers(case, location="…"), abort))
    heard, told, remedies = _find_agent(case, now)
    if agent is not None and until is not None:
        lapsed = f"site agent {agent} had taken it and said nothing more; its claim ran out at {render_utc(until)}, so any agent "
        text = f"{lapsed}of {taskforce.location} may take it{failed}; {told}"
        return Reason(Cause.CLAIM_LAPSED, text, Party.SITE_AGENT, until, error, remedies, is_absent=not heard)
    party = Party.UPSTREAM_AGENT if _is_upstreams(case) else Party.SITE_AGENT
    wait = "its workers wait to be started" if heard else "nobody is there to start its workers"
    text = f"{wait}{failed}: {told}"
    return Reason(Cause.NOT_TAKEN, text, party, since, error, remedies, is_absent=not heard)


def explain_ended_workers(taskforce: Taskforce) -> str | None:
    """Of how many of its workers its site says that they ended in an error, and in which most of them did; None: of none."""
    top = max(taskforce.top_task_errors.items(), key=lambda one: one[1], default=None)
    if top is None:
        return None
    ended = sum(taskforce.top_task_errors.values())
    others = "" if ended == top[1] else f", {top[1]} of them"
    return f"{ended} of {count(taskforce.n_workers, 'worker')} ended{others}: {cut(top[0])}"


def tell_why_they_wait(taskforce: Taskforce) -> str | None:
    """What its site says of why those of its workers that wait do not run, as half a sentence; None: nothing."""
    named = [cut(one).rstrip(".;") for one in taskforce.reasons[:REASONS_NAMED]]
    more = len(taskforce.reasons) - len(named)
    return "; ".join([*named, *([f"and {count(more, 'reason')} more"] if more > 0 else [])]) or None


def _explain_silence(case: TaskforceCase) -> Reason:
    """What its site says of why they wait goes first: it is the nearest to them, and says what to change."""
    silence, why = _tell_silence(case), tell_why_they_wait(case.taskforce)
    return silence if why is None else replace(silence, text=f"its workers wait: {why}; {silence.text}")


def _tell_silence(case: TaskforceCase) -> Reason:
    taskforce, error = case.taskforce, find_last_error(case)
    submitted = f"{count(taskforce.n_workers, 'worker')} as cluster {taskforce.cluster_id} at {taskforce.schedd}"
    seen = render_counts({word: sum(ones.values()) for word, ones in taskforce.compound_statuses.items()})
    pool = f"; its site sees {seen}" if seen else "; its site has not said yet how they fare"
    top = max(taskforce.top_task_errors.items(), key=lambda one: one[1], default=None)
    error = error or (None if top is None else cut(top[0]))
    if _is_upstreams(case):
        text = f"it was submitted ({submitted}), and no worker of it is seen running{pool}"
        return Reason(Cause.NOT_RUNNING, text, Party.UPSTREAM_AGENT, find_since(case), error)
    if case.has_worked:
        text = f"none of its workers is up now ({submitted}){pool}; its site starts again those that ended"
        return Reason(Cause.NONE_UP, text, Party.SITE_AGENT, find_since(case), error)
    if (ended := explain_ended_workers(taskforce)) is not None:
        text = f"its workers end before they take an event ({ended}){pool}; its site starts them again, later and later"
        return Reason(Cause.WORKERS_END, text, Party.PERSON, find_since(case), error)
    text = f"it was submitted ({submitted}), and none of its workers has called yet{pool}"
    return Reason(Cause.NOT_CALLED, text, Party.WORKERS, find_since(case), error)


def _explain_stop(case: TaskforceCase, now: float) -> Reason | None:
    taskforce, since, error = case.taskforce, find_since(case), find_last_error(case)
    party = Party.UPSTREAM_AGENT if _is_upstreams(case) else Party.SITE_AGENT
    if is_over(taskforce):
        was_held = any(one.context == HELD_NO_MORE for one in case.log)
        if taskforce.claim_agent is None or was_held or now - since > SILENT_S[Agent.MUSTER]:
            return None
        agent = f"site agent {taskforce.claim_agent}"
        text = f"it was ended while {agent} was starting it; if there is a cluster, the agent says so and removes it"
        return Reason(Cause.NOT_KNOWN, text, party, since, error)
    cluster = f"cluster {taskforce.cluster_id} at {taskforce.schedd}"
    if case.displacement is not None and taskforce.phase is P.PENDING_STOPPER:
        mend = f"{_name_again(case)}; else remove it there by hand"
        text = f"{cluster} is to be removed, and no agent can be told to: {case.displacement}; {mend}"
        return Reason(Cause.DISPLACED, text, Party.PERSON, since, error)
    heard, told, remedies = _find_agent(case, now)
    if taskforce.phase is P.CONDOR_RM:
        text = f"{cluster} was removed, and its site has not said yet that no worker is left; {told}"
        return Reason(Cause.NOT_CLEARED, text, party, since, error, remedies, is_absent=not heard)
    failed = f" ({count(taskforce.remove_failures, 'removal')} failed, the last one: {error})" if error else ""
    wait = "is being removed" if heard else "is to be removed, and nobody is there to do it"
    text = f"{cluster} {wait}{failed}: {told}"
    return Reason(Cause.NOT_STOPPED, text, party, since, error, remedies, is_absent=not heard)


def _explain_end(case: TaskforceCase) -> Reason | None:
    if not case.is_needed:
        return None
    if case.is_drained:
        text = "its workers have ended, and events wait for its task: its workflow is drained, and new ones come when it is resumed"
        resume = f"muster workflow resume {case.taskforce.workflow_id}"
        return Reason(Cause.WORKERS_ENDED, text, Party.PERSON, find_since(case), remedies=(resume,))
    text = "its workers have ended, events wait for its task, and no other workers of it are left: add some, or end the workflow"
    return Reason(Cause.WORKERS_ENDED, text, Party.PERSON, find_since(case), remedies=(_add_workers(case),))


def _find_agent(case: TaskforceCase, now: float) -> tuple[bool, str, tuple[str, ...]]:
    """Is an agent there, what is there to say of it, and what brings one?"""
    taskforce, is_upstreams = case.taskforce, _is_upstreams(case)
    kind, place = (Agent.UPSTREAM, taskforce.schedd) if is_upstreams else (Agent.MUSTER, taskforce.location)
    there = [one for one in case.asks if one.kind is kind and one.place == place]
    last = max(there, key=lambda one: one.at, default=None)
    remedies: tuple[str, ...]
    if is_upstreams:
        who, remedies = f"the task management service at {place}", ()
    else:
        who = f"site agent {last.agent}" if last is not None else f"a site agent for {place}"
        where = f"beside the pool {taskforce.schedd}, with its own name and directory"
        remedies = (f"MUSTER_SITE_LOCATIONS={quote(place)} muster site    # {where}: docs/how-to/locations.md",)
    if case.server is None and is_upstreams:
        who = f"the service knows no location {taskforce.location} any more (see MUSTER_LOCATIONS), so it is for {who}, which"
    if last is None:
        return False, f"{who} has not asked for work in the last {KEPT_S / 86_400:.0f} days: is it running?", remedies
    if not last.is_there(now):
        return False, f"{who} asked for work last at {render_utc(last.at)}: is it running?", remedies
    return True, f"{who} is there, and asked for work last at {render_utc(last.at)}", ()


def _name_again(case: TaskforceCase) -> str:
    return f"whoever runs the service can name {case.taskforce.location} there again with the schedd {case.taskforce.schedd}"


def _is_upstreams(case: TaskforceCase) -> bool:
    """A location that is not known any more is nobody's of ours, unless one of ours has taken the taskforce."""
    return case.server is not Agent.MUSTER and case.taskforce.claim_agent is None


def _add_workers(case: TaskforceCase, *, location: str | None = None) -> str:
    one = case.taskforce
    place = quote(one.location) if location is None else location
    chosen = f"--workers {one.n_workers} --task {one.task_id} --location {place}"
    return f"muster workflow add-workers {one.workflow_id} {chosen}"


def _mind_slowness(case: TaskforceCase, now: float) -> str:
    return "; that takes longer than it should: look into the service's log" if now - find_since(case) > SLOW_S else ""
