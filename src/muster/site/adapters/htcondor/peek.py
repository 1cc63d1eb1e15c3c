"""What has a worker written that runs now? HTCondor brings it back only when it has ended; its own `condor_tail` asks the machine."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from muster.domain.worker_order import LOG_BYTES_MAX, WorkerLog
from muster.site.adapters.htcondor.schedd import Schedd
from muster.site.adapters.log_ends import make_log

ANSWER_S = 15.0
"""Seconds that the machine has for its answer; it may be behind a firewall, or gone."""


async def add_running(schedd: Schedd, cluster: int, proc: int, found: Sequence[WorkerLog]) -> Sequence[WorkerLog]:
    """The texts that were found, and what the start that is under way has written. Raises as `peek`."""
    if (now := await peek(schedd, cluster, proc)) is None:
        return found
    return [*(replace(one, name=f"{one.name}-before") if one.name == now.name else one for one in found), now]


async def peek(schedd: Schedd, cluster: int, proc: int) -> WorkerLog | None:
    """The end of what it wrote to stderr. None: it does not run, has written nothing, or its machine cannot be asked.

    Raises UnavailableError: HTCondor's library does not answer.
    """
    tool = Path(await schedd.find_programs()) / "condor_tail"
    if not tool.is_file():
        return None
    schedd_name = ["-name", schedd.name] if schedd.name else []
    command = [str(tool), *schedd_name, "-stderr", "-no-stdout", "-maxbytes", str(LOG_BYTES_MAX), f"{cluster}.{proc}"]
    try:
        with anyio.fail_after(ANSWER_S):
            ran = await anyio.run_process(command, check=False, stdin=subprocess.DEVNULL)
    except (TimeoutError, OSError):
        return None
    return make_log("stderr", ran.stdout, len(ran.stdout)) if ran.returncode == 0 else None
