"""Do lease and status calls, and the service's memory, stay flat as the backlog grows?

Goals: calls at most 1.2 times at 10⁷ waiting events against 10³, memory at most 1.1 times at 10⁶ against 10⁴. The depth is
`MUSTER_BENCH_DEPTH` (default 10⁶, minutes; 10⁷ takes a quarter of an hour and 6 GB).
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.engine_over_http import BODY, run_workers
from benchmarks.record import Record, Series, keep
from benchmarks.stage import Stage

SHALLOW = 1_000
DEEP = int(os.environ.get("MUSTER_BENCH_DEPTH", "1000000"))
CALLS = 200
ROUNDS = 5


def main() -> None:
    """One service, two workflows, one with few events and one with many; the calls of both in turn."""
    status = {name: Series(f"progress call, {name}", "ms") for name in ("shallow", "deep")}
    cycle = {name: Series(f"finish and lease 16, {name}", "ms") for name in ("shallow", "deep")}
    memory = {name: Series(f"resident memory, {name}", "MiB") for name in ("10^4", "deep")}
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), site=False) as stage:
        shallow, deep = stage.submit("true"), stage.submit("true")
        places = {"shallow": stage.claim_secret(shallow), "deep": stage.claim_secret(deep)}
        workflows = {"shallow": shallow, "deep": deep}
        stage.publish(deep, "in", (BODY | {"n": n} for n in range(10_000)))
        memory["10^4"].runs.append(_resident_mib(stage.service_pid))
        stage.publish(deep, "in", (BODY | {"n": n} for n in range(DEEP - 10_000)))
        memory["deep"].runs.append(_resident_mib(stage.service_pid))
        for _ in range(ROUNDS):
            for name, workflow in workflows.items():
                stage.publish(shallow, "in", (BODY | {"n": n} for n in range(16 * CALLS)))
                began = time.monotonic()
                for _ in range(CALLS):
                    stage.client.get_progress(workflow)
                status[name].runs.append((time.monotonic() - began) * 1000 / CALLS)
                answer = run_workers(stage.url, *places[name], workers=1, batch=16, stop_after_s=1.0)[0]
                cycle[name].runs.append((answer["last"] - answer["began"]) * 1000 * 16 / max(answer["done"], 1))
    keep(
        Record(
            name="depth",
            claim=f"calls and memory with {DEEP:,} events waiting beside about {SHALLOW:,}",
            command=f"MUSTER_BENCH_DEPTH={DEEP} python -m benchmarks.depth",
            settings="SQLite, synchronous=FULL",
            series=[*status.values(), *cycle.values(), *memory.values()],
            ratios={
                "progress, deep / shallow": statistics.median(status["deep"].runs)
                / statistics.median(status["shallow"].runs),
                "finish and lease, deep / shallow": statistics.median(cycle["deep"].runs)
                / statistics.median(cycle["shallow"].runs),
                "memory, deep / 10^4": memory["deep"].median / memory["10^4"].median,
            },
            goal="calls at most 1.2 times, memory at most 1.1 times",
        )
    )


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no resident memory")


if __name__ == "__main__":
    main()
