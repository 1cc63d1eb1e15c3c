"""What becomes of clusters when the agent is pointed at another schedd, which knows nothing of them?"""

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from muster.domain.errors import ConflictError, UnavailableError
from muster.domain.worker_order import OrderAction
from muster.site.adapters.durable import TEMPORARY
from muster.site.adapters.htcondor.describe import FENCE, TAG, WORKERS, Policy
from muster.site.adapters.htcondor.doctor import look_clusters
from muster.site.adapters.htcondor.folder import PlacedFile, PoolFolder, Workers
from muster.site.adapters.htcondor.pool import CondorPool
from muster.site.adapters.htcondor.rules import Rules
from muster.site.adapters.htcondor.schedd import Account, Acted, Action, Ad, Schedd
from muster.site.ports.checks import Verdict
from muster.site.ports.pool import ClusterSpec

pytestmark = pytest.mark.anyio

SPEC = ClusterSpec(2, "s3cret", fence=3)
ENDED = """000 (007.00{proc}.000) 2026-12-01 12:00:00 Job submitted from host: <127.0.0.1:9618>
...
009 (007.00{proc}.000) 2026-12-01 12:00:01 Job was aborted.
...
"""


class NamedSchedd(Schedd):
    """One in memory, whose queue has these clusters: tag by number."""

    def __init__(self, name: str, queue: dict[int, str]) -> None:
        super().__init__()
        self.name, self.queue, self.next_number = name, queue, 8
        self.acted: list[Action] = []

    async def identify(self) -> Account:
        return Account(self.name, ("us@pool",))

    async def submit(self, description: Mapping[str, str], *, count: int) -> int:
        self.next_number += 1
        self.queue[self.next_number] = description[f"+{TAG}"].strip('"')
        return self.next_number

    async def query(
        self, constraint: str, attributes: Sequence[str], *, limit: int = -1, factories: bool = False
    ) -> list[Ad]:
        return [
            {"ClusterId": number, TAG: tag, FENCE: 3, WORKERS: 2}
            for number, tag in self.queue.items()
            if constraint.startswith((f"ClusterId == {number} ", f"{TAG} == ", "MusterAgent == "))
            and (not constraint.startswith(TAG) or f'"{tag}"' in constraint)
            and "JobStatus" not in constraint
            and "HoldReason" not in constraint
        ]

    async def query_numbers(self, constraint: str, attributes: Sequence[str]) -> "array[int]":
        ads = await self.query(constraint, attributes)
        return array("q", [int(ad.get(name, 0)) for ad in ads for name in attributes])

    async def history(
        self, constraint: str, attributes: Sequence[str], *, match: int = -1, since: str = ""
    ) -> list[Ad]:
        return []

    async def act(self, action: Action, constraint: str, *, reason: str, code: int = 0) -> Acted:
        if action is not Action.RELEASE:
            self.acted.append(action)
            for number in [number for number in self.queue if f"ClusterId == {number} " in constraint]:
                del self.queue[number]
        return Acted(0, 0, 0)


def place(folder: Path, tag: str, cluster: int | None, *, schedd: str, log: str = "") -> None:
    """As an agent of before has left it."""
    (folder / "worker").touch()
    pool = PoolFolder(folder / "htcondor")
    pool.open()
    made = pool.make(SPEC, tag=tag, schedd=schedd, workers=Workers({}, folder / "worker"), now=0.0)
    made.log.write_text(log)
    if cluster is not None:
        made.note_placed(PlacedFile(cluster))


async def open_pool(folder: Path, schedd: Schedd) -> CondorPool:
    rules = Rules(Policy(agent="site"), Workers({}, folder / "worker"))
    return await CondorPool.open(folder / "htcondor", schedd, rules)


async def test_clusters_of_another_schedd_stay_and_their_trouble_is_told_with_the_remedy(tmp_path: Path) -> None:
    place(tmp_path, "TF-a", 7, schedd="ap-1", log=ENDED.format(proc=0) + ENDED.format(proc=1))
    schedd = NamedSchedd("ap-2", {})
    pool = await open_pool(tmp_path, schedd)

    for _ in range(3):
        with pytest.raises(UnavailableError, match=r"7 was placed at the schedd ap-1.*MUSTER_SITE_CONDOR_SCHEDD=ap-1"):
            await pool.tend()

    seen = await pool.observe(7)
    assert (seen.counts, seen.ended_at) == ({("REMOVED", None): 2}, None)
    assert seen.n_left
    assert [one.cluster for one in await pool.list_placed()] == [7]
    assert await pool.find("TF-a") == 7
    [sentence] = await pool.explain(7)
    assert "ap-1" in sentence
    with pytest.raises(UnavailableError, match="ap-1"):
        await pool.remove(7, grace_s=0)
    with pytest.raises(ConflictError):
        await pool.forget(7)
    assert not schedd.acted
    await pool.close()

    later = await open_pool(tmp_path, NamedSchedd("ap-1", {}))
    await later.tend()
    assert not (await later.observe(7)).n_left
    await later.close()


