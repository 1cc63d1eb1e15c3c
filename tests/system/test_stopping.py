"""What do clients and operators see when a service stops in the middle of requests?"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from harness.stack import Stack
from harness.waiting import wait_for

pytestmark = pytest.mark.system


@contextlib.contextmanager
def half_a_request(stack: Stack, path: str) -> Iterator[socket.socket]:
    """A client that is slow: the rest of what it submits never comes."""
    head = {"host": stack.host, "authorization": f"Bearer {stack.token}", "content-type": "application/json"}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "content-length: 1000"]
    with socket.create_connection((stack.host, int(stack.url.rpartition(":")[2])), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", "{"]).encode())
        yield connection


def read_all(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while some := connection.recv(4096):
            found += some
    return found


def count_underway(stack: Stack) -> int:
    text = httpx.get(f"{stack.url}/metrics", headers={"authorization": f"Bearer {stack.token}"}).text
    return int(float(text.partition("\nmuster_requests_underway ")[2].partition("\n")[0]))


def test_the_log_stays_lines_of_json_after_somebody_read_what_the_doors_offer(stack: Stack) -> None:
    part = stack.start_serve()
    for path in ("/muster/v1/openapi.json", "/v1/schema/openapi"):
        httpx.get(f"{stack.url}{path}", headers={"authorization": f"Bearer {stack.token}"})

    assert stack.stop("serve") == 0

    _, _, at_the_end = part.log.read_text().partition('"ready"')
    plain = [line for line in at_the_end.splitlines()[1:] if not line.startswith(("{", "http", "the service answers"))]
    assert plain == []


def test_a_parked_request_is_answered_and_one_that_is_cut_off_is_no_error_of_the_service(stack: Stack) -> None:
    part = stack.start_serve(MUSTER_LOG_LEVEL="debug")
    answered: list[int] = []

    def park() -> None:
        claim = {"agent": "a", "locations": ["local"], "wait_s": 20}
        head = {"authorization": f"Bearer {stack.token}"}
        answered.append(
            httpx.post(f"{stack.url}/muster/v1/site/claims", json=claim, headers=head, timeout=30).status_code
        )

    parked = threading.Thread(target=park)
    parked.start()
    with half_a_request(stack, "/muster/v1/workflows") as ours, half_a_request(stack, "/v1/workflows") as theirs:
        wait_for(lambda: count_underway(stack) == 4, "these three are under way, and the one that asks")
        before = part.log.stat().st_size

        assert stack.stop("serve") == 0

        parked.join()
        assert answered == [200]
        assert (read_all(ours), read_all(theirs)) == (b"", b"")
    lines: list[dict[str, Any]] = [json.loads(line) for line in part.log.read_bytes()[before:].splitlines()]
    assert [one for one in lines if one["level"] in {"error", "critical"} or "exception" in one] == []
    told = [(one["path"], one["status"]) for one in lines if one["event"] == "request" and one["path"] != "/metrics"]
    assert sorted(told, key=str) == [
        ("/muster/v1/site/claims", 200),
        ("/muster/v1/workflows", None),
        ("/v1/workflows", None),
    ]
    audited = {one["action"]: (one["outcome"], one["status"]) for one in lines if one.get("stream") == "audit"}
    assert audited == {
        "POST /muster/v1/site/claims": ("done", 200),
        "POST /muster/v1/workflows": ("cut off", None),
        "POST /v1/workflows": ("cut off", None),
    }
    [cut] = [one for one in lines if one["event"] == "requests cut off"]
    assert (cut["level"], cut["requests"], cut["connections"]) == ("warning", 2, 2)
    assert lines[-1]["event"] == "stopped"
