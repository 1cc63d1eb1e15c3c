"""Is what a running worker has written asked of its machine in HTCondor's words, bounded, and told from what an earlier start wrote?"""

from pathlib import Path

import pytest

from muster.domain.worker_order import LOG_BYTES_MAX, WorkerLog
from muster.site.adapters.htcondor.peek import add_running
from muster.site.adapters.htcondor.schedd import Schedd

pytestmark = pytest.mark.anyio

BEFORE = WorkerLog("stderr", "it failed\n", 10)


class Programs(Schedd):
    """A schedd whose programs are in a folder of ours."""

    def __init__(self, folder: Path, name: str = "") -> None:
        super().__init__(name)
        self._folder = folder

    async def find_programs(self) -> str:
        return str(self._folder)


def write_tool(folder: Path, script: str) -> None:
    tool = folder / "condor_tail"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


async def test_what_runs_now_stands_beside_what_an_earlier_start_wrote(tmp_path: Path) -> None:
    write_tool(tmp_path, 'echo "$@"')

    before, now = await add_running(Programs(tmp_path, "ap-1"), 12, 3, [BEFORE])

    assert (before.name, before.text) == ("stderr-before", BEFORE.text)
    assert (now.name, now.text) == ("stderr", f"-name ap-1 -stderr -no-stdout -maxbytes {LOG_BYTES_MAX} 12.3\n")


@pytest.mark.parametrize("script", ["exit 1", "true", None])
async def test_where_nothing_is_said_there_is_what_came_back(tmp_path: Path, script: str | None) -> None:
    if script is not None:
        write_tool(tmp_path, script)
    assert list(await add_running(Programs(tmp_path), 12, 3, [BEFORE])) == [BEFORE]
