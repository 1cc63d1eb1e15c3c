"""What must every pool do? One suite for all of them; a pool's own test class inherits it and brings the fixtures."""

import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import anyio
import pytest

from muster.domain.errors import ConflictError, NotFoundError, RejectedError
from muster.domain.worker_order import OrderAction
from muster.site.ports.pool import ClusterSpec, Observation, PilotStatus, Placed, Pool, ProcState

TF_1, TF_2, TF_3 = (f"TF-{os.getpid()}-{number}" for number in (1, 2, 3))
"""No two test processes have the same: a pool ends every process that carries a taskforce's mark."""
STAYS = ("sleep", "600")
ENDS_WELL = ("true",)
ENDS_BADLY = ("false",)
SAYS = ("sh", "-c", "echo 'no log' >&2; exit 3")
DEADLINE_S = 30.0

DONE = (ProcState.COMPLETED, PilotStatus.DONE)
FATAL = (ProcState.COMPLETED, PilotStatus.FATAL)
REMOVED = (ProcState.REMOVED, None)

Reopen = Callable[[], Awaitable[Pool]]


def spec(*argv: str, n_workers: int = 1, fence: int = 1, input_files: tuple[str, ...] = ()) -> ClusterSpec:
    return ClusterSpec(n_workers=n_workers, secret="s3cret", fence=fence, argv=argv, input_files=input_files)


async def look(pool: Pool, *, timeout_s: float) -> frozenset[int]:
    """What the agent's loops do with a pool all the time."""
    await pool.tend()
    return await pool.wait_for_change(timeout_s=timeout_s)


async def wait_until_over(pool: Pool, cluster: int) -> Observation:
    """What is seen once no proc is left."""
    with anyio.fail_after(DEADLINE_S):
        while (seen := await pool.observe(cluster)).n_left:
            await look(pool, timeout_s=1.0)
    return seen


async def wait_until_seen(pool: Pool, cluster: int, counts: Mapping[tuple[str, str | None], int]) -> Observation:
    """What is seen once so many procs are in these states."""
    with anyio.fail_after(DEADLINE_S):
        while (seen := await pool.observe(cluster)).counts != counts:
            await look(pool, timeout_s=0.2)
    return seen


async def wait_until_counted(pool: Pool, cluster: int, expected: Mapping[str, int]) -> Observation:
    """What is seen once so many procs are in these states, whatever is known of why and of their pilots."""
    with anyio.fail_after(DEADLINE_S):
        while True:
            seen = await pool.observe(cluster)
            counts: Counter[str] = Counter()
            for (state, _), count in seen.counts.items():
                counts[state.partition(":")[0]] += count
            if counts == expected:
                return seen
            await look(pool, timeout_s=0.2)


