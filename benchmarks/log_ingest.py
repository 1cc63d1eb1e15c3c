"""How fast is a job event log read, and how little memory does a worker take? Goals: 12 times HTCondor's own reader, 100 bytes a worker.

The log is the sample of the tests, copied with new numbers of clusters. Both bindings and we read all of it in one process each; processor
time counts. Beside them stands a loop that only cuts blocks and keeps one state a proc: what pure Python can do at best.
"""

import gc
import multiprocessing
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path

from benchmarks.record import Record, Series, alternate, keep, ratio
from muster.site.adapters.htcondor.event_log.log_reader import LogReader
from muster.site.adapters.htcondor.event_log.statuses import look_at

SAMPLE = Path(__file__).parents[1] / "tests" / "site" / "htcondor" / "sample.log"
SAMPLE_EVENTS = 1858
EVENTS = int(os.environ.get("MUSTER_BENCH_EVENTS", "1000000"))
EVENTS_BEFORE_RESTART = int(os.environ.get("MUSTER_BENCH_EVENTS_BEFORE_RESTART", "10000000"))
WORKERS = 100_000
ROUNDS = 5
RESTARTS = 5
GOAL, BYTES_MAX, RESTART_S_MAX = 12, 100, 1.0
THEIRS, OURS, BARE = "htcondor2.JobEventLog", "muster, everything counted", "blocks cut, one state a proc"


def main() -> None:
    """Speed, memory, restart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure_speed(folder)
        measure_memory(folder)
        measure_restart(folder)


def copies(n_events: int) -> Iterator[bytes]:
    """The sample again and again, each time of other clusters, until there are so many events."""
    sample = SAMPLE.read_bytes()
    for copy in range(-(-n_events // SAMPLE_EVENTS)):
        yield sample.replace(b"(012.", b"(%d." % (1000 + 2 * copy)).replace(b"(013.", b"(%d." % (1001 + 2 * copy))


def write_log(path: Path, n_events: int) -> None:
    """A log of so many events or some more."""
    with path.open("wb") as file:
        file.writelines(copies(n_events))


def measure_speed(folder: Path) -> None:
    """All readers in turn, on the same log."""
    path = folder / "events.log"
    write_log(path, EVENTS)
    readers = {THEIRS: read_by_bindings, OURS: read_by_us, BARE: read_barely}
    series = alternate(
        {name: lambda read=read: in_a_process(read, path) for name, read in readers.items()},  # type: ignore[misc]
        rounds=ROUNDS,
        unit="events/s",
    )
    ours = ratio(series, OURS, THEIRS)
    keep(
        Record(
            name="log_ingest",
            claim=f"reading a job event log of {EVENTS:,} events, processor time, beside HTCondor's own reader",
            command="python -m benchmarks.log_ingest",
            settings="of each event the bindings give type, cluster, proc and text; we count everything that is reported",
            series=series,
            ratios={
                "everything counted / htcondor2": ours,
                f"that / goal of {GOAL}": ours / GOAL,
                "blocks cut, one state a proc / htcondor2": ratio(series, BARE, THEIRS),
            },
            goal=f"at least {GOAL} times htcondor2",
            limit="one core: cutting blocks takes a third of it",
        )
    )
    path.unlink()


def in_a_process(read: Callable[[Path], int], path: Path) -> float:
    """Events per second of processor time, of a reader in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(time_reader, (read, path))


def time_reader(read: Callable[[Path], int], path: Path) -> float:
    """Events per second of processor time."""
    began = time.process_time()
    count = read(path)
    took = time.process_time() - began
    assert count >= EVENTS, count
    return count / took


def read_by_bindings(path: Path) -> int:
    """HTCondor's reader, version 2."""
    import htcondor2

    count = 0
    for event in htcondor2.JobEventLog(str(path)).events(stop_after=0):
        _ = event.type, event.cluster, event.proc, event.get("Info")
        count += 1
    return count


