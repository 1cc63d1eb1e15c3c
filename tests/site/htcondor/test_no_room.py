"""When the disk takes nothing more for a while: is what the schedd was told, and what the logs said, known afterwards?

The kernel refuses to make any file of this process longer, as a full disk does.
"""

import resource
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.event_logs import execute, held, submit
from muster.domain.errors import UnavailableError
from muster.site.adapters.htcondor.describe import Policy
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.hold_policy import HoldPolicy
from muster.site.adapters.htcondor.logs import Logs
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Account, Acted, Action, Ad, Schedd
from muster.site.ports.pool import ClusterSpec

CLUSTER, WHY = 7, "worker ended with status 1"


@contextmanager
def no_room() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class OneHeld(Schedd):
    """A cluster of one proc, held once too often, until it is removed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_there = True

    async def identify(self) -> Account:
        return Account("ap", ("me@here",))

    async def query_numbers(self, constraint: str, attributes: Sequence[str]) -> "array[int]":
        return array("q", [0, 5, 3, 77, 0] if self.is_there else [])

    async def submit(self, description: Mapping[str, str], *, count: int) -> int:
        Path(description["log"]).write_bytes(submit() + execute() + held(code=3, subcode=77, reason=WHY))  # noqa: ASYNC240
        return CLUSTER

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        if not self.is_there or f"{CLUSTER}" not in constraint:
            return []
        hold = {"HoldReason": WHY, "HoldReasonCode": 3, "HoldReasonSubCode": 77, "NumHolds": 9}
        return [{"ClusterId": CLUSTER, "ProcId": 0, "JobStatus": 5, **hold}]

    async def history(
        self, constraint: str, attributes: Sequence[str], *, match: int = -1, since: str = ""
    ) -> list[Ad]:
        return []

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        if action is Action.REMOVE:
            self.is_there = False
        return Acted(1, 0, 0)


@pytest.mark.anyio
async def test_why_a_worker_was_given_up_is_told_though_it_could_not_be_noted_at_first(tmp_path: Path) -> None:
    (tmp_path / "worker").touch()
    rules = Rules(Policy(agent="site"), Workers({}, tmp_path / "worker"), holds=HoldPolicy(holds_max=1))
    pool = await CondorPool.open(tmp_path / "site", OneHeld(), rules)
    cluster = await pool.submit(ClusterSpec(1, "s3cret", fence=1), tag="TF-1")
    await pool.observe(cluster)
    with no_room(), pytest.raises(UnavailableError, match="File too large"):
        await pool.tend()

    await pool.tend()

    assert (await pool.observe(cluster)).errors == {WHY: 1}
    await pool.close()


def test_a_log_is_read_on_and_let_go_though_no_checkpoint_can_be_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(submit() + execute())
    logs = Logs()
    logs.follow(CLUSTER, log, checkpoint=tmp_path / "checkpoint", n_workers=1)
    with no_room():
        assert logs.poll() == {CLUSTER}, "what happened is told"
        logs.close()

    assert not (tmp_path / "checkpoint").exists()
    assert [path for path in tmp_path.iterdir() if path != log] == []
