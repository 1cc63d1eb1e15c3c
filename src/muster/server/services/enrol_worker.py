"""May this worker work for that taskforce, and what does it need to know? A start of a proc becomes a session."""

from collections.abc import Callable
from dataclasses import dataclass

from muster.domain.errors import Finding, ForbiddenError, InvalidError, NotFoundError
from muster.domain.queue import Queue
from muster.domain.size import parse_size
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import TaskDirective, Taskforce
from muster.server.ports.holders import Session
from muster.server.ports.store import Transaction
from muster.server.services.host_book import Place
from muster.server.services.parts import Parts
from muster.server.services.read_usage import read_asked
from muster.server.services.task_settings import GPUS, parse_gpus
from muster.server.services.worker_desk import TaskPlan
from muster.server.services.worker_token import WorkerClaims, is_enrolment_secret, make_token
from muster.worker import protocol

BATCH = 16
"""Events a call that a worker should ask for, unless it knows better (docs/design/engine.md)."""

_MAY_ENROL = frozenset({Phase.PENDING_STARTER, Phase.CONDOR_SUBMIT})
# A worker may start before the agent's confirmation of its cluster arrives: `pending-starter` is not too early.


class TaskforceEndedError(ForbiddenError):
    """The taskforce is over, or its workflow is: there is nothing to work for."""


class StartOutrunError(ForbiddenError):
    """A newer start of the same proc is at work."""


@dataclass(frozen=True)
class Enrolment:
    """What a worker says of itself. `start` counts the starts of the proc; the highest one is the proc's worker."""

    protocol: int
    taskforce_uuid: str
    secret: str
    cluster: str
    proc: int
    start: int
    host: str
    site: str


@dataclass(frozen=True)
class Enrolled:
    """What a worker is told.

    Args:
        outputs: aliases of the queues that its results go to.
        file_bytes_max: how large a body may be that is a file; 0: there are none.
        gpus: how many a worker needs.
        memory_bytes, disk_bytes: what its tasks may use together; 0: any number.
        takes_output: what failed attempts print is kept.
    """

    session: int
    token: str
    token_ttl_s: float
    lease_s: float
    batch: int
    directive: TaskDirective
    n_cores: int
    outputs: tuple[str, ...]
    memory_bytes: int
    disk_bytes: int
    gpus: int
    takes_output: bool
    file_bytes_max: int = 0


async def enrol_worker(parts: Parts, enrolment: Enrolment) -> Enrolled:
    """Begin a session. The same start enrolling again ends its former session: what that one held goes back at once.

    Raises:
        InvalidError: a protocol version that is not spoken here.
        ForbiddenError: the secret is not this taskforce's.
        TaskforceEndedError, StartOutrunError: as they say.
    """
    if enrolment.protocol != protocol.VERSION:
        raise InvalidError([Finding("protocol", f"is {enrolment.protocol}; this service speaks {protocol.VERSION}")])
    if not is_enrolment_secret(parts.worker_key, enrolment.taskforce_uuid, enrolment.secret):
        raise ForbiddenError("the enrolment secret is not that of the taskforce")
    number, taskforce, directive, plan = await parts.store.write(_begin(enrolment))
    parts.desk.plans.keep(taskforce.taskforce_uuid, plan)
    parts.hosts.book.keep_place(number, Place(enrolment.host, enrolment.site))
    parts.measures.tokens["worker"] += 1
    asked = read_asked(taskforce, slots=directive.slots)
    expires_at = int(parts.desk.clock() + parts.settings.token_ttl_s)
    return Enrolled(
        session=number,
        token=make_token(parts.worker_key, WorkerClaims(number, taskforce.taskforce_uuid, expires_at)),
        token_ttl_s=parts.settings.token_ttl_s,
        lease_s=plan.lease_s,
        batch=BATCH,
        directive=directive,
        n_cores=asked.n_cores,
        outputs=plan.output_names,
        memory_bytes=asked.memory_bytes,
        disk_bytes=_read_size(taskforce, "worker_disk"),
        gpus=_read_gpus(taskforce),
        takes_output=parts.settings.outputs_kept.wants_any,
        file_bytes_max=0 if parts.files is None else parts.settings.file_bytes_max,
    )


