"""What does the server need to keep? Workflows and their parts, in real transactions across objects.

A use case hands `Store.write` a function of a `Transaction`; the function is plain, synchronous and free of I/O other
than through the transaction, so a transaction is as short as the database allows, and it may be run again when the
database asks for it (so it must not change anything outside). Everything it did is committed together, or nothing is.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol, TypeVar

from muster.domain.admission import Waiting
from muster.domain.asking import Ask
from muster.domain.location import Location
from muster.domain.occupancy import Occupant
from muster.domain.queue import Counts, Queue
from muster.domain.room import InUse, Resource, Wants
from muster.domain.sharing import Share
from muster.domain.standing import Standings
from muster.domain.taskforce_phase import Phase
from muster.domain.usage import NO_SUMS, UsageSums
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow
from muster.server.ports.attempt_logs import AttemptLogs
from muster.server.ports.census import Census
from muster.server.ports.events import Events
from muster.server.ports.file_rows import FileRows
from muster.server.ports.finder import Finder
from muster.server.ports.holders import Holders
from muster.server.ports.hosts import Hosts
from muster.server.ports.mq import MqGroups, PublishedKeys
from muster.server.ports.outbox import Outbox
from muster.server.ports.retention import Removed, Retention, Rounds
from muster.server.ports.worker_orders import WorkerOrders

T = TypeVar("T")


class Workflows(Protocol):
    """Rows of workflows and task directives."""

    def insert(self, workflow: Workflow, directives: Sequence[TaskDirective]) -> None: ...

    def get(self, workflow_id: str, *, lock: bool = False) -> Workflow:
        """Raises NotFoundError. With `lock` nobody else changes the workflow or its parts until the commit; every use case
        that changes a workflow, its queues or its taskforces locks the workflow first, so as a rule no two can deadlock.
        """

    def find_free(self, workflow_ids: Sequence[str]) -> Mapping[str, Workflow]:
        """As `get` with `lock`, of several, but it does not wait: without those that somebody else has, and those that there are not."""

    def list_waiting(
        self, phase: Phase, *, limit: int, of_each: int, without: Collection[str] = ()
    ) -> Sequence[Waiting]:
        """Those with taskforces in this phase, by their taskforces' highest priority and earliest creation. At most `limit`,
        and `of_each` owner; the most urgent ones (`domain.admission`). `without`: those of these owners. Not those that are braked.
        """

    def measure_use(self, *, with_events: bool) -> Sequence[InUse]:
        """What is in use, by active workflows whose queues are activated: by owner, and by the time at which they came, roughly. Events
        are only looked at where that is asked for.
        """

    def measure_wants(self, workflow_ids: Collection[str], *, with_events: bool) -> Wants:
        """What these workflows, which wait, would take on top."""

    def list_occupants(self, what: Resource, *, owner: str, limit: int) -> Sequence[Occupant]:
        """The owner's workflows that have most of what `measure_use` counts, most first; without those that have none."""

    def list_standing(
        self, what: Resource, *, known: Mapping[str, Location], owner: str | None, of_each: int
    ) -> Standings:
        """Who keeps some of what `measure_use` counts and stands still (`domain.standing.measure_kept`): all in sum, and by name at
        most `of_each` owner, those that keep most. `known`: the locations that there are, by names and aliases. `owner`: only theirs.
        """

    def update(self, workflow: Workflow) -> None:
        """Store the fields that may change: `state`, `ended_at`, `ended_by`, `brake`."""

    def find_braked(self, workflow_ids: Collection[str]) -> AbstractSet[str]:
        """Those of the named that are stopped for a while."""

    def list_page(self, *, owner: str | None, active: bool | None, after: str | None, limit: int) -> Sequence[Workflow]:
        """Newest first, those older than the workflow `after`. Raises NotFoundError for an unknown `after`."""

    def get_directive(self, task_id: str) -> TaskDirective:
        """Raises NotFoundError."""

    def find_directives(self, task_ids: Collection[str]) -> Mapping[str, TaskDirective]:
        """Those of the named that exist."""

    def list_directives(self, workflow_id: str) -> Sequence[TaskDirective]:
        """In the order of the request."""

    def update_revisions(self, directive: TaskDirective) -> None:
        """Store its `revisions`: all else of a task stays as it was submitted."""

    def find_drained(self, *, limit: int) -> "Drained":
        """Look, in one statement, at the active workflows with `finish_when_done` whose public input queues are all closed. At most
        `limit` drained ones. The counts may have moved on by the time of the answer: lock the workflow and look again.
        """


@dataclass(frozen=True)
class Drained:
    """Closed workflows: ids of those whose input queues have nothing waiting or in work, and how many others there are."""

    workflow_ids: Sequence[str]
    draining: int


@dataclass(frozen=True)
class OurAgent:
    """One of our agents looks for work: it takes what stands at its locations, unless it is under another agent's claim."""

    name: str
    locations: Sequence[str]
    schedds: Sequence[str]


