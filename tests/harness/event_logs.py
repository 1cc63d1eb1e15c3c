"""What are the tests of job event logs made of? A real log, events of our own, and whole tallies to compare."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from muster.site.adapters.htcondor.event_log.cluster_tally import ClusterTally
from muster.site.adapters.htcondor.event_log.hold_reasons import render_status
from muster.site.adapters.htcondor.event_log.log_reader import LogReader
from muster.site.adapters.htcondor.event_log.log_tally import LogTally
from muster.site.adapters.htcondor.event_log.proc_entries import read_exit
from muster.site.adapters.htcondor.event_log.split import TERMINATOR, split_block
from muster.site.adapters.htcondor.event_log.statuses import ClusterReport, look_at
from muster.site.adapters.htcondor.event_log.times import LogClock
from muster.site.ports.pool import Observation
from muster.site.services.report import render_statuses

SAMPLE_PATH = Path(__file__).parents[1] / "site" / "htcondor" / "sample.log"
SAMPLE = SAMPLE_PATH.read_bytes()


def cut_into_events(log: bytes) -> list[bytes]:
    """Each with its terminator."""
    return [event + TERMINATOR for event in log.split(TERMINATOR)[:-1]]


def _pick(procs: Iterable[bytes]) -> list[bytes]:
    wanted = tuple(procs)
    return [event for event in cut_into_events(SAMPLE) if event[4:17].startswith(wanted)]


EXCERPT = _pick([b"(012.%03d." % proc for proc in (0, 29, 30, 37, 39, 40, 42, 44, 48, 49)] + [b"(013.-01", b"(013.000"])
"""Events of some procs of the sample, each with another fate."""


def event(number: int, text: str, *, proc: int = 0, cluster: int = 7, at: str = "2026-11-22 03:08:10") -> bytes:
    """One event as HTCondor writes it."""
    return b"%03d (%03d.%03d.000) %s %s" % (number, cluster, proc, at.encode(), text.encode()) + TERMINATOR


@dataclass(frozen=True)
class ProcReport:
    """One proc. `exit_code` and `signal` of its end, if they are known; `started_at`: seconds since the epoch; None if it never started."""

    proc: int
    status: str
    pilot: str | None
    error: str | None
    exit_code: int | None
    signal: int | None
    n_starts: int
    n_evictions: int
    n_disconnects: int
    started_at: int | None
    is_corrected: bool


def look_at_procs(tally: ClusterTally) -> Iterator[ProcReport]:
    """Every proc that was heard of, in the order of the numbers."""
    apart = sorted(tally.apart.items())
    for proc, index in [*((proc, proc) for proc in range(tally.in_line)), *apart]:
        if not tally.states[index]:
            continue
        state, hold = tally.read_state(tally.states[index])
        exit_code, signal = read_exit(tally.exits[index])
        yield ProcReport(
            proc=proc,
            status=render_status(state, hold),
            pilot=tally.pilot_words[tally.words[index]],
            error=tally.error_texts.text_of(tally.errors[index]).decode() or None,
            exit_code=exit_code,
            signal=signal,
            n_starts=tally.starts[index],
            n_evictions=tally.evictions[index],
            n_disconnects=tally.disconnects[index],
            started_at=tally.started[index] or None,
            is_corrected=index in tally.corrected,
        )


def submit(proc: int = 0, *, notes: str = "", **more: Any) -> bytes:
    return event(0, f"Job submitted from host: <127.0.0.1:9618?addrs=x>{notes}", proc=proc, **more)


def execute(proc: int = 0, *, slot: str = "slot1_1@ep", props: str = "", **more: Any) -> bytes:
    return event(
        1, f"Job executing on host: <127.0.0.1:9618?alias=ep>\n\tSlotName: {slot}\n\tCpus = 1{props}", proc=proc, **more
    )


def evicted(proc: int = 0, **more: Any) -> bytes:
    return event(4, "Job was evicted.\n\t(0) CPU times", proc=proc, **more)


def terminated(proc: int = 0, *, how: str = "(1) Normal termination (return value 0)", **more: Any) -> bytes:
    return event(
        5, f"Job terminated.\n\t{how}\n\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage", proc=proc, **more
    )


def aborted(proc: int = 0, **more: Any) -> bytes:
    return event(9, "Job was aborted.\n\tby the operator", proc=proc, **more)


def held(proc: int = 0, *, code: int = 1, subcode: int = 0, reason: str = "by the operator", **more: Any) -> bytes:
    return event(12, f"Job was held.\n\t{reason}\n\tCode {code} Subcode {subcode}", proc=proc, **more)


def released(proc: int = 0, **more: Any) -> bytes:
    return event(13, "Job was released.\n\tby the operator", proc=proc, **more)


def chirp(name: str, value: str, proc: int = 0, **more: Any) -> bytes:
    return event(8, f"HTChirpEWMSPilot{name}: {value}", proc=proc, **more)


def tally_of(log: bytes, *, begin: int = 0) -> LogTally:
    """What a log of whole events comes to, read as one block."""
    tally = LogTally(LogClock(UTC))
    tally.take_block(split_block(log), begin)
    return tally


def look(log: bytes, cluster: int = 7) -> ClusterReport:
    tally = tally_of(log)
    return look_at(tally.clusters[cluster])


def look_at_one(log: bytes, proc: int = 0, cluster: int = 7) -> ProcReport:
    tally = tally_of(log)
    return next(one for one in look_at_procs(tally.clusters[cluster]) if one.proc == proc)


def describe(of: LogTally | LogReader) -> Mapping[int, Any]:
    """Everything that was counted, cluster by cluster and proc by proc."""
    return {
        cluster: ({**asdict(look_at(tally)), "silent": +tally.silent}, list(look_at_procs(tally)))
        for cluster, tally in of.clusters.items()
        if tally.n_procs or tally.is_factory
    }


def render_told(report: ClusterReport) -> dict[str, dict[str, int]]:
    """The statuses of a cluster as the service is told of them."""
    return render_statuses(Observation(report.statuses, report.errors, report.n_left, report.ended_at))
