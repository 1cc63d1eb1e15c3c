"""What happens when a worker calls? It hands in attempts and is given events: one transaction, then perhaps a wait.

The hot path of the service: no query of its own beside the engine's; plans and states come from the desk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from muster.domain.attempt import Outcome, Verdict
from muster.domain.errors import NotFoundError
from muster.domain.workflow import WorkflowState
from muster.server.ports.attempt_logs import NewLog
from muster.server.ports.queue_engine import Finished, Leased, SessionEndedError, Step, StepAnswer
from muster.server.ports.store import Transaction
from muster.server.services.brake_workflow import trip_brake
from muster.server.services.enrol_worker import get_plan
from muster.server.services.host_book import Place
from muster.server.services.live_tails import Tail
from muster.server.services.park import Errand
from muster.server.services.parts import Parts
from muster.server.services.refer_files import has_files, refer_results
from muster.server.services.route_results import route_results
from muster.server.services.worker_desk import TaskPlan, Word
from muster.server.services.worker_token import WorkerClaims, is_half_spent, make_token
from muster.worker.crash_points import reach
from muster.worker.protocol import UNHURRIED_S

REST_S_MAX = 60.0
"""Workers of a host that rests come back at least so often: somebody may trust it meanwhile."""
WANT_MAX = 1024
"""Events that one call may lease at most; asking for more is asking for this many."""

_FAILED_ATTEMPTS = frozenset({Verdict.REQUEUED, Verdict.DEAD})
_NOT_COUNTED = frozenset({Verdict.STALE, Verdict.UNKNOWN, Verdict.DUPLICATE})
"""Attempts that say nothing of how the task, or its host, does by now."""
_ENDED_AN_EVENT = frozenset({Verdict.DONE, Verdict.LATE, Verdict.DEAD})


@dataclass(frozen=True, slots=True)
class WorkerCall:
    """A worker's step.

    Args:
        wait_s: how long it would be parked when there are no events.
        outputs: what failed attempts among those printed.
        routes: see `route_results`.
        isolation: what its tasks are kept from others by; empty: nothing new.
    """

    call: int
    finished: Sequence[Finished]
    want: int
    wait_s: float
    outputs: Sequence[NewLog] = ()
    routes: Mapping[int, Sequence[str | None]] = field(default_factory=dict)
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker is to end. `grace_s`: how long its tasks may go on; 0 for an abort."""

    how: Literal["finish", "abort"]
    grace_s: float


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """What a worker is told.

    Args:
        slots: events at once of the worker.
        come_back_s: the worker is not parked and shall ask again then.
        is_held: no event is to be begun for now; what waits is to be given back.
        queue_names: aliases by number, where its task reads several queues.
    """

    call: int
    verdicts: Sequence[Verdict]
    leased: Sequence[Leased] = ()
    slots: int = 1
    come_back_s: float | None = None
    stop: Stop | None = None
    is_held: bool = False
    queue_names: Mapping[int, str] = field(default_factory=dict)

    def may_park(self, asked: WorkerCall) -> bool:
        """Is there nothing for the worker yet, and may it wait?"""
        is_wanted = asked.want > 0 and asked.wait_s > 0
        return is_wanted and not self.leased and self.stop is None and self.come_back_s is None


@dataclass(frozen=True, slots=True)
class Renewed:
    """`lost`: events that the worker no longer holds. `token`: a fresh one, or None while the old one has time.

    `is_held`: the workflow is stopped for a while. `watched`: events of it whose output somebody looks at.
    """

    lease_s: float
    lost: Sequence[int]
    stop: Stop | None
    token: str | None
    is_held: bool
    watched: Sequence[int] = ()


async def step_worker(parts: Parts, claims: WorkerClaims, asked: WorkerCall) -> WorkerAnswer:
    """Hand in and lease, at once.

    Raises SessionEndedError (410), UnavailableError; InvalidError: a result's file is not there, or it names no output queue of the task.
    """
    plan = await _get_plan(parts, claims)
    word = await _find_word(parts, claims, plan)
    if (lot := parts.desk.find_lot(plan.task_id)) is not None:
        lot.dismiss(claims.session)  # an earlier call of this worker that is parked ends now
    place = await _find_place(parts, claims)
    rest_s = parts.hosts.book.find_rest(plan.task_id, place.host)
    # A taskforce that is to stop, or to wait, gets no new events; what its workers bring is still taken.
    if asked.routes:
        asked = replace(asked, finished=route_results(plan, asked.finished, asked.routes))
    if any(has_files(one.results) for one in asked.finished):
        asked = replace(asked, finished=await _refer(parts, plan, asked.finished))
    step = _make_step(claims, plan, asked, want=asked.want if word.is_free and not rest_s else 0)
    answer = await parts.engine.step(step)
    reach("server.step.committed")
    if asked.isolation:
        await parts.store.write(lambda tx: tx.holders.note_isolation(claims.session, asked.isolation))
    if asked.outputs:
        await _keep_outputs(parts, asked, answer.verdicts)
    if plan.finishes_itself and not answer.leased and not _ENDED_AN_EVENT.isdisjoint(answer.verdicts):
        parts.waking.wake("drain")  # this may have been the last event: see at once whether the workflow is done
    parts.hosts.book.note_call(plan.task_id, place)
    counted = [one for one, what in zip(asked.finished, answer.verdicts, strict=True) if what not in _NOT_COUNTED]
    _note_ends(parts, plan, place, counted)
    if counted and plan.brake_rule.attempts:
        await _watch(parts, plan, counted, is_free=word.is_free)
    stop = _render_stop(parts, word)
    return WorkerAnswer(
        asked.call,
        answer.verdicts,
        answer.leased,
        plan.slots,
        come_back_s=_spread_rest(parts, rest_s),
        stop=stop,
        is_held=word.is_braked or rest_s > 0,
        queue_names=plan.queue_names,
    )


