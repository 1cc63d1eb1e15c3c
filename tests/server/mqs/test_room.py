"""Is another service's group of queues let in where there is room, and does it take room from others for as long as it can be used?"""

import time
from collections.abc import AsyncIterator
from functools import partial

import anyio
import pytest

from muster.domain import room
from muster.domain.mq_profile import TokenStamp
from muster.server.services.activate_queues import activate_queues
from muster.server.services.reserve_queues import reserve_queues
from server.mqs.keys import BROKER, Files, pair
from server.stand import NEW, WMS, People, Stand, open_stand

pytestmark = pytest.mark.anyio

LATER = {"try_again_later": True}


@pytest.fixture
async def stand(database_url: str, files: Files) -> AsyncIterator[Stand]:
    """With room for four queues, and of one owner's for three."""
    async with open_stand(
        database_url, broker=BROKER, queue_keys=files.open(), queues_max=4, queues_max_per_owner=3
    ) as stand:
        yield stand


async def reserve(stand: Stand, workflow_id: str, queues: int) -> None:
    aliases = [f"q{number}" for number in range(queues)]
    path = f"/v1/mqs/workflows/{workflow_id}/mq-group/reservation"
    await stand.post(path, {"queue_aliases": aliases, "public": []}, by=WMS)


async def is_let_in(stand: Stand, workflow_id: str, *, version: str = "v1") -> bool:
    path = f"/{version}/mqs/workflows/{workflow_id}/mq-group/activation"
    answer = await stand.post(path, {"criteria": {"priority": 100}}, by=WMS)
    assert answer == LATER or all(one["is_activated"] for one in answer["mqprofiles"])
    return bool(answer != LATER)


async def use_up_tokens(stand: Stand, workflow_id: str) -> None:
    """As if nobody had read the profiles for so long."""
    now = time.time()
    mqids = [
        one.profile.mqid for one in await stand.parts.store.read(lambda tx: tx.mq_groups.list_of_workflow(workflow_id))
    ]
    stamp = TokenStamp(pair(0).kid, now - 200, now - 100)
    await stand.parts.store.write(lambda tx: tx.mq_groups.stamp(mqids, stamp))


async def is_waiting(stand: Stand, workflow_id: str) -> bool:
    shown = await stand.get(f"/muster/v1/workflows/{workflow_id}")
    return {one["phase"] for one in shown["taskforces"]} == {"pre-mq-activation"}


@pytest.mark.parametrize("version", ["v1", "v0"])
async def test_one_for_which_there_is_no_room_is_not_activated_until_tokens_of_others_have_run_out(
    stand: Stand, version: str
) -> None:
    await reserve(stand, "WF-1", 2)
    await reserve(stand, "WF-2", 2)
    assert await is_let_in(stand, "WF-1", version=version)

    assert [await is_let_in(stand, "WF-2", version=version) for _ in range(2)] == [False, False]
    group = await stand.get("/v1/mqs/workflows/WF-2/mq-group", by=WMS)
    await use_up_tokens(stand, "WF-1")

    assert group["criteria"] is None
    assert await is_let_in(stand, "WF-2", version=version)


async def test_one_that_is_in_use_may_be_activated_again_however_full_it_is(stand: Stand) -> None:
    await reserve(stand, "WF-1", 3)
    assert await is_let_in(stand, "WF-1")

    assert await is_let_in(stand, "WF-1")


async def test_one_that_is_larger_than_all_the_room_is_let_in_alone(stand: Stand) -> None:
    await reserve(stand, "WF-1", 9)
    await reserve(stand, "WF-2", 1)

    assert await is_let_in(stand, "WF-1")
    assert not await is_let_in(stand, "WF-2")


async def test_one_whose_profiles_are_read_keeps_its_room(stand: Stand) -> None:
    await reserve(stand, "WF-1", 2)
    await reserve(stand, "WF-2", 2)
    assert await is_let_in(stand, "WF-1")
    await use_up_tokens(stand, "WF-1")

    answer = await stand.post(
        "/v1/mqs/workflows/WF-1/mq-group/reservation", {"queue_aliases": ["q0"], "public": []}, by=WMS
    )

    assert all(one["auth_token"] for one in answer["mqprofiles"])
    assert not await is_let_in(stand, "WF-2")


async def test_one_that_comes_long_after_a_workflow_of_ours_that_waits_waits_longer(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "OVERTAKEN_S", 0.0)
    await reserve(stand, "WF-1", 3)
    assert await is_let_in(stand, "WF-1")
    ours = (await stand.submit(NEW))["workflow_id"]  # with two queues
    await reserve(stand, "WF-2", 1)
    await stand.advance()

    assert not await is_let_in(stand, "WF-2")
    assert await is_waiting(stand, ours)
    await use_up_tokens(stand, "WF-1")
    await stand.advance()
    assert not await is_waiting(stand, ours)
    assert await is_let_in(stand, "WF-2")


async def test_workflows_of_ours_and_those_of_other_services_share_the_room(stand: Stand) -> None:
    await reserve(stand, "WF-1", 3)
    ours = (await stand.submit(NEW))["workflow_id"]  # with two queues
    await stand.advance()

    assert not await is_let_in(stand, "WF-1")
    await stand.end({"workflow_id": ours}, "abort")
    assert await is_let_in(stand, "WF-1")

    later = (await stand.submit(NEW))["workflow_id"]
    await stand.advance()
    assert await is_waiting(stand, later)
    explained = await stand.get(f"/muster/v1/workflows/{later}/explanation")
    assert "3 queues in all are in use and 2 more are wanted, of 4 that may be" in str(explained)
    await use_up_tokens(stand, "WF-1")
    await stand.advance()
    assert not await is_waiting(stand, later)


async def test_of_many_that_come_at_once_no_more_are_let_in_than_there_is_room(stand: Stand) -> None:
    caller = await People().identify(WMS)
    names = [f"WF-{number}" for number in range(6)]
    for name in names:
        await reserve_queues(stand.parts, caller, name, aliases=["a"], public=[])
    let_in: list[str] = []

    async def ask(name: str) -> None:
        if await activate_queues(stand.parts, name, None) is not None:
            let_in.append(name)

    async with anyio.create_task_group() as group:
        for name in names:
            group.start_soon(partial(ask, name))

    assert len(let_in) == 3


async def test_without_limits_all_are_let_in(broker_stand: Stand) -> None:
    for number in range(5):
        await reserve(broker_stand, f"WF-{number}", 3)

    assert all([await is_let_in(broker_stand, f"WF-{number}") for number in range(5)])
