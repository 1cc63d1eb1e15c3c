"""Thousands of workers without tasks, in one process: the worker's protocol and nothing else.

Run as a process, `idle_driver.py URL TASKFORCE FIRST COUNT`, with the enrolment secret on standard input. It prints a line when all have
enrolled and asked for events, and then one for each further line on standard input: the latencies of the events that came since the last
one (seconds from the time that the event's body says to its arrival), and how many calls were made.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

ENROLLING_MAX = 16
"""Enrolments at once."""
WAIT_S = 25.0
ANSWER_S = 300.0
ADDRESSES = 100
"""Own loopback addresses that connections come from: one alone has too few ports."""
FLEETING = 10
"""Every so-many-th worker opens a connection for each call: one process may not have as many files as there are workers."""


class Connection(asyncio.Protocol):
    """One connection that is kept alive; one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's by its type

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the service closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        assert self._answer is not None
        if head.startswith(b"HTTP/1.1 200 "):
            self._answer.set_result(bytes(rest))
        elif head.startswith(b"HTTP/1.1 410 "):
            self._answer.set_exception(EndedError())
        else:
            self._answer.set_exception(AssertionError(bytes(self._received)))
        self._received = bytearray()

    async def post(self, path: str, token: str, body: dict[str, object]) -> dict[str, object]:
        """The answer's object. Raises EndedError, and AssertionError on anything else but success."""
        data = json.dumps(body).encode()
        signed = f"authorization: Bearer {token}\r\n" if token else ""
        head = f"POST /muster/v1/worker/{path} HTTP/1.1\r\nhost: bench\r\n{signed}content-length: {len(data)}\r\n\r\n"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(head.encode() + data)
        async with asyncio.timeout(ANSWER_S):
            answer = json.loads(await self._answer)
        assert isinstance(answer, dict)
        return answer

    def close(self) -> None:
        """Close it."""
        self._transport.close()


@dataclass
class Crowd:
    """What all of this process's workers share."""

    host: str
    port: int
    taskforce: str
    secret: str
    enrolling: asyncio.Semaphore
    ready: asyncio.Semaphore
    latencies: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)


class Link:
    """How one worker reaches the service: over a connection that it keeps, or over a new one for each call."""

    def __init__(self, crowd: Crowd, proc: int) -> None:
        self._crowd = crowd
        self._source = (f"127.0.1.{1 + proc % ADDRESSES}", 0)
        self._is_kept = bool(proc % FLEETING)
        self._connection: Connection | None = None

    async def post(self, path: str, token: str, body: dict[str, object]) -> dict[str, object]:
        """As a connection's. Counts the call."""
        if self._connection is None:
            loop = asyncio.get_running_loop()
            crowd = self._crowd
            _, self._connection = await loop.create_connection(
                Connection, crowd.host, crowd.port, local_addr=self._source
            )
        answer = await self._connection.post(path, token, body)
        self._crowd.calls[path] += 1
        if not self._is_kept:
            self._connection.close()
            self._connection = None
        return answer


class EndedError(Exception):
    """The session is over."""


async def work(crowd: Crowd, proc: int) -> None:
    """Enrol, and again where the session ended, then do as an idle worker does; until cancelled."""
    link = Link(crowd, proc)
    is_new = True
    while True:
        async with crowd.enrolling:
            enrolment = {
                "protocol": 1,
                "taskforce": crowd.taskforce,
                "secret": crowd.secret,
                "cluster": "1",
                "proc": proc,
                "start": 1,
                "host": "bench",
                "site": "bench",
                "worker_version": "bench",
            }
            enrolled = await link.post("enrol", "", enrolment)
        if is_new:
            crowd.ready.release()
            is_new = False
        with contextlib.suppress(EndedError):
            await idle(crowd, link, str(enrolled["token"]), lease_s=float(str(enrolled["lease_s"])))


async def idle(crowd: Crowd, link: Link, token: str, *, lease_s: float) -> None:
    """Ask, wait as told, renew every third of a lease unless a step was answered since. Raises EndedError."""
    call, finished = 0, list[dict[str, object]]()
    renew_at = time.monotonic() + lease_s / 3
    while True:
        call += 1
        stepped_at = time.monotonic()
        answer = await link.post("step", token, {"call": call, "finished": finished, "want": 1, "wait_s": WAIT_S})
        arrived = time.time()
        events = answer["events"]
        assert isinstance(events, list)
        crowd.latencies += [arrived - json.loads(event["body"]) for event in events]
        finished = [
            {
                "event": event["event"],
                "fence": event["fence"],
                "outcome": "done",
                "results": [],
                "error": None,
                "wall_s": 0.0,
            }
            for event in events
        ]
        come_back = answer["come_back_s"]
        if come_back is None:
            continue
        come_back_at = time.monotonic() + float(str(come_back))
        while renew_at < come_back_at:
            await asyncio.sleep(max(0.0, renew_at - time.monotonic()))
            renew_at += lease_s / 3
            if time.monotonic() - stepped_at > lease_s / 3:
                await link.post("renew", token, {"held": []})
        await asyncio.sleep(max(0.0, come_back_at - time.monotonic()))


async def main() -> None:
    """All workers of this process."""
    url, taskforce, first, count = sys.argv[1:]
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    secret = (await lines.readline()).decode().strip()
    assert place.hostname is not None
    crowd = Crowd(
        place.hostname, place.port or 80, taskforce, secret, asyncio.Semaphore(ENROLLING_MAX), asyncio.Semaphore(0)
    )
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(work(crowd, proc)) for proc in range(int(first), int(first) + int(count))]
        for _ in workers:
            await crowd.ready.acquire()
        print(json.dumps({"enrolled": len(workers)}), flush=True)
        while await lines.readline():
            print(json.dumps({"latencies": crowd.latencies, "calls": crowd.calls}), flush=True)
            crowd.latencies, crowd.calls = [], Counter()
        for worker in workers:
            worker.cancel()


if __name__ == "__main__":
    uvloop.run(main())