@dataclass(frozen=True)
class UpstreamAgent:
    """Upstream's agent looks for work at an access point: it sees nothing that one of ours ever claimed, and nothing that
    stands at one of `other_locations`: ours, and those that it did not ask about. A location that is not known any more is
    nobody's of ours.
    """

    schedd: str
    other_locations: Sequence[str]


@dataclass(frozen=True, slots=True)
class TaskforceState:
    """As much of a taskforce as it takes to see whether there is anything to tell its agent or its workers: there may be thousands."""

    taskforce_uuid: str
    workflow_id: str
    location: str
    schedd: str
    phase: Phase
    cluster_id: int | None
    claim_until: float | None
    claim_fence: int
    held_reason: str | None
    let_go_at: float | None = None


class Taskforces(Protocol):
    """Rows of taskforces and their phase logs."""

    def insert(self, taskforce: Taskforce, entry: PhaseLogEntry) -> None: ...

    def insert_all(self, taskforces: Sequence[Taskforce], entry: PhaseLogEntry) -> None:
        """Each with this as the first entry of its log."""

    def get(self, taskforce_uuid: str) -> Taskforce:
        """Raises NotFoundError."""

    def find(self, taskforce_uuids: Sequence[str]) -> Mapping[str, Taskforce]:
        """Those of the named that exist."""

    def update(self, *taskforces: Taskforce) -> None:
        """Store every field that may change, of at least one."""

    def find_untold(self, workflow_ids: Collection[str], *, phase: Phase, context: str) -> AbstractSet[str]:
        """Those of the workflows that have a taskforce in the phase in whose log nothing stands with this context."""

    def append_log(self, taskforce_uuid: str, entry: PhaseLogEntry) -> None: ...

    def append_logs(self, entries: Sequence[tuple[str, PhaseLogEntry]]) -> None:
        """Each to the log of the taskforce with that uuid; at least one."""

    def list_log(self, taskforce_uuids: Sequence[str]) -> Mapping[str, Sequence[PhaseLogEntry]]:
        """Every entry of each, oldest first."""

    def list_of_workflow(self, workflow_id: str) -> Sequence[Taskforce]:
        """By task, then in order of creation: the locations of the request as they stand there."""

    def list_of_workflows(self, workflow_ids: Sequence[str]) -> Mapping[str, Sequence[Taskforce]]:
        """The same of several; each has its list."""

    def count_phases(self, workflow_id: str) -> Mapping[Phase, int]:
        """How many taskforces of a workflow are in which phase; phases without any are left out."""

    def has_clusters(self, workflow_id: str) -> bool:
        """Is there a taskforce of the workflow whose cluster is known and not known to be gone?"""

    def list_of_task(self, task_id: str) -> Sequence[Taskforce]:
        """Oldest first."""

    def find_startable(self, agent: OurAgent | UpstreamAgent, *, now: float, limit: int) -> Sequence[Taskforce]:
        """In `pending-starter`, not held, and for this agent, by its place and by its claim: in force is one with `claim_until`
        after `now`. Highest priority first, then fewest failures, then oldest.
        """

    def find_stoppable(
        self, agent: OurAgent | UpstreamAgent, *, now: float, limit: int, kept_s: float = 0.0
    ) -> Sequence[Taskforce]:
        """In `pending-stopper` with a `cluster_id` likewise; oldest first. For `kept_s` from the end of its workflow a taskforce is
        kept for the one of our agents that claimed it last.
        """

    def find_states(self, taskforce_uuids: Sequence[str]) -> Mapping[str, TaskforceState]:
        """Those of the named that exist."""

    def find_claimed(self, agent: str) -> Sequence[TaskforceState]:
        """Every taskforce whose last claim is this agent's and that is not in `condor-complete`, oldest first."""


@dataclass(frozen=True)
class Recount:
    """Counters beside rows counted afresh, in one snapshot.

    Args:
        counted_twice: events of the queue with more than one result that counted.
        usage_kept, usage_counted: the sums of what attempts took; without the memory, which is no sum.
    """

    kept: Counts
    counted: Counts
    counted_twice: int
    usage_kept: UsageSums = NO_SUMS
    usage_counted: UsageSums = NO_SUMS