async def test_single_workers_of_another_schedds_cluster_are_neither_touched_nor_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peeked: list[int] = []

    async def peek(schedd: Schedd, cluster: int, proc: int) -> None:
        peeked.append(cluster)

    monkeypatch.setattr("muster.site.adapters.htcondor.peek.peek", peek)
    place(tmp_path, "TF-a", 7, schedd="ap-1", log=ENDED.format(proc=0))
    schedd = NamedSchedd("ap-2", {7: "TF-other"})
    pool = await open_pool(tmp_path, schedd)

    for procs in ([0], []):
        with pytest.raises(UnavailableError, match="ap-1"):
            await pool.act(7, OrderAction.REMOVE, procs, reason="it is odd")
    [events] = await pool.read_logs("TF-a", 0)

    assert events.name == "events"
    assert (peeked, schedd.acted, schedd.queue) == ([], [], {7: "TF-other"})
    await pool.close()


async def test_a_cluster_whose_folder_cannot_be_written_keeps_no_other_one_waiting(tmp_path: Path) -> None:
    over = ENDED.format(proc=0) + ENDED.format(proc=1)
    place(tmp_path, "TF-a", 7, schedd="ap-1", log=over)
    place(tmp_path, "TF-b", 8, schedd="ap-1", log=over.replace("(007.", "(008."))
    (tmp_path / "htcondor" / "taskforces" / "TF-a" / f"{TEMPORARY}placed.json").mkdir()
    pool = await open_pool(tmp_path, NamedSchedd("ap-1", {}))
    for cluster in (7, 8):
        await pool.observe(cluster)

    with pytest.raises(UnavailableError, match="TF-a"):
        await pool.tend()

    seen = {cluster: await pool.observe(cluster) for cluster in (7, 8)}
    assert (seen[7].ended_at, seen[8].n_left) == (None, 0)
    assert seen[8].ended_at is not None
    await pool.close()


async def test_others_are_seen_to_beside_clusters_of_another_schedd(tmp_path: Path) -> None:
    place(tmp_path, "TF-a", 7, schedd="ap-1")
    place(tmp_path, "TF-doubt", None, schedd="ap-1")
    place(tmp_path, "TF-b", 8, schedd="")  # of before
    pool = await open_pool(tmp_path, NamedSchedd("ap-2", {}))

    with pytest.raises(UnavailableError, match="2 clusters"):
        await pool.tend()

    assert not (await pool.observe(8)).n_left
    assert {one.tag for one in await pool.list_placed()} == {"TF-a", "TF-b"}
    with pytest.raises(UnavailableError, match="ap-1"):
        await pool.find("TF-doubt")
    with pytest.raises(UnavailableError, match="ap-1"):
        await pool.submit(SPEC, tag="TF-doubt")
    assert (tmp_path / "htcondor" / "taskforces" / "TF-doubt").exists()
    await pool.close()


async def test_a_schedd_that_was_given_another_name_has_its_clusters_still(tmp_path: Path) -> None:
    place(tmp_path, "TF-a", 7, schedd="ap-1")
    pool = await open_pool(tmp_path, NamedSchedd("ap-2", {7: "TF-a"}))

    await pool.tend()

    assert PoolFolder(tmp_path / "htcondor").peek()[0][0].schedd == "ap-2"
    await pool.close()


async def test_a_number_that_another_schedds_cluster_has_is_given_back(tmp_path: Path) -> None:
    place(tmp_path, "TF-a", 9, schedd="ap-1")
    schedd = NamedSchedd("ap-2", {})
    pool = await open_pool(tmp_path, schedd)

    with pytest.raises(UnavailableError, match="TF-a"):
        await pool.submit(SPEC, tag="TF-b")
    assert schedd.queue == {}
    assert await pool.submit(SPEC, tag="TF-b") == 10
    assert (await pool.observe(9)).n_left == 2
    assert await pool.find("TF-a") == 9
    await pool.close()


def test_the_doctor_tells_of_clusters_of_another_schedd(tmp_path: Path) -> None:
    assert [*look_clusters(tmp_path / "htcondor", "ap-2")] == []
    assert not (tmp_path / "htcondor").exists()
    place(tmp_path, "TF-b", 8, schedd="ap-2")
    [well] = look_clusters(tmp_path / "htcondor", "ap-2")
    assert well.verdict is Verdict.OK
    place(tmp_path, "TF-a", 7, schedd="ap-1")
    [check] = look_clusters(tmp_path / "htcondor", "ap-2")
    assert check.verdict is Verdict.WARNING
    assert check.found.startswith("1 of 2 were placed at the schedd ap-1")
    assert "MUSTER_SITE_CONDOR_SCHEDD=ap-1" in check.remedy