async def _refer(parts: Parts, plan: TaskPlan, finished: Sequence[Finished]) -> Sequence[Finished]:
    """In a transaction before the step's: no file to which somebody has referred goes in the hours after it."""
    return await parts.store.write(lambda tx: refer_results(tx, plan.workflow_id, finished))


def _spread_rest(parts: Parts, rest_s: float) -> float | None:
    """When workers of a host that rests so long shall ask again."""
    return parts.desk.spread(min(rest_s, REST_S_MAX)) if rest_s else None


def _note_ends(parts: Parts, plan: TaskPlan, place: Place, finished: Sequence[Finished]) -> None:
    """How attempts ended, for judging their host."""
    for one in finished:
        if one.outcome is Outcome.DONE:
            parts.hosts.book.note_done(plan.task_id, place, one.event, revision=plan.revision, is_first=one.fence <= 1)
        elif one.outcome is Outcome.FAILED and not one.is_final:
            parts.hosts.book.note_failed(plan.task_id, place, "" if one.error is None else one.error.fingerprint)


async def _find_place(parts: Parts, claims: WorkerClaims) -> Place:
    """Where the worker is; looked up once in a session by a service that did not enrol it."""
    book = parts.hosts.book
    if (place := book.find_place(claims.session)) is not None:
        return place
    try:
        session = await parts.store.look(lambda tx: tx.holders.get(claims.session))
    except NotFoundError:
        raise SessionEndedError from None
    return book.keep_place(claims.session, Place(session.host, session.site))


async def _watch(parts: Parts, plan: TaskPlan, finished: Sequence[Finished], *, is_free: bool) -> None:
    """Look at how attempts ended, and stop the workflow when nearly all fail."""
    watch = parts.desk.get_watch(plan)
    if not is_free:
        watch.forget()  # they were begun before it was stopped: what comes of it after that is to be judged afresh
        return
    for one in finished:
        if one.outcome is not Outcome.RELEASED:
            watch.note(one.event, None if one.error is None else one.error.fingerprint)
    if (trip := watch.judge()) is not None:
        await trip_brake(parts, plan.workflow_id, plan.task_id, trip)
        watch.forget()


async def _keep_outputs(parts: Parts, asked: WorkerCall, verdicts: Sequence[Verdict]) -> None:
    """Before the call is answered: where the service ends between the two, the worker repeats it, and then they are kept.

    Raises UnavailableError.
    """
    counted = {
        (one.event, one.fence)
        for one, verdict in zip(asked.finished, verdicts, strict=True)
        if verdict in _FAILED_ATTEMPTS
    }
    logs = [one for one in asked.outputs if (one.event, one.fence) in counted]
    kept = parts.settings.outputs_kept
    if logs and kept.wants_any:
        await parts.store.write(lambda tx: tx.attempt_logs.keep(logs, kept), group="attempt logs")


async def find_come_back(parts: Parts, claims: WorkerClaims, answer: WorkerAnswer) -> WorkerAnswer | None:
    """When the worker shall ask again, where as many calls of its task are parked as may be; None where it may be parked."""
    plan = await _get_plan(parts, claims)
    lot = parts.desk.find_lot(plan.task_id)
    if lot is None or len(lot) < parts.settings.park_max:
        return None
    return replace(answer, come_back_s=parts.desk.next_come_back_s(plan.task_id, parked=len(lot)))


