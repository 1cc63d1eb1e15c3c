"""Is anything lost when the database's disk is full, and does the service go on when there is room again?

The disk is real: a small tmpfs in a mount namespace of the service's own. Nothing is patched.
"""

import os
import subprocess
from pathlib import Path

import pytest

from harness.stack import Stack
from harness.tally import check_account, consume_values
from harness.waiting import wait_for
from muster.client.patience import Patience
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.synchronous import Client
from muster.domain.errors import UnavailableError

pytestmark = pytest.mark.system

DISK_MIB = 48
BALLAST_MIB = 24
BODY = "x" * 60_000


def test_a_full_disk_refuses_in_words_and_loses_nothing(stack: Stack) -> None:
    disk = stack.root / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "{disk}" && exec "$@"'
    stack.wrapper = (*_namespace(), "sh", "-c", script, "sh")
    stack.database_url = f"sqlite:///{disk / 'muster.db'}"
    serve = stack.start_serve()
    inside = Path(f"/proc/{serve.process.pid}/root{disk}")
    (inside / "ballast").write_bytes(b"\0" * (BALLAST_MIB << 20))
    stack.wrapper = ()
    task = NewTask(
        cluster_locations=["local"],
        task_image="",
        task_args="true",
        input_queue_aliases=["in"],
        output_queue_aliases=["out"],
        n_workers=2,
    )
    with stack.client() as client, Client(stack.url, stack.token, patience=Patience(0.5, 0.5)) as hasty:
        new = NewWorkflow(tasks=[task], public_queue_aliases=["in", "out"], finish_when_done=True)
        workflow = client.submit_workflow(new).workflow_id

        accepted, refusal = _publish_until_refused(hasty, workflow)

        assert "full" in refusal
        assert serve.is_alive
        assert client.get_account(workflow).published == accepted, "what was refused is not there, what was accepted is"
        with pytest.raises(UnavailableError):
            _publish(hasty, workflow, 10)

        (inside / "ballast").unlink()

        wait_for(lambda: _publish(client, workflow, 1), "there is room again")
        client.close_queue(workflow, "in")
        stack.start_site()
        wait_for(lambda: client.get_workflow(workflow).state == "FINISHED", "it finishes itself")
        check_account(client, workflow, published=accepted + 1, done=accepted + 1)
        assert consume_values(client, workflow, "out") == [], "the task writes no output"


def _publish(client: Client, workflow: str, count: int) -> int:
    return client.publish(workflow, "in", [{"body": BODY}] * count).events


def _publish_until_refused(client: Client, workflow: str) -> tuple[int, str]:
    accepted = 0
    for _ in range(200):
        try:
            accepted += _publish(client, workflow, 10)
        except UnavailableError as error:
            return accepted, str(error)
    raise AssertionError(f"{accepted} events fit on {DISK_MIB} MiB")


def _namespace() -> tuple[str, ...]:
    """A mount namespace: as root at once, else in a user namespace of our own."""
    prefix = ("unshare", "--mount") if os.getuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")
    tried = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace can be made here: {tried.stderr.strip()}")
    return prefix
