"""A program that places one cluster and may crash on its way: `agent_program.py <folder> <tag> <workers> <argv...>`."""

import sys
from pathlib import Path

import anyio

from muster.site.adapters.processes.pool import ProcessPool
from muster.site.adapters.processes.settings import WorkerSettings
from muster.site.ports.pool import ClusterSpec


async def main(*arguments: str) -> None:
    folder, tag, n_workers, *argv = arguments
    pool = await ProcessPool.open(Path(folder), WorkerSettings(command=("false",)))
    if await pool.find(tag) is None:
        await pool.submit(ClusterSpec(int(n_workers), "s3cret", argv=argv), tag=tag)
    await pool.wait_for_change(timeout_s=0.2)
    pool.close()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
