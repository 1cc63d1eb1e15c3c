"""Does a worker whose clock is an hour wrong work as any other?

The worker asks its machine for the time of day in few places, and decides by it in one:

* `main`: `began` and `ended` of exit.json; `log_lines`: `at` of a line; `chirp`: two attributes for whoever looks at the job. Told only.
* `images`: whether an image that was named without its digest is still fresh, and which were not used for long. All workers that share
  the folder have one clock; one that jumps makes an image be unpacked once more, or an hour later.

Leases, renewals, retries, time limits, grace and what an attempt took go by the clock that only counts on, and times of day in the
account are the service's.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.stack import Stack
from harness.tally import TASKS, Tally, check_account, consume_values
from harness.waiting import wait_for
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.shapes.sites import Claim, StartOrder
from muster.client.synchronous import Client
from muster.worker.bundle import build_bundle

pytestmark = pytest.mark.system

HOUR_S = 3600.0
LEASE_S, TOKEN_S = 2.0, 4.0
SLOW_S = 6.0
"""Longer than a lease, and than a token is good for."""
EVENTS = 20

SHIFT = """
import runpy, sys, time
shift_s = float(sys.argv[1])
del sys.argv[:2]
now, broken_down = time.time, time.gmtime
time.time = lambda: now() + shift_s
time.time_ns = lambda: int(time.time() * 1e9)
time.gmtime = lambda at=None: broken_down(time.time() if at is None else at)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the bundle as Python would, on a machine whose clock is that far off."""


@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S], ids=["ahead", "behind"])
def test_a_worker_whose_clock_is_an_hour_wrong_works_as_any_other(stack: Stack, tmp_path: Path, shift_s: float) -> None:
    stack.start_serve(MUSTER_TOKEN_TTL_S=str(TOKEN_S))
    tally = Tally(tmp_path / "tally.jsonl")
    with stack.client() as client:
        task = tally.make_task(n_workers=1, slots=2, lease_s=LEASE_S, retry_s=0.3, timeout_s=60.0)
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id
        bodies = ({"n": n, "sleep_s": 0 if n else SLOW_S} for n in range(EVENTS))
        tally.publish(client, workflow, bodies, close=True)
        began = time.time()

        with working(stack, claim(client, workflow), shift_s) as worker:
            assert worker.wait(90) == 0, (stack.root / "worker.log").read_text()

        ended = time.time()
        assert client.get_workflow(workflow).state == "finished"
        told = json.loads((stack.root / "worker" / "exit.json").read_text())
        assert began + shift_s - 1 < told["began"] < told["ended"] < ended + shift_s + 1, "its clock was wrong"
        check_account(client, workflow, published=EVENTS, done=EVENTS)
        assert client.get_progress(workflow).failures == 0
        assert set(tally.runs().values()) == {1}, "no lease has ended, so nothing was run twice"
        assert sorted(value["n"] for value in consume_values(client, workflow, "out")) == list(range(EVENTS))
        [attempt] = client.get_event(tally.published[0]).history
        assert began - 1 < attempt.started_at < attempt.ended_at < ended + 1
        assert SLOW_S <= attempt.wall_s < ended - began
        used = client.get_usage(workflow).total
        assert (used.done, used.failed, used.lost_s) == (EVENTS, 0, 0)
        assert SLOW_S <= used.wall_s < 2 * (ended - began)
        assert 0 <= used.cpu_s < 2 * (ended - began)


def claim(client: Client, workflow: str) -> StartOrder:
    """Play the site's agent: the order to start the workers of this workflow."""
    orders: list[StartOrder] = []

    def ask() -> list[StartOrder]:
        answer = client.claim(Claim(agent="a-test", locations=["local"], wait_s=1, lease_s=600))
        orders.extend(one for one in answer.start if one.workflow_id == workflow)
        return orders

    return wait_for(ask, "the taskforce is offered")[0]


@contextmanager
def working(stack: Stack, order: StartOrder, shift_s: float) -> "Iterator[subprocess.Popen[bytes]]":
    """The worker of an order, in a folder of its own in the stack's, on a machine whose clock is that far off."""
    folder, inputs = stack.root / "worker", stack.root / "inputs"
    folder.mkdir()
    inputs.mkdir()
    (inputs / "tally.py").write_text((TASKS / "tally.py").read_text())
    bundle = stack.root / "muster-worker.pyz"
    build_bundle(bundle)
    enrolment = stack.root / "enrol.json"
    enrolment.write_text(json.dumps({"taskforce": order.taskforce_uuid, "secret": order.secret}))
    enrolment.chmod(0o600)
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MUSTER_TEST_STACK": str(stack.root),
        "MUSTER_WORKER_URL": stack.url,
        "MUSTER_WORKER_ENROL_FILE": str(enrolment),
        "MUSTER_WORKER_DIR": str(folder),
        "MUSTER_WORKER_INPUT_DIR": str(inputs),
    }
    with (stack.root / "worker.log").open("wb") as log:
        words = [sys.executable, "-I", "-S", "-c", SHIFT, str(shift_s), str(bundle)]
        process = subprocess.Popen(words, env=variables, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
