"""A pool, a journal and a service in memory. The pool and the journal pass the contracts of the real ones."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio
import msgspec

from muster.client.shapes.sites import (
    Claim,
    Claims,
    Completed,
    Expected,
    PhaseAnswer,
    Removed,
    SiteFailure,
    SiteReport,
    StartOrder,
    StopOrder,
    Submitted,
    WorkerFacts,
)
from muster.client.shapes.worker_orders import GivenOrder, GivenOrders, OrderDone, OrderTaken, TakeOrders
from muster.client.shapes.workflows import TaskforceView
from muster.domain.errors import ConflictError, Finding, InvalidError, NotFoundError, RejectedError, UnavailableError
from muster.domain.pool_facts import PoolFacts
from muster.domain.taskforce_phase import Phase, PhaseEvent, next_phase
from muster.domain.worker_order import OrderAction, WorkerLog
from muster.site.ports.journal import Record, Remembered
from muster.site.ports.pool import ClusterSpec, Description, Observation, PilotStatus, Placed, ProcState

RUNNING = (ProcState.RUNNING, PilotStatus.TASKING)
DONE = (ProcState.COMPLETED, PilotStatus.DONE)
FATAL = (ProcState.COMPLETED, PilotStatus.FATAL)
REMOVED = (ProcState.REMOVED, None)
ENDED = (ProcState.COMPLETED, ProcState.REMOVED)
PAUSED = (f"{ProcState.HELD}: paused", None)
ENDS = {"true": DONE, "false": FATAL, "sh": FATAL}
"""How programs end; all others stay."""

Proc = tuple[str, PilotStatus | None]


@dataclass
class FakeCluster:
    placed: Placed
    argv: Sequence[str]
    procs: list[Proc]
    ended_at: float | None = None
    facts: PoolFacts | None = None
    reasons: Sequence[str] = ()
    explain_s: float = 0.0
    asked_at: list[float] = field(default_factory=list)

    @property
    def n_left(self) -> int:
        """Procs that have not ended."""
        return sum(state not in ENDED for state, _ in self.procs)

    def end(self, state: Proc, *, at: float) -> None:
        """Every proc that is left ends so."""
        if self.n_left:
            self.procs = [proc if proc[0] in ENDED else state for proc in self.procs]
            self.ended_at = at


@dataclass
class PoolWorld:
    """What outlives the agent: the clusters. `submits` counts them by tag."""

    clusters: dict[int, FakeCluster] = field(default_factory=dict)
    submits: Counter[str] = field(default_factory=Counter)
    number: int = 100
    tags: dict[str, int] = field(default_factory=dict)

    def alive(self, tag: str) -> int:
        """Clusters with this tag of which a proc is running."""
        return sum(one.placed.tag == tag and RUNNING in one.procs for one in self.clusters.values())


class FakePool:
    """A pool that knows a few programs (`ENDS`)."""

    def __init__(self, world: PoolWorld) -> None:
        self.world = world
        self.troubles: list[UnavailableError | RejectedError] = []
        self._seen: dict[int, Sequence[object]] = {}
        for one in world.clusters.values():
            one.procs = [RUNNING if proc == PAUSED else proc for proc in one.procs]

    async def submit(self, spec: ClusterSpec, *, tag: str) -> int:
        if self.troubles:
            raise self.troubles.pop()
        if await self.find(tag) is not None:
            raise ConflictError(f"{tag} exists")
        for path in spec.input_files:
            if not os.access(path, os.R_OK):
                raise RejectedError(f"input_files: {path!r} is missing")
        self.world.number += 1
        self.world.submits[tag] += 1
        self.world.tags[tag] = spec.n_workers
        placed = Placed(tag, self.world.number, spec.n_workers, spec.fence)
        self.world.clusters[placed.cluster] = FakeCluster(placed, spec.argv, [RUNNING] * spec.n_workers)
        return placed.cluster

    async def find(self, tag: str) -> int | None:
        return next((number for number, one in self.world.clusters.items() if one.placed.tag == tag), None)

    async def list_placed(self) -> Sequence[Placed]:
        return [one.placed for one in self.world.clusters.values()]

    async def observe(self, cluster: int) -> Observation:
        if (one := self.world.clusters.get(cluster)) is None:
            raise NotFoundError(f"no cluster {cluster}")
        errors = {"worker ended with status 1": one.procs.count(FATAL)} if FATAL in one.procs else {}
        ended_at = None if one.n_left else one.ended_at
        return Observation(dict(Counter(one.procs)), errors, one.n_left, ended_at, one.facts)

    async def tend(self) -> None:
        """Nothing is due here."""

    async def describe(self, cluster: int) -> Description:
        if cluster not in self.world.clusters:
            raise NotFoundError(f"cluster {cluster}")
        return Description()

    async def explain(self, cluster: int) -> Sequence[str]:
        if (one := self.world.clusters.get(cluster)) is None:
            raise NotFoundError(f"cluster {cluster}")
        one.asked_at.append(anyio.current_time())
        await anyio.sleep(one.explain_s)
        return one.reasons

    async def wait_for_change(self, *, timeout_s: float) -> frozenset[int]:
        with anyio.move_on_after(timeout_s):
            while True:
                for one in self.world.clusters.values():
                    if (end := ENDS.get(one.argv[0] if one.argv else "")) is not None:
                        one.end(end, at=1.0)
                now = {number: tuple(one.procs) for number, one in self.world.clusters.items()}
                changed = frozenset(number for number, procs in now.items() if self._seen.get(number) != procs)
                self._seen = dict(now)
                if changed:
                    return changed
                await anyio.sleep(0.01)
        return frozenset()

    async def act(self, cluster: int, action: OrderAction, procs: Collection[int], *, reason: str) -> int:
        if self.troubles:
            raise self.troubles.pop()
        if (one := self.world.clusters.get(cluster)) is None:
            raise NotFoundError(f"no cluster {cluster}")
        fitting: Mapping[OrderAction, Callable[[str], bool]] = {
            OrderAction.HOLD: lambda state: state == ProcState.RUNNING,
            OrderAction.RELEASE: lambda state: state.startswith(ProcState.HELD),
            OrderAction.REMOVE: lambda state: state not in ENDED,
        }
        held: Proc = (f"{ProcState.HELD}: {reason}", None)
        becomes = {OrderAction.HOLD: held, OrderAction.RELEASE: RUNNING, OrderAction.REMOVE: REMOVED}[action]
        fits = fitting[action]
        chosen = [proc for proc, (state, _) in enumerate(one.procs) if fits(state) and (proc in procs or not procs)]
        for proc in chosen:
            one.procs[proc] = becomes
        if not one.n_left:
            one.ended_at = one.ended_at or 2.0
        return len(chosen)

    async def read_logs(self, tag: str, proc: int) -> Sequence[WorkerLog]:
        n_workers = self.world.tags.get(tag, 0)
        if proc >= n_workers:
            raise NotFoundError(f"nothing is kept of worker {proc} of {tag}")
        return [WorkerLog("stderr", "no log\n", 7)]

    async def remove(self, cluster: int, *, grace_s: float) -> None:
        if self.troubles:
            raise self.troubles.pop()
        if (one := self.world.clusters.get(cluster)) is not None:
            one.end(REMOVED, at=2.0)

    async def forget(self, cluster: int) -> None:
        if (one := self.world.clusters.get(cluster)) is None:
            return
        if one.n_left:
            raise ConflictError(f"cluster {cluster} has procs left")
        del self.world.clusters[cluster]

    async def pause(self, *, grace_s: float) -> None:
        for one in self.world.clusters.values():
            one.procs = [PAUSED if proc == RUNNING else proc for proc in one.procs]


class FakeJournal:
    """A journal whose files are entries of a dictionary, in the real one's format."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {} if files is None else files
        self.damaged: list[str] = []

    async def put(self, record: Record) -> None:
        self.files[record.taskforce_uuid] = msgspec.json.encode(record)

    async def delete(self, taskforce_uuid: str) -> None:
        self.files.pop(taskforce_uuid, None)

    async def read(self) -> Remembered:
        records, damaged = [], []
        for name, content in sorted(self.files.items()):
            try:
                records.append(msgspec.json.decode(content, type=Record))
            except msgspec.DecodeError:
                damaged.append(name)
        for name in damaged:
            del self.files[name]
        return Remembered(records, damaged)


