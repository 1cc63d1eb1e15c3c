"""When a clock was set by an hour: is a cluster in the history found still, and is the queue believed where the log does not tell?"""

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.event_logs import execute, released, submit
from muster.site.adapters.htcondor.logs import SETTLED_S, Logs
from muster.site.adapters.htcondor.queue import JobStatus, QueuedProcs, find_ended
from muster.site.adapters.htcondor.schedd import Account, Ad, Schedd

NOON = 1795348800.0  # 2026-11-22 12:00:00
AFTER = "2026-11-22 12:00:01"
HOUR_S = 3600.0


class History(Schedd):
    """Ends (cluster → when), read from the last one on, and not beyond what is asked for."""

    def __init__(self, ends: dict[int, float]) -> None:
        super().__init__()
        self._ends = ends

    async def identify(self) -> Account:
        return Account("ap", ("me@here",))

    async def history(
        self, constraint: str, attributes: Sequence[str], *, match: int = -1, since: str = ""
    ) -> list[Ad]:
        until = float(re.fullmatch(r"EnteredCurrentStatus < (\d+)", since)[1])  # type: ignore[index]
        found: list[Ad] = []
        for cluster, ended_at in reversed(self._ends.items()):
            if ended_at < until:
                break
            found.append({"ClusterId": cluster})
        return found[:match]


@pytest.mark.anyio
@pytest.mark.parametrize("set_s", [-HOUR_S, 0.0, HOUR_S])
async def test_what_ended_after_its_submission_is_found_whatever_the_clock_said_then(set_s: float) -> None:
    schedd = History({1: NOON - 10 * 86_400, 7: NOON + 1 + set_s})

    assert await find_ended(schedd, "TF-1", after=NOON, not_among=[]) == 7


@pytest.mark.parametrize("set_s", [-HOUR_S, 0.0])
def test_a_lost_hold_is_seen_although_the_clock_was_set_back_and_the_next_event_is_taken(
    tmp_path: Path, set_s: float
) -> None:
    log = tmp_path / "log"
    log.write_bytes(submit() + execute())
    logs = Logs(now=lambda: NOON)
    logs.follow(7, log, checkpoint=tmp_path / "checkpoint", n_workers=1)
    logs.poll()
    held = QueuedProcs(array("q", [0, JobStatus.HELD, 3, 77, int(NOON - SETTLED_S - set_s)]))

    assert logs.correct(7, held, {}, [])
    assert logs.list_holding() == [7]

    with log.open("ab") as file:
        file.write(released(at=AFTER))
    logs.poll()
    assert logs.list_holding() == []
    logs.close()
