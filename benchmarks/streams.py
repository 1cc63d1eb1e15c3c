"""What do 200 people cost who look on, beside one? The service's processor time, with nothing happening and with news all the time.

Goals: 200 idle streams take less than a fifth of a core, of one workflow or each of its own; on a busy workflow they cost at most 50 times
what one costs, since all share each look and only the sending is their own. `MUSTER_BENCH_STREAMS` (default 200) is how many.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc

from benchmarks.record import Record, Series, keep
from benchmarks.stage import TICKS, Stage, read_processor_s
from muster.client.asynchronous import AsyncClient

STREAMS = int(os.environ.get("MUSTER_BENCH_STREAMS", "200"))
SECONDS = float(os.environ.get("MUSTER_BENCH_STREAMS_S", "20"))
ROUNDS = 3
PUBLISH_S = 0.05
"""Between two events of the busy workflow: more often than its progress is told."""


def main() -> None:
    """One service; each side in turn, with as many streams as it says."""
    sides = {
        "nobody, nothing happens": (0, False),
        "1 idle stream": (1, False),
        f"{STREAMS} idle streams of one workflow": (STREAMS, False),
        f"{STREAMS} idle streams, a workflow each": (-STREAMS, False),
        "nobody, a busy workflow": (0, True),
        "1 stream of a busy workflow": (1, True),
        f"{STREAMS} streams of a busy workflow": (STREAMS, True),
    }
    series = {name: Series(name, "s of processor time a second") for name in sides}
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder), site=False) as stage:
        workflows = [stage.submit("true") for _ in range(STREAMS)]
        for _ in range(ROUNDS):
            for name, (count, is_busy) in sides.items():
                followed = workflows[: -count or None] if count < 0 else workflows[:1] * count
                busy = workflows[0] if is_busy else None
                series[name].runs.append(anyio.run(_measure, stage, followed, busy))
                print(f"  {name}: {series[name].runs[-1]:.4g}", flush=True)
    medians = {name: one.median for name, one in series.items()}
    nobody, idle, many, each, base, one, crowd = medians.values()
    keep(
        Record(
            name="streams",
            claim=f"processor time of the service with {STREAMS} streams open, beside one and none",
            command="python -m benchmarks.streams",
            settings=f"SQLite; a busy workflow gets an event each {PUBLISH_S * 1000:.0f} ms; {SECONDS:.0f} s a run",
            series=[*series.values()],
            ratios={
                f"{STREAMS} idle streams of one workflow, of a core": max(0.0, many - nobody),
                f"{STREAMS} idle streams, a workflow each, of a core": max(0.0, each - nobody),
                f"idle: {STREAMS} streams / 1 stream, whole service": many / idle,
                f"busy: {STREAMS} streams / 1 stream, whole service": crowd / one,
                f"busy: what {STREAMS} streams cost / what 1 costs": (crowd - base) / max(one - base, 1 / TICKS),
            },
            goal=f"idle below 0.2 of a core; busy: {STREAMS} cost at most {STREAMS // 4} times what 1 costs",
        )
    )


async def _measure(stage: Stage, followed: Sequence[str], busy: str | None) -> float:
    """Processor seconds that the service takes a second while the streams are open."""
    token = (stage.folder / "token").read_text().strip()
    async with anyio.create_task_group() as group, AsyncClient(stage.url, token=token) as client:
        if busy is not None:
            group.start_soon(_publish, client, busy)
        async with _listening(stage.url, token, followed):
            before = read_processor_s(stage.service_pid)
            begun = anyio.current_time()
            await anyio.sleep(SECONDS)
            taken = (read_processor_s(stage.service_pid) - before) / (anyio.current_time() - begun)
        group.cancel_scope.cancel()
    return taken


async def _publish(client: AsyncClient, workflow: str) -> None:
    while True:  # until cancelled
        await client.publish(workflow, "in", [1])
        await anyio.sleep(PUBLISH_S)


@asynccontextmanager
async def _listening(url: str, token: str, followed: Sequence[str]) -> AsyncIterator[None]:
    """Bare connections that read what comes and look at none of it: the processor is for the service."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
    async with anyio.create_task_group() as group:
        for workflow in followed:
            stream = await anyio.connect_tcp(host, port)
            head = f"GET /muster/v1/workflows/{workflow}/stream HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
            await stream.send(head.encode())
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
            group.start_soon(_read, stream)
        yield
        group.cancel_scope.cancel()


async def _read(stream: anyio.abc.SocketStream) -> None:
    async with stream:
        while True:  # until cancelled
            await stream.receive(1 << 16)


if __name__ == "__main__":
    main()