class Queues(Protocol):
    """Rows of queues, and their accounts."""

    def counts(self, numbers: Sequence[int]) -> Mapping[int, Counts]:
        """The account of each, from counters and deltas in one statement, so in one snapshot for all of them."""

    def usage(self, numbers: Sequence[int]) -> Mapping[int, UsageSums]:
        """What the attempts at the events of each took together, as `counts`."""

    def has_ready(self, numbers: Sequence[int]) -> bool:
        """Does any of them have an event that can be leased now (not one that waits for its next attempt)?"""

    def find_next_due(self, numbers: Sequence[int]) -> float | None:
        """When the first event of them that waits for its next attempt has waited enough; None where none waits for that."""

    def recount(self, numbers: Sequence[int]) -> Mapping[int, Recount]:
        """Count rows afresh beside the counters, in one snapshot; those that are not kept any more (`Retention`) count. Slow: it reads
        every row of the queues. Only in `Store.read`.
        """

    def insert(self, queues: Sequence[Queue]) -> None:
        """`Queue.number` of each must be new: take them from `next_numbers`."""

    def next_numbers(self, count: int) -> Sequence[int]: ...

    def list_of_workflow(self, workflow_id: str) -> Sequence[Queue]:
        """By number, which is the order of first mention in the request."""

    def find(self, queue_ids: Sequence[str]) -> Mapping[str, Queue]:
        """Those of the named queue ids that exist."""

    def get(self, number: int) -> Queue:
        """Raises NotFoundError."""

    def close(self, number: int, *, at: float) -> None:
        """Mark a queue closed; one closed before keeps its time."""


@dataclass(frozen=True)
class StoredAnswer:
    """The answer once given to a request with an Idempotency-Key."""

    status: int
    body: bytes
    body_hash: str


class Answers(Protocol):
    """Answers by (owner, route, key); rule 3 of the design."""

    def claim(self, owner: str, route: str, key: str, *, body_hash: str, now: float) -> StoredAnswer | None:
        """Take the key for this request. None: it is new, go on and `insert` in the same transaction. A stored answer: it was
        given before. One in flight elsewhere: waits for its commit. Never raises for a different body; compare the hash.
        """

    def insert(self, owner: str, route: str, key: str, answer: StoredAnswer, *, now: float) -> None: ...

    def delete_older(self, before: float, *, limit: int) -> int: ...

    def count_older(self, before: float) -> int: ...


class Askings(Protocol):
    """Rows of agents that asked for work."""

    def note(self, asks: Sequence[Ask]) -> None:
        """Keep when each asked last, and forget those from before `domain.asking.KEPT_S`."""

    def find(self, *, locations: Collection[str], schedds: Collection[str]) -> Sequence[Ask]:
        """What our agents asked for at these locations, and upstream's at these schedds; newest first."""


class Transaction(Protocol):
    """One transaction: what every use case may touch."""

    @property
    def workflows(self) -> Workflows: ...
    @property
    def taskforces(self) -> Taskforces: ...
    @property
    def finder(self) -> Finder: ...
    @property
    def queues(self) -> Queues: ...
    @property
    def events(self) -> Events: ...
    @property
    def attempt_logs(self) -> AttemptLogs: ...
    @property
    def files(self) -> FileRows: ...
    @property
    def holders(self) -> Holders: ...
    @property
    def hosts(self) -> Hosts: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def askings(self) -> Askings: ...
    @property
    def worker_orders(self) -> WorkerOrders: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def mq_groups(self) -> MqGroups: ...
    @property
    def published_keys(self) -> PublishedKeys: ...
    @property
    def retention(self) -> Retention: ...

    @property
    def removed(self) -> Removed: ...

    @property
    def rounds(self) -> Rounds: ...
    @property
    def census(self) -> Census: ...

    def now(self) -> float:
        """Seconds since the epoch by the database's clock; the same throughout a transaction."""

    def get_share(self) -> Share:
        """What this service takes on first, of all that run on this database."""

    def take_turn(self, name: str) -> None:
        """Wait until no other transaction has the name, and have it to the end of this one."""

    def wake(self, topic: str) -> None:
        """After the commit, wake those who wait for `topic`, here and on other replicas."""


class Store(Protocol):
    """The database. Every method raises UnavailableError when it does not answer."""

    async def write(self, work: Callable[[Transaction], T], *, group: str | None = None) -> T:
        """Run `work` in a read-write transaction and commit. An error that `work` raises rolls it back and is passed on.

        Args:
            group: for short works of which many come at once: those that name the same group may share a transaction, one after the
                other, and wait for each other, but for none of another group. Works that lock the same row name the same one.
        """

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one read-only snapshot."""

    async def look(self, work: Callable[[Transaction], T]) -> T:
        """As `read`, for works of one statement, mostly: what one sees need not agree with what another one did, and that a work does not
        write is up to it. A snapshot is two of the three ways to the database, where it has to be asked for.
        """

    async def check(self) -> None:
        """Raise UnavailableError if the database is not usable, InvalidError if its schema is not this version's."""

    async def get_secret(self, name: str) -> bytes:
        """32 random bytes kept under a name, made at first use; the same for every replica."""

    async def begin_service(self, *, lease_s: float) -> None:
        """Called once at start. If no other service runs on this database, every live session's time is set to at least
        `lease_s` from now: while no service runs, the lease clock stands still.
        """

    async def heartbeat(self) -> None:
        """Tell the database that this service runs; called every few seconds."""
