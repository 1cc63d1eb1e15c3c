"""Is every caller of a group told something, once, whatever happens to the commit?"""

import asyncio
from collections.abc import Sequence

import anyio
import pytest

from muster.domain.errors import UnavailableError
from muster.server.adapters.sql.postgres_groups import BROKEN_OFF, GroupCommitter
from muster.server.adapters.sql.rows import AloneError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Commits:
    """Carries out words: `fail`, `break` and `alone` do so, all else is its own answer."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []

    async def commit(self, works: Sequence[str]) -> Sequence[object]:
        self.groups.append(list(works))
        await asyncio.sleep(0)
        if "break" in works:
            raise asyncio.CancelledError
        if "fail" in works:
            raise UnavailableError("away")
        return [AloneError() if one.startswith("alone") else one for one in works]

    async def do_alone(self, work: str) -> object:
        if work == "alone, break":
            raise asyncio.CancelledError
        if work == "alone, fail":
            raise UnavailableError("away")
        return work


async def ask(committer: GroupCommitter[str], work: str, told: list[object]) -> None:
    try:
        told.append(await committer.carry_out("group", work))
    except UnavailableError as error:
        told.append(error)


async def ask_all(committer: GroupCommitter[str], *works: str) -> list[object]:
    told: list[object] = []
    async with anyio.create_task_group() as group:
        for work in works:
            group.start_soon(ask, committer, work, told)
    return told


async def test_those_that_come_at_once_go_together_and_the_next_ones_after_them() -> None:
    commits = Commits()
    committer = GroupCommitter(commits.commit, commits.do_alone)

    assert await ask_all(committer, "a", "b", "c") == ["a", "b", "c"]
    assert await ask_all(committer, "d") == ["d"]
    assert commits.groups == [["a", "b", "c"], ["d"]]


async def test_each_is_told_an_error_of_its_own() -> None:
    commits = Commits()
    told = await ask_all(GroupCommitter(commits.commit, commits.do_alone), "a", "fail", "b")

    assert [str(one) for one in told] == ["away"] * 3
    assert len({id(one) for one in told}) == 3


async def test_a_commit_that_is_broken_off_tells_all_that_wait_and_the_next_ones_are_served() -> None:
    commits = Commits()
    committer = GroupCommitter(commits.commit, commits.do_alone)
    with anyio.fail_after(10):
        told = await ask_all(committer, "break", *(f"{number}" for number in range(20)))
        after = await ask_all(committer, "a")

    assert [str(one) for one in told] == [BROKEN_OFF] * 21
    assert (after, committer.waiting) == (["a"], 0)


async def test_those_that_go_their_own_way_are_told_too() -> None:
    commits = Commits()
    committer = GroupCommitter(commits.commit, commits.do_alone)
    with anyio.fail_after(10):
        told = await ask_all(committer, "alone", "alone, break", "a", "alone, fail")

    assert sorted(map(str, told)) == ["a", "alone", "away", BROKEN_OFF]
    assert committer.waiting == 0


async def test_one_that_is_ended_by_force_takes_nobody_along() -> None:
    commits = Commits()
    committer = GroupCommitter(commits.commit, commits.do_alone)
    told: list[object] = []
    calls = [asyncio.create_task(ask(committer, work, told)) for work in ("a", "b", "c")]
    await asyncio.sleep(0)
    calls[1].cancel()
    with anyio.fail_after(10):
        await asyncio.gather(*calls, return_exceptions=True)

    assert told == ["a", "c"]
    assert commits.groups == [["a", "b", "c"]]
