"""Does the service tell whoever is signed in where workers can run, which agents ask there, and what stands there?"""

from dataclasses import replace

import pytest

from muster.domain.asking import Ask
from muster.domain.location import Agent, Location, index_locations
from muster.domain.reason import Cause
from muster.server.ports.census import PlaceCounts
from muster.server.services.explain_workflow import explain_workflow
from muster.server.services.read_locations import AGENTS_MAX, read_locations
from server.stand import EWMS_TASK, NEW, TMS, Json, Stand

pytestmark = pytest.mark.anyio

PATH = "/muster/v1/locations"
NOTHING = {"waiting": 0, "running": 0, "stopping": 0, "held": 0}


async def locations(stand: Stand) -> dict[str, Json]:
    return {one["name"]: one for one in (await stand.get(PATH))["locations"]}


async def test_each_location_is_told_with_its_agents_and_what_stands_there(stand: Stand) -> None:
    now = await stand.parts.store.read(lambda tx: tx.now())
    gone, early = Ask(Agent.MUSTER, "local", "site-b", now - 300), Ask(Agent.MUSTER, "local", "site-a", now - 40)
    await stand.parts.store.write(lambda tx: tx.askings.note([gone, early]))
    order = await stand.start(await stand.submit())
    await stand.enrol(order["taskforce_uuid"])
    await stand.submit()
    held = await stand.submit()
    await stand.advance()
    [refused] = [one for one in (await stand.claim())["start"] if one["workflow_id"] == held["workflow_id"]]
    await stand.report(refused, "submit-failed", error="never", final=True)
    await stand.submit()  # not let in yet

    found = await stand.get(PATH)

    assert [one["name"] for one in found["locations"]] == ["beside", "far", "local", "test-alpha", "test-beta"]
    assert found["displaced"] == []
    local = found["locations"][2]
    assert [(one["name"], one["is_there"]) for one in local.pop("agents")] == [("site-a", True), ("site-b", False)]
    assert local == {
        "name": "local",
        "aliases": ["here"],
        "schedd": "local",
        "agent": "muster",
        "taskforces": {"waiting": 1, "running": 1, "stopping": 0, "held": 1},
        "workers": 1,
    }
    far = found["locations"][1]
    assert (far["agents"], far["taskforces"], far["workers"]) == ([], NOTHING, 0)


async def test_upstreams_agent_is_found_at_its_schedd_and_its_workers_are_not_counted(stand: Stand) -> None:
    workflow = await stand.submit({**NEW, "tasks": [EWMS_TASK]})
    await stand.advance()
    await stand.get("/v1/tms/pending-starter/taskforces?schedd=SCHEDD1", by=TMS)

    alpha = (await locations(stand))["test-alpha"]

    assert [(one["name"], one["is_there"]) for one in alpha["agents"]] == [("", True)]
    assert (alpha["taskforces"], alpha["workers"]) == ({**NOTHING, "waiting": 1}, None)
    await stand.end(workflow, "abort")
    assert (await locations(stand))["test-alpha"]["taskforces"] == NOTHING  # it had no cluster


async def test_what_stands_where_no_agent_can_be_told_of_it_is_told(stand: Stand) -> None:
    ended = await stand.submit()
    await stand.start(ended)
    await stand.end(ended, "abort")
    await stand.submit()
    await stand.advance()
    changed = replace(stand.parts, locations=index_locations((Location("far", schedd="far"),)))

    found = await read_locations(changed)

    assert [one.location.name for one in found.known] == ["far"]
    [displaced] = found.displaced
    assert (displaced.location, displaced.schedd) == ("local", "local")
    assert displaced.why == "the location local is not among MUSTER_LOCATIONS of this service any more"
    assert (displaced.counts.waiting, displaced.counts.stopping) == (1, 1)


async def test_programs_are_told_too_and_nobody_else(stand: Stand) -> None:
    assert "local" in {one["name"] for one in (await stand.get(PATH, by=TMS))["locations"]}
    assert (await stand.ask("GET", PATH, by=None)).status_code == 401


async def test_what_stands_at_another_schedd_is_not_counted_at_the_location_of_its_name(stand: Stand) -> None:
    await stand.start(await stand.submit())
    changed = replace(stand.parts, locations=index_locations((Location("local", schedd="elsewhere"),)))

    found = await read_locations(changed)

    assert [(one.schedd, one.counts.running) for one in found.displaced] == [("local", 1)]
    assert [one.counts for one in found.known] == [PlaceCounts()]


async def test_of_many_agents_the_last_ones_are_named(stand: Stand) -> None:
    now = await stand.parts.store.read(lambda tx: tx.now())
    many = [Ask(Agent.MUSTER, "local", f"site-{number}", now - number) for number in range(AGENTS_MAX + 5)]
    await stand.parts.store.write(lambda tx: tx.askings.note(many))

    named = [one["name"] for one in (await locations(stand))["local"]["agents"]]

    assert named == [f"site-{number}" for number in range(AGENTS_MAX)]


@pytest.mark.parametrize(("silent_s", "is_displaced"), [(10.0, False), (1000.0, True)])
async def test_upstreams_agent_that_asks_no_more_takes_nothing_of_a_location_that_is_gone(
    stand: Stand, *, silent_s: float, is_displaced: bool
) -> None:
    workflow = await stand.submit({**NEW, "tasks": [EWMS_TASK]})
    await stand.advance()
    now = await stand.parts.store.read(lambda tx: tx.now())
    [schedd] = {one["schedd"] for one in (await stand.show(workflow))["taskforces"]}
    await stand.parts.store.write(lambda tx: tx.askings.note([Ask(Agent.UPSTREAM, schedd, "", now - silent_s)]))
    changed = replace(stand.parts, locations=index_locations((Location("far", schedd="far"),)))

    told = (await explain_workflow(changed, workflow["workflow_id"])).taskforces[0].reason

    assert (told.cause is Cause.DISPLACED) == is_displaced
    assert bool((await read_locations(changed)).displaced) == is_displaced