async def get_plan(parts: Parts, taskforce_uuid: str) -> TaskPlan:
    """How to serve the workers of a taskforce. Raises NotFoundError, UnavailableError."""
    if (plan := parts.desk.plans.find(taskforce_uuid)) is not None:
        return plan

    def look(tx: Transaction) -> TaskPlan:
        taskforce = tx.taskforces.get(taskforce_uuid)
        return _plan(tx, taskforce, _get_directive(tx, taskforce))

    return parts.desk.plans.keep(taskforce_uuid, await parts.store.read(look))


def _begin(enrolment: Enrolment) -> Callable[[Transaction], tuple[int, Taskforce, TaskDirective, TaskPlan]]:
    def begin(tx: Transaction) -> tuple[int, Taskforce, TaskDirective, TaskPlan]:
        try:
            workflow_id = tx.taskforces.get(enrolment.taskforce_uuid).workflow_id
        except NotFoundError:
            raise TaskforceEndedError("the taskforce is not known any more") from None
        # Locked, and only then looked at: the taskforce's end either sees this session and ends it, or is seen here.
        workflow = tx.workflows.get(workflow_id, lock=True)
        taskforce = tx.taskforces.get(enrolment.taskforce_uuid)
        if not workflow.is_active or taskforce.phase not in _MAY_ENROL:
            ended = taskforce.phase if workflow.is_active else workflow.state
            raise TaskforceEndedError(f"the taskforce takes no workers: {ended}")
        directive = _get_directive(tx, taskforce)
        _end_former(tx, enrolment)
        plan = _plan(tx, taskforce, directive)
        now = tx.now()
        number = tx.holders.insert(
            Session(
                number=0,
                taskforce_uuid=taskforce.taskforce_uuid,
                consumer_queue=None,
                owner="",
                cluster=enrolment.cluster,
                proc=enrolment.proc,
                start=enrolment.start,
                at_once=directive.slots,
                host=enrolment.host,
                site=enrolment.site,
                begun_at=now,
                until=now + plan.lease_s,
            )
        )
        tx.wake(f"workflow:{workflow_id}")  # its number of workers changed
        return number, taskforce, directive, plan

    return begin


def _get_directive(tx: Transaction, taskforce: Taskforce) -> TaskDirective:
    """The task as the taskforce's workers run it."""
    return tx.workflows.get_directive(taskforce.task_id).at_revision(taskforce.revision)


def _end_former(tx: Transaction, enrolment: Enrolment) -> None:
    """End the sessions of this start and of lower ones. Raises StartOutrunError when there is a higher one."""
    former = tx.holders.find_of_proc(enrolment.taskforce_uuid, enrolment.cluster, enrolment.proc)
    newest = max((session.start for session in former), default=enrolment.start)
    if newest > enrolment.start:
        raise StartOutrunError(f"start {newest} of this proc is at work; start {enrolment.start} is over")
    for session in former:
        if session.start == enrolment.start:
            tx.holders.end([session.number], reason="enrolled again")
        else:
            # A worker that ends well leaves; this one died, and what it was working on may be why. What it held ahead is not.
            tx.holders.end([session.number], reason=f"replaced by start {enrolment.start}", are_deaths=True)


def _plan(tx: Transaction, taskforce: Taskforce, directive: TaskDirective) -> TaskPlan:
    queues = tx.queues.find([*directive.input_queues, *directive.output_queues])
    inputs: list[Queue] = [queues[queue_id] for queue_id in directive.input_queues]
    return TaskPlan(
        workflow_id=taskforce.workflow_id,
        task_id=directive.task_id,
        inputs=tuple(queue.number for queue in inputs),
        outputs=tuple(queues[queue_id].number for queue_id in directive.output_queues),
        input_names=tuple(queue.alias for queue in inputs),
        output_names=tuple(queues[queue_id].alias for queue_id in directive.output_queues),
        lease_s=min(queue.lease_s for queue in inputs),
        slots=directive.slots,
        finishes_itself=tx.workflows.get(taskforce.workflow_id).finish_when_done,
        brake_rule=directive.brake_rule,
        revision=directive.revision,
    )


def _read_size(taskforce: Taskforce, name: str) -> int:
    """Bytes; 0 where nothing was asked for that can be read: requests of before were not judged."""
    try:
        return parse_size(str(taskforce.worker_config.get(name, "")))
    except ValueError:
        return 0


def _read_gpus(taskforce: Taskforce) -> int:
    """0 where none was asked for: requests of before were not judged."""
    environment = taskforce.pilot_config.get("environment")
    given = environment.get(GPUS, 0) if isinstance(environment, dict) else 0
    try:
        return parse_gpus(given)
    except ValueError:
        return 0
