"""Does what a failed attempt printed travel with it, its beginning and its end, in a bounded number of bytes?"""

import base64
import os
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.worker.capture import Capture
from muster.worker.printed import pack
from muster.worker.protocol import OUTPUT_BYTES_MAX
from worker.conftest import Worker
from worker.fake_service import FakeService

pytestmark = [pytest.mark.timeout(120)]

Start = Callable[..., Worker]
Script = Callable[[str], str]

PRINTS = """
import json, os, sys, time
with open(os.environ["EWMS_TASK_INFILE"]) as file:
    how = json.load(file)
if how != "quiet":
    print("the first line")
    for number in range(200_000 if how == "much" else 10):
        print("line", number)
    print("a cause", file=sys.stderr)
    sys.stdout.flush()
if how == "hangs":
    time.sleep(3600)
sys.exit(0 if how == "well" else 3)
"""
WARM = """
import os
from muster import task

def handle(how):
    print("print of", how, flush=True)
    if how == "crash":
        os._exit(3)
    if how == "raise":
        raise ValueError("no")
    return how

task.run(handle)
"""


def read(stream: dict[str, Any] | None) -> tuple[str, int]:
    if stream is None:
        return "", 0
    assert set(stream) == {"data", "size_bytes"}
    return zlib.decompress(base64.b64decode(stream["data"])).decode(), stream["size_bytes"]


@pytest.mark.system
@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_all_of_it_where_it_is_little(start: Start, script: Script, how: str) -> None:
    with FakeService(args=script(PRINTS), attempts=1, timeout_s=2.0 if how == "hangs" else None) as service:
        [event] = service.publish(how)
        start(service)
        service.wait_for(dead=1, deadline_s=60)

    text = "the first line\n" + "".join(f"line {number}\n" for number in range(10))
    [output] = event.outputs
    assert read(output["stdout"]) == (text, len(text))
    assert read(output["stderr"]) == ("a cause\n", 8)


@pytest.mark.system
def test_the_beginning_and_the_end_where_it_is_much(start: Start, script: Script) -> None:
    with FakeService(args=script(PRINTS), attempts=1) as service:
        [event] = service.publish("much")
        start(service)
        service.wait_for(dead=1, deadline_s=60)

    text, size_bytes = read(event.outputs[0]["stdout"])
    assert size_bytes > 2_000_000
    assert text.startswith("the first line\nline 0\n")
    assert text.endswith("line 199999\n")
    assert " bytes left out ...]" in text
    assert len(base64.b64decode(event.outputs[0]["stdout"]["data"])) <= OUTPUT_BYTES_MAX


@pytest.mark.system
def test_nothing_of_those_that_are_done_or_printed_nothing(start: Start, script: Script) -> None:
    with FakeService(args=script(PRINTS), attempts=1) as service:
        well, quiet = service.publish("well", "quiet")
        start(service)
        service.wait_for(done=1, dead=1, deadline_s=60)

    assert well.outputs == quiet.outputs == [None]


@pytest.mark.system
@pytest.mark.parametrize("how", ["raise", "crash"])
def test_of_a_warm_task_what_it_printed_at_this_event(start: Start, script: Script, how: str) -> None:
    with FakeService(args=script(WARM), warm=True, attempts=1) as service:
        first, bad = service.publish("first", how)
        start(service)
        service.wait_for(done=1, dead=1, deadline_s=60)

    assert first.outputs == [None]
    [output] = bad.outputs
    assert read(output["stdout"])[0] == f"print of {how}\n"


@pytest.mark.system
def test_a_service_that_wants_none_gets_none(start: Start, script: Script) -> None:
    with FakeService(args=script(PRINTS), attempts=1) as service:
        service.takes_output = False
        [event] = service.publish("fails")
        start(service)
        service.wait_for(dead=1, deadline_s=60)

    assert event.outputs == [None]


@given(st.integers(0, 300_000), st.integers(0, 3), st.integers(1, 1 << 16))
def test_what_is_packed_is_the_beginning_and_the_end_and_fits(size: int, seed: int, bytes_max: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(size) if seed else b"x" * size
    capture = Capture(200_000)
    capture.add(data)

    packed = pack(capture, max(64, bytes_max))

    assert len(packed) <= max(64, bytes_max)
    content = zlib.decompress(packed)
    if len(zlib.compress(capture.content())) <= max(64, bytes_max):
        assert content == capture.content()
    else:
        head, mark, tail = content.partition(b"\n[... ")
        assert data.startswith(head)
        assert mark
        _, end, tail = tail.partition(b" bytes left out ...]\n")
        assert end
        assert data.endswith(tail)


def test_a_capture_is_cut_to_any_length() -> None:
    capture = Capture(100)
    capture.add(bytes(range(30)))

    assert capture.content() == capture.content(30) == bytes(range(30))
    assert capture.content(10) == bytes(range(5)) + b"\n[... 20 bytes left out ...]\n" + bytes(range(25, 30))
    capture.add(os.urandom(500))
    assert capture.content(10).startswith(bytes(range(5)) + b"\n[... 520 bytes left out ...]\n")