def read_by_us(path: Path) -> int:
    """Ours, to a look at every cluster."""
    reader = LogReader(path, zone=UTC)
    while reader.poll():
        pass
    n_left = sum(look_at(tally).n_left for tally in reader.clusters.values())
    reader.close()
    assert (n_left, reader.damage.count) == (0, 0)
    return -(-EVENTS // SAMPLE_EVENTS) * SAMPLE_EVENTS


def read_barely(path: Path) -> int:
    """Nothing is checked, and next to nothing kept."""
    states: dict[bytes, bytes] = {}
    count = 0
    rest = b""
    with path.open("rb", buffering=0) as file:
        while block := file.read(1 << 20):
            *events, rest = (rest + block).split(b"\n...\n")
            count += len(events)
            for event in events:
                code = event[:3]
                if code in (b"000", b"001", b"004", b"005", b"007", b"009", b"010", b"011", b"012", b"013", b"024"):
                    states[event[5 : event.find(b".0", 8)]] = code
                elif code == b"008" and b"PilotStatus" in event:
                    states[event[5 : event.find(b".0", 8)]] = event[-12:]
    return count


def live_workers(count: int) -> Iterator[bytes]:
    """What is in a log while so many workers of one cluster run."""
    for proc in range(count):
        head = b"(7.%03d.000) 2026-11-22 03:%02d:%02d " % (proc, proc // 60 % 60, proc % 60)
        yield b"".join(
            (
                b"000 " + head + b"Job submitted from host: <127.0.0.1:9618>\n    MusterTaskforce=TF-bench\n...\n",
                b"040 "
                + head
                + b"Started transferring input files\n...\n040 "
                + head
                + b"Finished transferring input files\n...\n",
                b"001 " + head + b"Job executing on host: <127.0.0.1:9618?alias=m%d>\n" % (proc // 64),
                b"\tSlotName: slot1_%d@m%d.example.org\n...\n" % (proc % 64, proc // 64),
                b"008 " + head + b'HTChirpEWMSPilotStatus: "Tasking"\n...\n',
                b"008 " + head + b'HTChirpEWMSPilotLastUpdatedTimestamp: "1795316890"\n...\n',
            )
        )


def measure_memory(folder: Path) -> None:
    """Of a reader that has seen many workers, none of which has ended."""
    sizes = {}
    for count in (1, WORKERS):
        path = folder / f"live-{count}.log"
        with path.open("wb") as file:
            file.writelines(live_workers(count))
        sizes[count] = weigh_reader(path)
        path.unlink()
    bytes_each = (sizes[WORKERS] - sizes[1]) / WORKERS
    keep(
        Record(
            name="log_memory",
            claim=f"memory of the reader of a log in which {WORKERS:,} workers of one cluster run on {WORKERS // 64:,} machines",
            command="python -m benchmarks.log_ingest",
            settings="as Python counts its allocations, after the log was read",
            series=[
                Series("a reader with one worker", "KiB", [sizes[1] / 1024]),
                Series(f"a reader with {WORKERS:,} workers", "KiB", [sizes[WORKERS] / 1024]),
                Series("each worker", "bytes", [bytes_each]),
            ],
            ratios={f"bytes a worker / goal of {BYTES_MAX}": bytes_each / BYTES_MAX},
            goal=f"at most {BYTES_MAX} bytes a live worker beyond the base",
        )
    )


def weigh_reader(path: Path) -> int:
    """Bytes that Python allocated for a reader and have not been freed once it has read."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    reader = LogReader(path, zone=UTC)
    while reader.poll():
        pass
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.close()
    return after - before


def measure_restart(folder: Path) -> None:
    """From the construction of a reader with a checkpoint to the first look at every cluster."""
    path, checkpoint = folder / "long.log", folder / "long.checkpoint"
    write_log(path, EVENTS_BEFORE_RESTART)
    reader = LogReader(path, checkpoint=checkpoint, zone=UTC)
    while reader.poll():
        pass
    began = time.perf_counter()
    reader.save()
    saved_s = time.perf_counter() - began
    reader.close()
    runs = [restart(path, checkpoint) for _ in range(RESTARTS)]
    series = Series("restart to the first report", "s", runs)
    keep(
        Record(
            name="log_restart",
            claim=f"restart with a checkpoint after {EVENTS_BEFORE_RESTART:,} events of {len(reader.clusters):,} clusters",
            command="python -m benchmarks.log_ingest",
            settings=f"the checkpoint has {checkpoint.stat().st_size >> 10:,} KiB; saving it, synced, took {saved_s:.2f} s",
            series=[series],
            ratios={f"restart / goal of {RESTART_S_MAX:g} s": series.median / RESTART_S_MAX},
            goal="less than 1 s",
        )
    )


def restart(path: Path, checkpoint: Path) -> float:
    """Wall time."""
    began = time.perf_counter()
    reader = LogReader(path, checkpoint=checkpoint, zone=UTC)
    reader.poll()
    reports = [look_at(reader.clusters[cluster]) for cluster in reader.take_changes()]
    took = time.perf_counter() - began
    assert len(reports) == len(reader.clusters)
    reader.close()
    return took


if __name__ == "__main__":
    main()