async def await_events(parts: Parts, claims: WorkerClaims, asked: WorkerCall, answer: WorkerAnswer) -> WorkerAnswer:
    """Park a call that was answered with nothing until there are events.

    May be cancelled at any moment (the client is gone): leases committed for a call whose answer was not sent are kept
    under the call's number, and the repeat of the call gives them again, so nothing is lost.

    Raises SessionEndedError (410), UnavailableError.
    """
    plan = await _get_plan(parts, claims)
    topics = (f"workflow:{plan.workflow_id}", "stopping")
    net_s = parts.settings.net_interval_s
    lot = parts.desk.get_lot(plan.task_id, parts.waking, queues=plan.inputs, topics=topics, net_s=net_s)
    step = _make_step(claims, plan, replace(asked, finished=()), want=asked.want)

    place = await _find_place(parts, claims)

    async def take() -> StepAnswer | None:
        if (await _find_word(parts, claims, plan)).is_braked:
            return None  # it waits on: the end of that rings
        return await parts.engine.lease_more(step)

    async def is_over() -> bool:
        if parts.stopping.asked or parts.hosts.book.find_rest(plan.task_id, place.host):
            return True  # a host that rests is told when to come back, and leaves the ring to others
        return _render_stop(parts, await _find_word(parts, claims, plan)) is not None

    wait_s = min(asked.wait_s, parts.settings.park_s_max)
    woken = await lot.wait(Errand(claims.session, take, is_over), timeout_s=wait_s)
    if woken is None:
        word = await _find_word(parts, claims, plan)
        rest_s = parts.hosts.book.find_rest(plan.task_id, place.host)
        return replace(
            answer,
            stop=_render_stop(parts, word),
            is_held=word.is_braked or rest_s > 0,
            come_back_s=_spread_rest(parts, rest_s),
        )
    reach("server.step.committed")
    return replace(answer, leased=woken.leased)


async def renew_worker(
    parts: Parts, claims: WorkerClaims, held: Sequence[tuple[int, int]], tails: Sequence[Tail] = ()
) -> Renewed:
    """Prolong a session.

    Args:
        held: (event, fence) of what the worker believes to hold.
        tails: what its tasks print; those of events that it does not hold are nobody's.

    Raises SessionEndedError.
    """
    plan = await _get_plan(parts, claims)
    lost = await parts.engine.renew(claims.session, held, lease_s=plan.lease_s)
    ours = dict(held)
    for event in lost:
        ours.pop(event, None)
    for tail in tails:
        if ours.get(tail.event) == tail.fence:
            parts.live_tails.keep(replace(tail, at=parts.desk.clock()))
    now, ttl_s = parts.desk.clock(), parts.settings.token_ttl_s
    token = None
    if is_half_spent(claims, now_s=now, ttl_s=ttl_s):
        parts.measures.tokens["worker"] += 1
        token = make_token(parts.worker_key, replace(claims, expires_at=int(now + ttl_s)))
    word = await _find_word(parts, claims, plan)
    watched = parts.live_tails.list_watched(list(ours))
    return Renewed(plan.lease_s, lost, _render_stop(parts, word), token, word.is_braked, watched)


async def leave_worker(parts: Parts, claims: WorkerClaims, *, reason: str) -> None:
    """End a session at its worker's wish; once is as good as twice. Raises SessionEndedError for one that never was."""

    def leave(tx: Transaction) -> None:
        tx.holders.get(claims.session)
        tx.holders.end([claims.session], reason=f"left: {reason}" if reason else "left")
        tx.wake(f"workflow:{tx.taskforces.get(claims.taskforce_uuid).workflow_id}")  # its number of workers changed

    try:
        await parts.store.write(leave)
    except NotFoundError:
        raise SessionEndedError("the session is not known") from None


def _make_step(claims: WorkerClaims, plan: TaskPlan, asked: WorkerCall, *, want: int) -> Step:
    return Step(
        holder=claims.session,
        call=asked.call,
        queues=plan.inputs_of_call(asked.call),
        outputs=plan.outputs,
        finished=asked.finished,
        want=min(want, WANT_MAX),
        lease_s=plan.lease_s,
    )


async def _get_plan(parts: Parts, claims: WorkerClaims) -> TaskPlan:
    try:
        return await get_plan(parts, claims.taskforce_uuid)
    except NotFoundError:
        raise SessionEndedError("the taskforce is not known") from None


async def _find_word(parts: Parts, claims: WorkerClaims, plan: TaskPlan) -> Word:
    try:
        return await parts.desk.find_word(claims.taskforce_uuid, plan.workflow_id, parts.store, parts.waking)
    except NotFoundError:
        raise SessionEndedError("the taskforce is not known") from None


def _render_stop(parts: Parts, word: Word) -> Stop | None:
    """The word of the end. Its grace is that which the taskforce's site is told, too (`claim_taskforces`); who is let go has its time."""
    if word.stop is None:
        return Stop("finish", UNHURRIED_S) if word.lets_go else None
    return Stop("abort", 0.0) if word.stop is WorkflowState.ABORTED else Stop("finish", parts.settings.stop_grace_s)
