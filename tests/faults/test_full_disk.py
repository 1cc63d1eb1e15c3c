"""Is anything lost when the database's disk is full, and does the service go on when there is room again?

The disk is real: a small tmpfs in a mount namespace of the service's own. Nothing is patched.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from harness.namespaces import mount_namespace
from harness.processes import workers_alive
from harness.stack import Part, Stack
from harness.tally import Tally, check_after_fault
from harness.waiting import wait_for
from muster.client.patience import Patience
from muster.client.shapes.new_workflow import NewWorkflow
from muster.client.synchronous import Client
from muster.domain.errors import UnavailableError

pytestmark = pytest.mark.system

DISK_MIB = 48
BALLAST_MIB = 24
PADDING = "x" * 60_000


def test_a_full_disk_refuses_in_words_and_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    disk = stack.root / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "{disk}" && exec "$@"'
    stack.wrapper = (*mount_namespace(), "sh", "-c", script, "sh")
    stack.database_url = f"sqlite:///{disk / 'muster.db'}"
    serve = stack.start_serve()
    inside = Path(f"/proc/{serve.process.pid}/root{disk}")
    (inside / "ballast").write_bytes(b"\0" * (BALLAST_MIB << 20))
    stack.wrapper = ()
    tally = Tally(tmp_path / "tally.jsonl")
    bodies = ({"n": n, "padding": PADDING} for n in count())
    with stack.client() as client, Client(stack.url, stack.token, patience=Patience(0.5, 0.5)) as hasty:
        workflow = client.submit_workflow(_squares(tally)).workflow_id

        refusal = _publish_until_refused(hasty, workflow, tally, bodies)

        assert "full" in refusal
        assert serve.is_alive
        assert client.get_account(workflow).published == len(tally.published), "what was refused is not there"
        told = _publish_by_hand(stack, workflow, bodies)
        assert (told.returncode, "full" in told.stderr) == (5, True), told.stderr

        (inside / "ballast").unlink()

        tally.publish(client, workflow, islice(bodies, 1))  # there is room again
        client.close_queue(workflow, "in")
        stack.start_site()
        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it finishes itself")
        check_after_fault(stack, client, workflow, tally, done=len(tally.published))


def test_who_publishes_a_file_is_told_what_is_in_and_goes_on_from_there(stack: Stack) -> None:
    disk = stack.root / "disk"
    disk.mkdir()
    stack.wrapper = (
        *mount_namespace(),
        "sh",
        "-c",
        f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "{disk}" && exec "$@"',
        "sh",
    )
    stack.database_url = f"sqlite:///{disk / 'muster.db'}"
    serve = stack.start_serve()
    inside = Path(f"/proc/{serve.process.pid}/root{disk}")
    (inside / "ballast").write_bytes(b"\0" * (BALLAST_MIB << 20))
    stack.wrapper = ()
    tally = Tally(stack.root / "tally.jsonl")
    file, total = stack.root / "many.jsonl", 500
    file.write_text("".join(json.dumps({"n": n, "padding": PADDING}) + "\n" for n in range(total)))
    with stack.client() as client:
        workflow = client.submit_workflow(_squares(tally)).workflow_id
        command = ("queue", "publish", workflow, "in", str(file), "--batch", "20")

        refused = stack.run(*command, deadline_s=150)

        published = client.get_account(workflow).published
        assert (refused.returncode, 0 < published < total) == (5, True), refused.stderr
        *_, in_, again, why = refused.stderr.splitlines()
        assert in_ == (f"{published} of {total} events are published, and none of the others"), refused.stderr
        assert why.startswith("muster: the database has no room: database or disk is full")
        [option] = re.findall(
            r"the same command with (--idempotency-key [0-9a-f]+) publishes only what is missing", again
        )

        (inside / "ballast").unlink()
        done = stack.run(*command, *option.split())

        assert (done.returncode, done.stdout) == (0, f"{total} published\n"), done.stderr
        assert client.get_account(workflow).published == total


def test_muster_up_outlives_a_full_disk_and_its_log_goes_on_after_it(stack: Stack) -> None:
    up, inside = _start_up_on_a_disk(stack, size_mib=12)
    log = inside / "logs" / "muster.log"
    tally = Tally(stack.root / "tally.jsonl")
    address, token = (inside / "address").read_text().strip(), (inside / "token").read_text().strip()
    with Client(address, token) as client, Client(address, token, patience=Patience(0.5, 0.5)) as hasty:
        workflow = client.submit_workflow(_squares(tally)).workflow_id
        _fill(inside / "ballast")

        def is_torn() -> bool:
            # What is published fills the room that the database has in its own files: then the passes fail, and say so.
            with contextlib.suppress(UnavailableError):
                tally.publish(hasty, workflow, [{"n": 1, "padding": PADDING}])
            return not up.is_alive or not log.read_text().endswith("\n")

        wait_for(is_torn, "the log has met the full disk")
        assert up.is_alive, up.log.read_text()
        torn_bytes = log.stat().st_size

        (inside / "ballast").unlink()

        client.close_queue(workflow, "in")
        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it goes on")
        assert client.get_account(workflow, recount=True).adds_up
        wait_for(lambda: "workflows finished themselves" in log.read_text(), "it says so")
    first, *others = log.read_bytes()[torn_bytes:].decode().splitlines()
    assert first == "", "the line that was torn is ended first"
    assert all("event" in json.loads(one) for one in others)


def test_workers_that_died_of_a_full_disk_are_back_when_there_is_room(stack: Stack) -> None:
    up, inside = _start_up_on_a_disk(stack, size_mib=16)
    log = inside / "logs" / "muster.log"
    token = (inside / "token").read_text().strip()
    tally = Tally(stack.root / "tally.jsonl")
    with Client((inside / "address").read_text().strip(), token) as client:
        workflow = client.submit_workflow(_squares(tally)).workflow_id
        tally.publish(client, workflow, ({"n": n} for n in range(10)))
        wait_for(lambda: client.get_progress(workflow).input.done == 10, "it works")
        _fill(inside / "ballast")
        for pid in workers_alive(stack.root):
            os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: "No space left on device" in up.log.read_text() + log.read_text(), "its site has met the full disk"
        )
        wait_for(lambda: not workers_alive(stack.root), "no worker is left")

        (inside / "ballast").unlink()

        tally.publish(client, workflow, ({"n": n} for n in range(10, 20)))
        client.close_queue(workflow, "in")
        wait_for(lambda: client.get_workflow(workflow).state == "finished", "it goes on by itself and finishes")
        assert client.get_account(workflow, recount=True).done == 20


def test_muster_up_says_what_to_do_where_the_disk_keeps_it_from_starting(stack: Stack) -> None:
    disk = stack.root / "disk"
    disk.mkdir()
    for room_kib in (0, 8, 64):
        script = f'mount -t tmpfs -o size=1m tmpfs "{disk}" && head -c {1024 - room_kib}K /dev/zero > "{disk}/ballast" && exec "$@"'
        stack.wrapper = (*mount_namespace(), "sh", "-c", script, "sh")

        up = stack._start("up", ["up", "--dir", str(disk / "muster")], crash=None, times=0)

        assert up.process.wait(timeout=30) == 4
        told = up.log.read_text()
        assert f"muster: the disk of {disk / 'muster'} is full (" in told
        assert "free space on it and start again" in told


def test_muster_up_leaves_no_worker_where_the_disk_takes_no_more_files(stack: Stack) -> None:
    up, inside = _start_up_on_a_disk(stack, size_mib=64, files_max=400)
    tally = Tally(stack.root / "tally.jsonl")
    with Client((inside / "address").read_text().strip(), (inside / "token").read_text().strip()) as client:
        workflows = [client.submit_workflow(_squares(tally)).workflow_id for _ in range(2)]
        for workflow in workflows:
            tally.publish(client, workflow, [{"n": 1}])
        wait_for(lambda: all(client.get_progress(one).input.done == 1 for one in workflows), "both work")
    with contextlib.suppress(OSError):
        for number in count():  # ends with the disk
            (inside / f"file-{number}").touch()

    up.process.send_signal(signal.SIGINT)

    up.process.wait(timeout=60)
    assert workers_alive(stack.root) == {}
    assert "No space left on device" in up.log.read_text()


def _start_up_on_a_disk(stack: Stack, *, size_mib: int, files_max: int = 0) -> tuple[Part, Path]:
    """`muster up` with its folder on a disk of its own, and that folder as it is seen from here. `files_max`: 0 for any number."""
    disk = stack.state
    disk.mkdir()
    script = f'mount -t tmpfs -o size={size_mib}m,nr_inodes={files_max} tmpfs "{disk}" && exec "$@"'
    stack.wrapper = (*mount_namespace(), "sh", "-c", script, "sh")
    up = stack._start("up", ["up", "--dir", str(disk)], crash=None, times=0)
    wait_for(lambda: not up.is_alive or "Muster is up" in up.log.read_text(), "it is up", deadline_s=30)
    return up, Path(f"/proc/{up.process.pid}/root{disk}")


def _fill(ballast: Path) -> None:
    """Until nothing more fits."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:  # ends with the disk
            file.write(b"\0" * 4096)


def _squares(tally: Tally) -> NewWorkflow:
    task = tally.make_task()
    return NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)


def _publish_until_refused(client: Client, workflow: str, tally: Tally, bodies: Iterator[dict[str, Any]]) -> str:
    for _ in range(200):
        try:
            tally.publish(client, workflow, islice(bodies, 10))
        except UnavailableError as error:
            return str(error)
    raise AssertionError(f"{len(tally.published)} events fit on {DISK_MIB} MiB")


def _publish_by_hand(
    stack: Stack, workflow: str, bodies: Iterator[dict[str, Any]]
) -> "subprocess.CompletedProcess[str]":
    file = stack.root / "more.jsonl"
    file.write_text("".join(json.dumps(body) + "\n" for body in islice(bodies, 10)))
    return stack.run("queue", "publish", workflow, "in", str(file))
