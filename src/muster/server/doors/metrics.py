"""What do programs that watch a service see of it? Every metric by name, and where each is read when somebody asks.

Nothing here asks the database: what is shown is kept. No label names a person, a workflow or an event, so there are as many series as
there are routes, phases, locations and daemons.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from muster.server.services.parts import Parts

Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True)
class Shown:
    """One metric that is read from what the parts keep.

    Args:
        name: without `_total`, which counters have at their end.
        kind: `counter` or `gauge`.
        text: one sentence.
        read: values by the values of the labels.
    """

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[Parts], Samples]


def _one(value: float) -> Samples:
    return [((), value)]


def _by(values: Mapping[str, float]) -> Samples:
    return [((name,), value) for name, value in sorted(values.items())]


def _counted(read: Callable[[Parts], Samples]) -> Callable[[Parts], Samples]:
    """Nothing before the first count."""
    return lambda parts: () if parts.measures.counted is None else read(parts)


def _read_taskforces(parts: Parts) -> Samples:
    counted = parts.measures.counted
    return [] if counted is None else sorted(counted.taskforces.items())


def _read_events(parts: Parts) -> Samples:
    counted = parts.measures.counted
    return [] if counted is None else sorted(counted.events.items())


def _count_of(parts: Parts, name: str) -> Samples:
    return _one(getattr(parts.measures.counted, name))


SHOWN: tuple[Shown, ...] = (
    Shown(
        "muster_build_info",
        "gauge",
        "1, with the program's version, the schema's revision, the kind of database and its era as labels.",
        ("version", "schema", "database", "era"),
        lambda parts: [((parts.version, parts.use.revision, parts.use.kind, str(parts.use.era)), 1)],
    ),
    # -- work ------------------------------------------------------------------------------------------------------------
    Shown(
        "muster_events_published",
        "counter",
        "Events that this service took in, from people, or as results of tasks.",
        ("by",),
        lambda parts: _by(parts.measures.published),
    ),
    Shown(
        "muster_events_leased",
        "counter",
        "Leases that this service gave to workers and consumers.",
        (),
        lambda parts: _one(parts.measures.leased),
    ),
    Shown(
        "muster_attempts",
        "counter",
        "Attempts handed in to this service, by what they came to: done, late (it counts), duplicate, failed (the event waits again), "
        "dead (for the last time), released, stale, unknown.",
        ("outcome",),
        lambda parts: _by(parts.measures.attempts),
    ),
    Shown(
        "muster_leases_expired",
        "counter",
        "Leases that ended because their worker fell silent, by what became of the event: requeued or dead.",
        ("event",),
        lambda parts: _by(parts.measures.expired),
    ),
    Shown(
        "muster_sessions_expired",
        "counter",
        "Workers and consumers that fell silent.",
        (),
        lambda parts: _one(parts.measures.sessions_expired),
    ),
    Shown(
        "muster_events_retried",
        "counter",
        "Events that went back to their queue after the pause that follows a failed attempt.",
        (),
        lambda parts: _one(parts.measures.retried),
    ),
    Shown(
        "muster_workflows_activated",
        "counter",
        "Workflows that this service let in.",
        (),
        lambda parts: _one(parts.tally.activated),
    ),
    Shown(
        "muster_taskforces_launched",
        "counter",
        "Taskforces that this service let through to their sites.",
        (),
        lambda parts: _one(parts.tally.launched),
    ),
    # -- what there is ---------------------------------------------------------------------------------------------------
    Shown(
        "muster_workflows",
        "gauge",
        "Workflows in the database, by state.",
        ("state",),
        _counted(lambda parts: _by(parts.measures.counted.workflows) if parts.measures.counted else ()),
    ),
    Shown(
        "muster_taskforces",
        "gauge",
        "Taskforces in the database that are not over, by phase and location.",
        ("phase", "location"),
        _read_taskforces,
    ),
    Shown(
        "muster_events",
        "gauge",
        "Events of active workflows, by who reads their queue (tasks or people) and state: waiting, in_work, done, dead.",
        ("reader", "state"),
        _read_events,
    ),
    Shown(
        "muster_events_pausing",
        "gauge",
        "Events in the database that wait for their next attempt after a failed one; they count as waiting.",
        (),
        _counted(lambda parts: _count_of(parts, "pausing")),
    ),
    Shown(
        "muster_leases",
        "gauge",
        "Events in the database on lease.",
        (),
        _counted(lambda parts: _count_of(parts, "leases")),
    ),
    Shown(
        "muster_sessions",
        "gauge",
        "Sessions that are alive, of workers and of consumers.",
        ("kind",),
        _counted(lambda parts: _by(parts.measures.counted.sessions) if parts.measures.counted else ()),
    ),
    Shown(
        "muster_outbox_held_back",
        "gauge",
        "Notices that an open transaction keeps from being told; 10000 stands for more.",
        (),
        _counted(lambda parts: _count_of(parts, "held_back")),
    ),
    Shown(
        "muster_outbox_horizon_seconds",
        "gauge",
        "For how long one open transaction has held notices back.",
        (),
        lambda parts: _one(parts.horizon.age_s),
    ),
    Shown(
        "muster_counted_timestamp_seconds",
        "gauge",
        "When the database was counted last, for the gauges of what is in it; seconds since the epoch.",
        (),
        _counted(lambda parts: _one(parts.measures.counted_at)),
    ),
    Shown(
        "muster_counted_seconds",
        "gauge",
        "How long that count took.",
        (),
        _counted(lambda parts: _one(parts.measures.counted_s)),
    ),
    # -- the process -----------------------------------------------------------------------------------------------------
    Shown(
        "muster_daemon_passes",
        "counter",
        "Passes of each daemon, failed ones too.",
        ("daemon",),
        lambda parts: [((name,), one.passes) for name, one in parts.measures.rounds.items()],
    ),
    Shown(
        "muster_daemon_failures",
        "counter",
        "Passes of each daemon that failed, mostly because the database did not answer.",
        ("daemon",),
        lambda parts: [((name,), one.failures) for name, one in parts.measures.rounds.items()],
    ),
    Shown(
        "muster_daemon_seconds",
        "counter",
        "Seconds that the passes of each daemon took.",
        ("daemon",),
        lambda parts: [((name,), one.seconds) for name, one in parts.measures.rounds.items()],
    ),
    Shown(
        "muster_daemon_interval_seconds",
        "gauge",
        "Seconds from the end of one pass of each daemon to the next, at most.",
        ("daemon",),
        lambda parts: [((name,), one.interval_s) for name, one in parts.measures.rounds.items()],
    ),
    Shown(
        "muster_daemon_last_success_timestamp_seconds",
        "gauge",
        "When each daemon's last pass ended well; seconds since the epoch, 0 before the first.",
        ("daemon",),
        lambda parts: [((name,), one.last_success_at) for name, one in parts.measures.rounds.items()],
    ),
    Shown(
        "muster_database_calls",
        "counter",
        "Calls to the database: read, write, and engine (leases and results; many of them share a transaction).",
        ("call",),
        lambda parts: _by(parts.measures.calls),
    ),
    Shown(
        "muster_database_call_seconds",
        "counter",
        "Seconds that these calls took, with the wait for a connection.",
        ("call",),
        lambda parts: _by(parts.measures.call_s),
    ),
    Shown(
        "muster_database_unavailable",
        "counter",
        "Calls to the database that got no answer.",
        ("call",),
        lambda parts: _by(parts.measures.unavailable),
    ),
    Shown(
        "muster_database_retries",
        "counter",
        "Transactions that others undid (deadlock, serialization), and that were tried again.",
        (),
        lambda parts: _one(parts.use.look().retries),
    ),
    Shown(
        "muster_database_lock_timeouts",
        "counter",
        "Statements that were given up because others held a lock for too long.",
        (),
        lambda parts: _one(parts.use.look().lock_timeouts),
    ),
    Shown(
        "muster_database_connections",
        "gauge",
        "Connections to the database in use, by pool.",
        ("pool",),
        lambda parts: _by(parts.use.look().connections),
    ),
    Shown(
        "muster_database_connections_max",
        "gauge",
        "Connections that the pool may have.",
        ("pool",),
        lambda parts: _by(parts.use.look().connections_max),
    ),
    Shown(
        "muster_database_waiting",
        "gauge",
        "Calls that wait for the connections of the queue engine or for their group's commit (SQLite: for the writer).",
        (),
        lambda parts: _one(parts.use.look().waiting),
    ),
    Shown(
        "muster_sign_ins",
        "counter",
        "Requests by what came of their token: accepted, refused, forbidden (the role is missing), unavailable (it could not be told).",
        ("outcome",),
        lambda parts: _by(parts.measures.sign_ins),
    ),
    Shown(
        "muster_tokens_minted",
        "counter",
        "Tokens made out, for workers and for queues.",
        ("kind",),
        lambda parts: _by(parts.measures.tokens),
    ),
)


class PartsCollector(Collector):
    """Reads what the parts keep whenever the metrics are asked for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        for one in SHOWN:
            family = (CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily)(
                one.name, one.text, labels=one.labels
            )
            for values, value in one.read(self._parts):
                family.add_metric(values, value)
            yield family


def register(registry: CollectorRegistry, parts: Parts) -> None:
    """Have all of it shown, and what the library knows of any process."""
    registry.register(PartsCollector(parts))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
