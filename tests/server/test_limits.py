"""Does the service tell its limits, and what is in use of each, to whoever is signed in?"""

import pytest

from server.stand import EWMS_TASK, NEW, OPERATOR, STRANGER, TMS, USER, Json, Stand, open_stand

pytestmark = pytest.mark.anyio

PATH = "/muster/v1/limits"


def in_use(found: Json) -> dict[str, int | None]:
    return {one["setting"].removeprefix("MUSTER_"): one["in_use"] for one in found["limits"]}


async def test_each_limit_is_told_with_what_the_caller_uses_and_to_operators_what_all_do(database_url: str) -> None:
    async with open_stand(database_url, workers_max_per_owner=4, events_max=100) as stand:
        running = await stand.submit()
        await stand.publish(running, 1, 2, 3)
        await stand.submit(by=STRANGER)
        await stand.advance()
        await stand.submit({**NEW, "tasks": [{**NEW["tasks"][0], "n_workers": 4}]})  # waits, and uses nothing

        found = await stand.get(PATH)

        own = {"what": "workers", "whose": "owner", "at_most": 4, "in_use": 2}
        assert (found["owner"], found["limits"][2]) == (USER, {"setting": "MUSTER_WORKERS_MAX_PER_OWNER", **own})
        assert {one["setting"]: one["at_most"] for one in found["limits"] if one["at_most"] is not None} == {
            "MUSTER_WORKERS_MAX_PER_OWNER": 4,
            "MUSTER_EVENTS_MAX": 100,
        }
        mine = {"QUEUES_MAX_PER_OWNER": 2, "WORKERS_MAX_PER_OWNER": 2, "EVENTS_MAX_PER_OWNER": 3}
        in_all = {"QUEUES_MAX": 4, "WORKERS_MAX": 4, "EVENTS_MAX": 3}
        assert in_use(found) == mine | dict.fromkeys(in_all)
        assert in_use(await stand.get(PATH, by=OPERATOR)) == dict.fromkeys(mine, 0) | in_all


async def test_programs_are_told_too_and_nobody_else(stand: Stand) -> None:
    await stand.submit({**NEW, "tasks": [EWMS_TASK]})

    assert in_use(await stand.get(PATH, by=TMS))["WORKERS_MAX_PER_OWNER"] == 0
    assert (await stand.ask("GET", PATH, by=None)).status_code == 401
