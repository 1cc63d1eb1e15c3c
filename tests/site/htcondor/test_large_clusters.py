"""Is everything of a cluster of many thousand procs seen to, and only what is news looked at closely?"""

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.event_logs import submit
from muster.site.adapters.htcondor.held import PAGE, HeldProcs
from muster.site.adapters.htcondor.hold_policy import BY_HAND, HoldPolicy
from muster.site.adapters.htcondor.logs import Logs
from muster.site.adapters.htcondor.queue import JobStatus, ProcAd, QueuedProcs, read_row
from muster.site.adapters.htcondor.schedd import Acted, Action, Ad, Schedd

N_PROCS = 2 * PAGE + 1
LONG_AGO = 1_795_000_000


class HoldingSchedd(Schedd):
    """Every proc of cluster 7 is held: those with an odd number by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []
        self.released: list[int] = []

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        first, end = (int(re.findall(rf"ProcId {sign} (\d+)", constraint)[0]) for sign in (">=", "<"))
        assert f"HoldReasonCode =!= {BY_HAND}" in constraint
        procs = [proc for proc in range(first, min(end, N_PROCS)) if proc % 2 == 0]
        self.told.append(len(procs))
        return [
            {"ClusterId": 7, "ProcId": proc, "HoldReasonCode": 46, "EnteredCurrentStatus": LONG_AGO} for proc in procs
        ]

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        assert action is Action.RELEASE
        self.released += map(int, re.findall(r"ProcId == (\d+)", constraint))
        return Acted(1, 0, 0)


@pytest.mark.anyio
async def test_held_procs_are_asked_for_in_pages_and_all_of_them_are_seen_to() -> None:
    schedd = HoldingSchedd()

    await HeldProcs(schedd, HoldPolicy()).tend({7: N_PROCS})

    assert schedd.released == list(range(0, N_PROCS, 2))
    assert max(schedd.told) <= PAGE
    assert len(schedd.told) == 3


def rows(*procs: tuple[int, JobStatus, int, int]) -> QueuedProcs:
    return QueuedProcs(array("q", [number for proc in procs for number in (*proc, LONG_AGO)]))


def test_only_those_of_which_the_log_says_something_else_are_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.log"
    path.write_bytes(submit(0) + submit(1) + submit(2))
    logs = Logs()
    logs.follow(7, path, checkpoint=tmp_path / "checkpoint", n_workers=5)
    logs.read(7)
    looked_at: list[int] = []

    def look(row: tuple[int, int, int, int, int]) -> ProcAd:
        looked_at.append(row[0])
        return read_row(row)

    monkeypatch.setattr("muster.site.adapters.htcondor.logs.read_row", look)
    idle, held, running = JobStatus.IDLE, JobStatus.HELD, JobStatus.RUNNING
    queued = rows((0, idle, 0, 0), (1, held, 3, 7), (2, running, 0, 0), (4, idle, 0, 0))
    assert logs.correct(7, queued, {}, [])
    assert looked_at == [1, 2, 4]
    report = logs.report(7)
    assert report is not None
    assert (report.n_procs, report.states) == (4, {1: 2, 5: 1, 2: 1})
    assert not logs.correct(7, queued, {}, [])
    assert logs.list_left(7, n_workers=5, with_unseen=True) == [0, 1, 2, 3, 4]
    logs.close()


def test_nothing_in_the_queue_is_nothing() -> None:
    assert rows().numbers == frozenset()
    assert list(rows().list_rows()) == []
