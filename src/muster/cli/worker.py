"""`muster worker …`: those that are up and what may be done with them, the file that travels to execution points, and what it would find
on this one.
"""

import os
from pathlib import Path

from cyclopts import App

from muster.cli.console import put, put_json, say
from muster.cli.failure import FAILED, OK, UsageError
from muster.cli.worker_list import EXAMPLES as EXAMPLES_OF_LIST
from muster.cli.worker_list import list_
from muster.cli.worker_orders import EXAMPLE_OF_ORDER, hold, logs, order, release, remove
from muster.cli.worker_orders import EXAMPLES as EXAMPLES_OF_ORDERS
from muster.domain.worker_order import OrderAction

app = App(
    name="worker",
    help="See the workers that are up and what they wrote; hold, release and remove single ones. Make the file that travels to execution "
    "points, and see what it would find on one.",
    help_format="plaintext",
)
app.help_epilogue = """Examples:
  muster worker list latest
  muster worker logs latest 3
  muster worker hold latest 3 --reason "its disk is full"
  muster worker bundle muster-worker.pyz
  muster worker doctor"""
app.command(list_, name="list", help_epilogue=EXAMPLES_OF_LIST)
for _command, _action in (
    (logs, OrderAction.LOGS),
    (hold, OrderAction.HOLD),
    (release, OrderAction.RELEASE),
    (remove, OrderAction.REMOVE),
):
    app.command(_command, help_epilogue=EXAMPLES_OF_ORDERS[_action])
app.command(order, help_epilogue=EXAMPLE_OF_ORDER)


@app.command(help_epilogue="Example:\n  muster worker bundle muster-worker.pyz")
def bundle(path: Path, /, *, json: bool = False, debug: bool = False) -> int:
    """Write the worker as one file, that any Python from 3.9 on runs without installing anything.

    Args:
        path: where to write it.
        json: tell path and size as JSON.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    from muster.worker.bundle import build_bundle

    if path.is_dir() or not path.parent.is_dir():
        why = (
            "is a folder: name a file in it"
            if path.is_dir()
            else f"cannot be written: there is no folder {path.parent}"
        )
        raise UsageError(
            f"path: {path} {why}, such as {path / 'muster-worker.pyz' if path.is_dir() else 'muster-worker.pyz'}"
        )
    size_bytes = build_bundle(path)
    if json:
        put_json({"path": str(path), "size_bytes": size_bytes})
    else:
        put(str(path))
        say(f"{size_bytes} bytes; a site agent makes and starts it by itself")
    return OK


@app.command(
    help_epilogue="""Examples:
  muster worker doctor
  MUSTER_WORKER_URL=https://muster.example.org muster worker doctor
  muster worker doctor --json
Within a batch job, where no Muster is installed:
  python3 muster-worker.pyz --doctor"""
)
def doctor(*, json: bool = False, debug: bool = False) -> int:
    """See what a worker would find on this machine: Python, containers, isolation, disk, memory, GPUs, and the way to the service.

    The worker's own variables count, MUSTER_WORKER_URL say. The exit status is 1 if a worker cannot work here.

    Args:
        json: tell the findings as JSON.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    from dataclasses import asdict

    from muster.worker.doctor import BAD, examine, render

    findings = examine(os.environ)
    if json:
        put_json({"findings": [asdict(one) for one in findings]})
    else:
        put(render(findings).rstrip("\n"))
    return FAILED if any(one.state == BAD for one in findings) else OK