class PoolContract:
    """The fixtures: `pool`, and `reopen`, which gives another pool object over the same workers, as after a crash of the agent.

    `RUNNING`: how a program is seen that runs and is no worker.
    """

    RUNNING: ClassVar[tuple[str, str | None]] = (ProcState.RUNNING, PilotStatus.TASKING)
    QUIET_S: ClassVar[float] = 0.05
    """Seconds without news after which nothing more will come of what has happened."""

    async def test_a_cluster_is_found_by_its_tag_and_nothing_else_is(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS), tag=TF_1)

        assert await pool.find(TF_1) == cluster
        assert await pool.find(TF_2) is None

    async def test_a_placed_cluster_is_listed_with_what_rebuilds_the_agents_memory(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=3, fence=7), tag=TF_1)

        assert list(await pool.list_placed()) == [Placed(TF_1, cluster, n_workers=3, fence=7)]

    async def test_a_tag_that_is_taken_is_a_conflict_and_changes_nothing(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)

        with pytest.raises(ConflictError):
            await pool.submit(spec(*STAYS), tag=TF_1)

        assert await pool.find(TF_1) == cluster
        await wait_until_seen(pool, cluster, {self.RUNNING: 2})

    async def test_two_clusters_have_two_numbers_and_none_comes_again(self, pool: Pool, reopen: Reopen) -> None:
        first = await pool.submit(spec(*STAYS), tag=TF_1)
        second = await pool.submit(spec(*STAYS), tag=TF_2)
        await pool.remove(second, grace_s=0)
        await pool.forget(second)
        third = await (await reopen()).submit(spec(*STAYS), tag=TF_2)

        assert len({first, second, third}) == 3

    async def test_an_input_file_that_is_missing_is_refused_and_nothing_is_left(
        self, pool: Pool, tmp_path: Path
    ) -> None:
        with pytest.raises(RejectedError, match="no-such-file"):
            await pool.submit(spec(*STAYS, input_files=(str(tmp_path / "no-such-file"),)), tag=TF_1)

        assert await pool.find(TF_1) is None
        assert list(await pool.list_placed()) == []

    async def test_running_workers_are_seen(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=3), tag=TF_1)

        seen = await wait_until_seen(pool, cluster, {self.RUNNING: 3})
        assert replace(seen, facts=None) == Observation({self.RUNNING: 3}, {}, n_left=3, ended_at=None)
        assert list(await pool.explain(cluster)) == []

    async def test_workers_that_end_well_are_done(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*ENDS_WELL, n_workers=2), tag=TF_1)

        seen = await wait_until_over(pool, cluster)

        assert (seen.counts, seen.errors, seen.n_left) == ({DONE: 2}, {}, 0)
        assert seen.ended_at is not None
        assert seen.ended_at <= time.time()

    async def test_workers_that_keep_failing_are_given_up_and_say_why(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*ENDS_BADLY, n_workers=2), tag=TF_1)

        seen = await wait_until_over(pool, cluster)

        assert (seen.counts, seen.errors) == ({FATAL: 2}, {"worker ended with status 1": 2})

    async def test_a_change_is_told_of_once(self, pool: Pool) -> None:
        stays = await pool.submit(spec(*STAYS), tag=TF_1)
        await wait_until_seen(pool, stays, {self.RUNNING: 1})
        with anyio.fail_after(DEADLINE_S):  # until all was told of its beginning
            while await look(pool, timeout_s=self.QUIET_S):
                pass
        ends = await pool.submit(spec(*ENDS_WELL), tag=TF_2)

        changed: set[int] = set()
        with anyio.fail_after(DEADLINE_S):
            while (await pool.observe(ends)).n_left:
                changed |= await look(pool, timeout_s=1.0)
        changed |= await look(pool, timeout_s=self.QUIET_S)

        assert changed == {ends}, (changed, stays, ends)
        assert (await pool.observe(stays)).n_left == 1
        assert await look(pool, timeout_s=self.QUIET_S) == frozenset()

    async def test_what_does_not_exist_cannot_be_observed_and_is_gone_already(self, pool: Pool) -> None:
        with pytest.raises(NotFoundError):
            await pool.observe(4711)
        with pytest.raises(NotFoundError):
            await pool.explain(4711)
        with pytest.raises(NotFoundError):
            await pool.describe(4711)

        await pool.remove(4711, grace_s=0)
        await pool.forget(4711)

        assert list(await pool.list_placed()) == []

    @pytest.mark.parametrize("grace_s", [0.0, 5.0])
    async def test_a_removed_cluster_has_no_worker_left(self, pool: Pool, grace_s: float) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=3), tag=TF_1)

        await pool.remove(cluster, grace_s=grace_s)
        await pool.remove(cluster, grace_s=grace_s)

        seen = await pool.observe(cluster)
        assert (seen.counts, seen.n_left) == ({REMOVED: 3}, 0)
        assert seen.ended_at is not None

    async def test_removing_what_has_ended_changes_nothing(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*ENDS_WELL), tag=TF_1)
        before = await wait_until_over(pool, cluster)

        await pool.remove(cluster, grace_s=1)

        assert await pool.observe(cluster) == before

    async def test_a_cluster_with_workers_cannot_be_forgotten(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS), tag=TF_1)

        with pytest.raises(ConflictError):
            await pool.forget(cluster)

        assert await pool.find(TF_1) == cluster

    async def test_a_forgotten_cluster_is_gone_and_its_tag_is_free(self, pool: Pool, reopen: Reopen) -> None:
        cluster = await pool.submit(spec(*STAYS), tag=TF_1)
        await pool.remove(cluster, grace_s=0)

        await pool.forget(cluster)
        await pool.forget(cluster)

        assert await pool.find(TF_1) is None
        with pytest.raises(NotFoundError):
            await pool.observe(cluster)
        later = await reopen()
        assert await later.find(TF_1) is None
        assert await later.submit(spec(*STAYS), tag=TF_1) != cluster

    async def test_the_next_agent_takes_running_workers_over(self, pool: Pool, reopen: Reopen) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)

        later = await reopen()

        assert await later.find(TF_1) == cluster
        seen = await wait_until_seen(later, cluster, {self.RUNNING: 2})
        assert replace(seen, facts=None) == Observation({self.RUNNING: 2}, {}, n_left=2, ended_at=None)
        await later.remove(cluster, grace_s=5)
        assert (await later.observe(cluster)).counts == {REMOVED: 2}

    async def test_the_next_agent_knows_how_workers_ended(self, pool: Pool, reopen: Reopen) -> None:
        well = await pool.submit(spec(*ENDS_WELL), tag=TF_1)
        badly = await pool.submit(spec(*ENDS_BADLY), tag=TF_2)
        gone = await pool.submit(spec(*STAYS), tag=TF_3)
        await pool.remove(gone, grace_s=0)
        before = [await wait_until_over(pool, one) for one in (well, badly, gone)]

        later = await reopen()

        assert [await later.observe(one) for one in (well, badly, gone)] == before

    async def test_nothing_is_started_again_after_a_removal(self, pool: Pool, reopen: Reopen) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)
        await pool.remove(cluster, grace_s=0)

        later = await reopen()
        await look(later, timeout_s=0.2)

        assert (await later.observe(cluster)).counts == {REMOVED: 2}

    async def test_paused_workers_are_gone_and_go_on_with_the_next_agent(self, pool: Pool, reopen: Reopen) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)
        await wait_until_seen(pool, cluster, {self.RUNNING: 2})
        assert await pool.act(cluster, OrderAction.HOLD, [1], reason="by hand") == 1

        await pool.pause(grace_s=5)

        later = await reopen()
        await wait_until_counted(later, cluster, {ProcState.RUNNING: 1, ProcState.HELD: 1})
        assert await later.act(cluster, OrderAction.RELEASE, [1], reason="over") == 1
        await wait_until_seen(later, cluster, {self.RUNNING: 2})

    # -- single procs ------------------------------------------------------------------------------------------------

    async def test_a_held_proc_stops_until_it_is_released_and_the_others_run_on(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=3), tag=TF_1)
        await wait_until_seen(pool, cluster, {self.RUNNING: 3})

        assert await pool.act(cluster, OrderAction.HOLD, [1], reason="lunch") == 1

        seen = await wait_until_counted(pool, cluster, {ProcState.HELD: 1, ProcState.RUNNING: 2})
        assert (seen.n_left, seen.ended_at) == (3, None)
        assert await pool.act(cluster, OrderAction.HOLD, [1], reason="again") == 0
        assert await pool.act(cluster, OrderAction.RELEASE, [0, 1, 2], reason="over") == 1
        await wait_until_seen(pool, cluster, {self.RUNNING: 3})
        assert await pool.act(cluster, OrderAction.RELEASE, [], reason="over") == 0

    async def test_all_procs_are_held_and_go_on_for_the_next_agent_only_when_released(
        self, pool: Pool, reopen: Reopen
    ) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)
        await wait_until_seen(pool, cluster, {self.RUNNING: 2})
        assert await pool.act(cluster, OrderAction.HOLD, [], reason="maintenance") == 2
        await wait_until_counted(pool, cluster, {ProcState.HELD: 2})

        later = await reopen()

        await look(later, timeout_s=0.5)
        await wait_until_counted(later, cluster, {ProcState.HELD: 2})
        assert await later.act(cluster, OrderAction.RELEASE, [], reason="over") == 2
        await wait_until_seen(later, cluster, {self.RUNNING: 2})

    async def test_a_removed_proc_is_gone_for_good_and_the_others_run_on(self, pool: Pool, reopen: Reopen) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=3), tag=TF_1)
        await wait_until_seen(pool, cluster, {self.RUNNING: 3})

        assert await pool.act(cluster, OrderAction.REMOVE, [0], reason="its machine is odd") == 1

        expected = {self.RUNNING: 2, REMOVED: 1}
        assert (await wait_until_seen(pool, cluster, expected)).n_left == 2
        assert await pool.act(cluster, OrderAction.REMOVE, [0], reason="again") == 0
        assert await pool.act(cluster, OrderAction.RELEASE, [0], reason="no") == 0
        later = await reopen()
        await look(later, timeout_s=0.2)
        await wait_until_seen(later, cluster, expected)

    async def test_a_cluster_of_which_every_proc_was_removed_is_over(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)
        await wait_until_seen(pool, cluster, {self.RUNNING: 2})
        await pool.act(cluster, OrderAction.HOLD, [0], reason="first")
        await wait_until_counted(pool, cluster, {ProcState.HELD: 1, ProcState.RUNNING: 1})

        assert await pool.act(cluster, OrderAction.REMOVE, [], reason="all of them") == 2

        seen = await wait_until_over(pool, cluster)
        assert seen.counts == {REMOVED: 2}
        assert seen.ended_at is not None

    async def test_what_has_ended_is_passed_over(self, pool: Pool) -> None:
        cluster = await pool.submit(spec(*ENDS_WELL, n_workers=2), tag=TF_1)
        before = await wait_until_over(pool, cluster)

        for action in (OrderAction.HOLD, OrderAction.RELEASE, OrderAction.REMOVE):
            assert await pool.act(cluster, action, [0, 1, 7], reason="late") == 0

        assert await pool.observe(cluster) == before
        with pytest.raises(NotFoundError):
            await pool.act(4711, OrderAction.HOLD, [], reason="nothing is there")

    async def test_what_a_proc_wrote_is_read_while_it_is_there_and_when_its_cluster_was_forgotten(
        self, pool: Pool
    ) -> None:
        cluster = await pool.submit(spec(*SAYS, n_workers=2), tag=TF_1)
        await wait_until_over(pool, cluster)

        logs = {one.name: one for one in await pool.read_logs(TF_1, 1)}

        assert set(logs["stderr"].text.splitlines()) == {"no log"}
        assert logs["stderr"].size_bytes == len(logs["stderr"].text)
        await pool.remove(cluster, grace_s=0)
        await pool.forget(cluster)
        assert {one.name: one for one in await pool.read_logs(TF_1, 1)} == logs

    async def test_nothing_is_read_of_what_was_never_there(self, pool: Pool) -> None:
        await pool.submit(spec(*STAYS, n_workers=2), tag=TF_1)
        for tag, proc in ((TF_1, 2), (TF_2, 0), ("../" + TF_1, 0)):
            with pytest.raises(NotFoundError):
                await pool.read_logs(tag, proc)
