"""What does signing in cost a request? Goal: signed in, at least 20 times the 53 requests a second of the service that Muster replaces."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteStream

from benchmarks.postgres import fresh_database, running_postgres
from benchmarks.record import Record, alternate, keep, ratio
from benchmarks.stage import Stage
from server.oidc.issuer import FakeIssuer, run_issuer

ROUNDS = 5
CONNECTIONS = 16
REQUESTS = 4000
POSTS = 1200
UPSTREAM = 53.0
"""Requests a second, signed in, `GET /v1/`, which reads nothing: measured on the original beside its provider. It was not asked for POSTs,
whose signing in costs it the same, and their work more."""
NEW = {
    "public_queue_aliases": ["in", "out"],
    "tasks": [
        {
            "cluster_locations": ["local"],
            "task_image": "",
            "task_args": "true",
            "input_queue_aliases": ["in"],
            "output_queue_aliases": ["out"],
            "n_workers": 1,
        }
    ],
}
OURS = "POST /muster/v1/workflows"
EVENT = {"events": [{"kind": "json", "body": {"n": 1}}]}


def main() -> None:
    """The same requests, signed in by a token of a provider again and again, by one of its tokens each time, and by the local token."""
    with ExitStack() as stack:
        issuer = stack.enter_context(run_issuer())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgres())
        oidc, local, postgres = stack.enter_context(staged(folder, issuer, fresh_database(server)))
        number = iter(range(10**9))

        def fresh() -> list[str]:
            return [issuer.token(sub=f"user-{next(number)}") for _ in range(REQUESTS)]

        def post(stage: Stage, what: str, body: object) -> Callable[[], float]:
            return lambda: measure(stage, [str(stage.token)], POSTS, what=what, body=json.dumps(body).encode())

        getting = {
            "GET, one token of a provider": lambda: measure(oidc, [str(oidc.token)], REQUESTS),
            "GET, a token that nobody has seen, each time": lambda: measure(oidc, fresh(), REQUESTS),
            "GET, the local token": lambda: measure(local, [str(local.token)], REQUESTS),
        }
        series = alternate(getting, rounds=ROUNDS, unit="requests/s")
        stages = {"SQLite": oidc, "PostgreSQL": postgres}
        posting = {
            f"{what}, {name}": post(stage, path, body)
            for name, stage in stages.items()
            for what, path, body in list_posts(stage.submit("true"))
        }
        # Afterwards: what the daemons do with new workflows would slow down the others.
        series += alternate(posting, rounds=ROUNDS, unit="requests/s")
    get, unseen, plain = getting
    medians = {one.name: one.median for one in series}
    keep(
        Record(
            name="sign_in",
            claim="requests a second of one service, signed in by tokens of an identity provider",
            command="PYTHONPATH=tests python -m benchmarks.sign_in",
            settings=(
                "one muster serve, SQLite synchronous=FULL or PostgreSQL with fsync, log level warning (the audit is written), "
                f"{CONNECTIONS} connections kept alive, RS256 of 2048 bits, GET /v1/; a workflow has one task and two queues, is stored "
                "whole and taken on to pending-starter by the same service meanwhile; the caller is one Python process on the same machine"
            ),
            series=series,
            ratios={
                "signed in / upstream's 53 a second": medians[get] / UPSTREAM,
                "signed in by tokens not seen before / upstream's 53 a second": medians[unseen] / UPSTREAM,
                "signed in / local token": ratio(series, get, plain),
                **{f"{name} / upstream's 53 GETs a second": medians[name] / UPSTREAM for name in posting},
            },
            goal="at least 20 times upstream",
            limit="the caller takes as much of the machine as the service",
        )
    )


def list_posts(workflow: str) -> Iterator[tuple[str, str, object]]:
    """What is posted: a name, method and path, the body."""
    yield "POST of a query for one workflow", "POST /v1/query/workflows", {"query": {"workflow_id": workflow}}
    yield "POST of one event", f"POST /muster/v1/workflows/{workflow}/queues/in/events", EVENT
    yield "POST of a workflow", OURS, NEW


@contextmanager
def staged(folder: Path, issuer: FakeIssuer, postgres_url: str) -> Iterator[tuple[Stage, Stage, Stage]]:
    """A service that takes the issuer's tokens, one with its own, and one on PostgreSQL that takes the issuer's."""
    for name in ("oidc", "local", "postgres"):
        (folder / name).mkdir()
    token = issuer.token(exp=int(time.time()) + 3600)
    given = {"MUSTER_OIDC_URL": issuer.url}
    with (
        Stage(folder / "oidc", site=False, token=token, **given) as oidc,
        Stage(folder / "local", site=False, host="127.0.0.2") as local,
        Stage(
            folder / "postgres", site=False, token=token, host="127.0.0.3", database_url=postgres_url, **given
        ) as postgres,
    ):
        yield oidc, local, postgres


def measure(stage: Stage, tokens: list[str], count: int, *, what: str = "GET /v1/", body: bytes | None = None) -> float:
    """Requests a second over connections that are kept alive; every one must succeed."""
    address = urlsplit(stage.url)
    head = f"{what} HTTP/1.1"
    length = "" if body is None else f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    texts = [
        f"{head}\r\nhost: {address.netloc}\r\nauthorization: Bearer {token}\r\n{length}\r\n".encode() + (body or b"")
        for token in tokens
    ]
    requests = cycle(texts)

    async def ask(stream: ByteStream, times: int) -> None:
        for _ in range(times):
            await stream.send(next(requests))
            await _read_answer(stream)

    async def run() -> float:
        streams = [await anyio.connect_tcp(str(address.hostname), address.port or 80) for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        async with anyio.create_task_group() as group:
            for stream in streams:
                group.start_soon(ask, stream, count // CONNECTIONS)
        took_s = time.perf_counter() - began
        for stream in streams:
            await stream.aclose()
        return took_s

    return count / anyio.run(run, backend_options={"use_uvloop": True})


async def _read_answer(stream: ByteStream) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += await stream.receive()
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), head
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(rest) < length:
        rest += await stream.receive()


if __name__ == "__main__":
    main()