@dataclass
class FakeTaskforce:
    """What the service keeps of a taskforce."""

    uuid: str
    n_workers: int = 2
    task_image: str = ""
    phase: Phase = Phase.PENDING_STARTER
    agent: str | None = None
    is_claim_in_force: bool = False
    is_told: bool = False
    fence: int = 0
    cluster_id: int | None = None
    failures: list[SiteFailure] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    statuses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    facts: WorkerFacts | None = None
    reasons: Sequence[str] = ()
    pilot_config: dict[str, object] = field(default_factory=dict)
    workers: int = 0


class FakeService:
    """The site's part of the service: claims with fences, phases by the domain's table.

    `away`: calls that fail before they do anything. `lost`: calls that do what they should and whose answers get lost.
    `locations`: those that there are. `asked`: for which ones each claim was. `is_of_before`: it takes neither facts nor reasons,
    and knows no orders for single workers; of those, `order_answers` has what came of them.
    """

    def __init__(self) -> None:
        self.taskforces: dict[str, FakeTaskforce] = {}
        self.given: list[tuple[str, Claims]] = []
        self.locations = {"local"}
        self.asked: list[list[str]] = []
        self.away = 0
        self.lost = 0
        self.is_down = False
        self.is_of_before = False
        self.is_parked = False
        self.reports: list[SiteReport] = []
        self.rung = anyio.Event()
        self.rung_for_orders = anyio.Event()
        self.orders: dict[str, GivenOrder] = {}
        self.order_answers: dict[str, OrderDone] = {}

    def add(self, uuid: str, **fields: object) -> FakeTaskforce:
        taskforce = self.taskforces[uuid] = replace(FakeTaskforce(uuid), **fields)  # type: ignore[arg-type]
        self.rung.set()
        return taskforce

    def deactivate(self, uuid: str) -> None:
        taskforce = self.taskforces[uuid]
        taskforce.phase = next_phase(taskforce.phase, PhaseEvent.DEACTIVATED) or taskforce.phase
        self.rung.set()

    def expire_claims(self) -> None:
        for taskforce in self.taskforces.values():
            taskforce.is_claim_in_force = False

    def order(self, uuid: str, action: str, *procs: int, reason: str = "") -> str:
        """Ask for something to be done with workers; gives the order's id."""
        name = f"WO-{len(self.orders)}"
        self.orders[name] = GivenOrder(name, uuid, action, list(procs), reason, "ada")
        self.rung_for_orders.set()
        return name

    async def take_orders(self, wanted: TakeOrders, /) -> GivenOrders:
        self._begin()
        if self.is_of_before:
            raise NotFoundError("no such route")
        with anyio.move_on_after(wanted.wait_s):
            while not (orders := self._find_orders(wanted)):
                self.rung_for_orders = anyio.Event()
                await self.rung_for_orders.wait()
        self._end()
        return GivenOrders(orders)

    def _find_orders(self, wanted: TakeOrders) -> list[GivenOrder]:
        first: dict[str, GivenOrder] = {}
        for one in self.orders.values():
            taskforce = self.taskforces[one.taskforce_uuid]
            if one.order_id not in self.order_answers and taskforce.agent == wanted.agent:
                first.setdefault(one.taskforce_uuid, one)
        return [one for uuid, one in first.items() if uuid not in wanted.working]

    async def order_done(self, order_id: str, done: OrderDone, /) -> OrderTaken:
        self._begin()
        is_first = order_id not in self.order_answers
        self.order_answers.setdefault(order_id, done)
        self.rung_for_orders.set()
        self._end()
        return OrderTaken(order_id, is_first)

    async def claim(self, claim: Claim, /) -> Claims:
        self._begin()
        self.asked.append(claim.locations)
        if unknown := [index for index, one in enumerate(claim.locations) if one not in self.locations]:
            known = ", ".join(sorted(self.locations)) or "none"
            raise InvalidError(
                [
                    Finding(f"locations[{one}]", f"there is no location {claim.locations[one]!r}; known are: {known}")
                    for one in unknown
                ]
            )
        answer = self._give(claim)
        if claim.wait_s and not (answer.start or answer.stop or answer.lost or answer.expected):
            self.rung = anyio.Event()
            self.is_parked = True
            with anyio.move_on_after(claim.wait_s):
                await self.rung.wait()
            self.is_parked = False
            self._begin()
            answer = self._give(claim)
        self.given.append((claim.agent, answer))
        self._end()
        return answer

    def _give(self, claim: Claim) -> Claims:
        answer = Claims([], [], [], claim.lease_s)
        for one in self.taskforces.values():
            is_own = one.agent == claim.agent
            if one.uuid in claim.held:
                has_nothing_to_stop = one.phase is Phase.PENDING_STOPPER and one.cluster_id is None
                if not is_own or has_nothing_to_stop or one.phase is Phase.CONDOR_COMPLETE:
                    answer.lost.append(one.uuid)
                    continue
                one.is_claim_in_force = True
            is_free = is_own or not one.is_claim_in_force
            if one.phase is Phase.PENDING_STARTER and is_free and one.uuid not in claim.held and not one.failures[2:]:
                self._take(one, claim.agent)
                answer.start.append(self.start_order(one))
            elif one.phase is Phase.PENDING_STOPPER and one.cluster_id is not None and is_free:
                one.is_told = not one.is_told  # the real one counts time: a held one is told again later
                if one.uuid in claim.held and not one.is_told:
                    continue
                self._take(one, claim.agent)
                answer.stop.append(StopOrder(one.uuid, "local", one.fence, one.cluster_id, 0.0))
            elif one.phase in (Phase.CONDOR_SUBMIT, Phase.CONDOR_RM) and is_own and one.uuid not in claim.held:
                answer.expected.append(Expected(one.uuid, one.fence))
        answer.lost.extend(uuid for uuid in claim.held if uuid not in self.taskforces)
        return answer

    def _take(self, one: FakeTaskforce, agent: str) -> None:
        if one.agent != agent or not one.is_claim_in_force:
            one.fence += 1
        one.agent, one.is_claim_in_force = agent, True

    def start_order(self, one: FakeTaskforce) -> StartOrder:
        return StartOrder(
            taskforce_uuid=one.uuid,
            workflow_id="WF-1",
            task_id="TK-1",
            location="local",
            schedd="local",
            fence=one.fence,
            n_workers=one.n_workers,
            task_image=one.task_image,
            worker_config={},
            pilot_config=one.pilot_config,
            secret=f"secret of {one.uuid}",
        )

    async def submitted(self, uuid: str, submitted: Submitted, /) -> PhaseAnswer:
        return self._judge(uuid, submitted, PhaseEvent.SUBMITTED)

    async def submit_failed(self, uuid: str, failure: SiteFailure, /) -> PhaseAnswer:
        return self._judge(uuid, failure, PhaseEvent.SUBMIT_FAILED)

    async def removed(self, uuid: str, removed: Removed, /) -> PhaseAnswer:
        return self._judge(uuid, removed, PhaseEvent.REMOVED)

    async def remove_failed(self, uuid: str, failure: SiteFailure, /) -> PhaseAnswer:
        return self._judge(uuid, failure, PhaseEvent.REMOVE_FAILED)

    async def completed(self, uuid: str, completed: Completed, /) -> PhaseAnswer:
        return self._judge(uuid, completed, PhaseEvent.COMPLETED)

    def _judge(self, uuid: str, told: Submitted | SiteFailure | Removed | Completed, event: PhaseEvent) -> PhaseAnswer:
        self._begin()
        if (one := self.taskforces.get(uuid)) is None:
            raise NotFoundError(f"no taskforce {uuid}")
        if (told.agent, told.fence) != (one.agent, one.fence):
            raise ConflictError(f"{uuid} is claimed by {one.agent} with {one.fence}")
        after = next_phase(one.phase, event)
        if after is not None:
            one.phase = after
            one.history.append(str(event))
            if isinstance(told, Submitted):
                one.cluster_id = told.cluster_id
            if isinstance(told, SiteFailure):
                one.failures.extend([told] * (3 if told.final else 1))
                one.is_claim_in_force = False
        self._end()
        return PhaseAnswer(uuid, str(one.phase), accepted=after is not None)

    async def report(self, report: SiteReport, /) -> list[str]:
        self._begin()
        self.reports.append(report)
        if self.is_of_before and (report.facts or report.reasons):
            raise InvalidError([Finding("$", "Object contains unknown field")])
        for uuid, facts in report.facts.items():
            if uuid in self.taskforces:
                self.taskforces[uuid].facts = facts
        for uuid, reasons in report.reasons.items():
            if uuid in self.taskforces:
                self.taskforces[uuid].reasons = reasons
        for uuid, statuses in report.compound_statuses.items():
            if uuid in self.taskforces:
                self.taskforces[uuid].statuses = statuses
        for uuid, errors in report.top_task_errors.items():
            if uuid in self.taskforces:
                self.taskforces[uuid].errors = errors
        self._end()
        named = {*report.compound_statuses, *report.top_task_errors, *report.facts, *report.reasons}
        return sorted(named - set(self.taskforces))

    async def get_taskforce(self, uuid: str, /) -> TaskforceView:
        self._begin()
        if (one := self.taskforces.get(uuid)) is None:
            raise NotFoundError(f"no taskforce {uuid}")
        self._end()
        return TaskforceView(
            taskforce_uuid=uuid,
            task_id="TK-1",
            workflow_id="WF-1",
            created_at=0.0,
            priority=1,
            location="local",
            schedd="local",
            n_workers=one.n_workers,
            workers=one.workers,
            origin="submitted",
            phase=str(one.phase),
            phase_change_log=[],
            cluster_id=one.cluster_id,
            job_event_log_fpath="",
            compound_statuses={},
            top_task_errors={},
            worker_config={},
            pilot_config={},
            submit_dict={},
            claim_agent=one.agent,
            claim_until=None,
            claim_fence=one.fence,
            submit_failures=0,
            remove_failures=0,
            held_reason=None,
        )

    def _begin(self) -> None:
        if self.is_down or self.away:
            self.away = max(0, self.away - 1)
            raise UnavailableError("the service is away")

    def _end(self) -> None:
        if self.lost:
            self.lost -= 1
            raise UnavailableError("the answer got lost")
