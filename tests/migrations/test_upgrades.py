"""Does a database with work in it come from every earlier schema to this one with nothing lost, doubled, or given up?"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest

from contracts.store_bench import A_DIRECTIVE, AN_ENTRY, Bench, a_taskforce, a_workflow, open_bench
from migrations.earlier import EARLIER, carry_back
from muster.domain.attempt import AttemptError, Outcome, Verdict
from muster.domain.queue import Counts
from muster.domain.taskforce_phase import Phase
from muster.domain.workflow import Taskforce, WorkflowState
from muster.server.adapters.sql import upkeep
from muster.server.adapters.sql.migrate import get_head
from muster.server.ports.queue_engine import Body, BodyKind, Finished, Leased, SessionEndedError
from muster.server.ports.store import Transaction

RESULT = Body(BodyKind.JSON, b"4")
ERROR = AttemptError("ValueError: 3", "ValueError: #")
FREE = 5
"""Events that nobody has touched."""
EVENTS = FREE + 6
KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.server)]


@dataclass(frozen=True)
class World:
    """What a worker knows of the work that the database was moved with.

    Args:
        session: alive, and holds `held`.
        gone: a session whose worker was lost; it still has a result for `late`.
    """

    queue: int
    output: int
    frail: int
    session: int
    held: Leased
    gone: int
    late: Leased
    buried: int


async def make_world(bench: Bench) -> World:
    """Events in every state, with taskforces in every phase around them."""
    for number, state in enumerate(WorkflowState):
        workflow = a_workflow(f"WF-{number + 1}", state=state, finish_when_done=number == 0)
        directive = replace(A_DIRECTIVE, task_id=f"TK-{number + 1}", workflow_id=workflow.workflow_id)
        await bench.write(lambda tx, one=workflow, two=directive: tx.workflows.insert(one, [two]))  # type: ignore[misc]
    for taskforce in every_phase():
        await bench.write(lambda tx, one=taskforce: tx.taskforces.insert(one, AN_ENTRY))  # type: ignore[misc]
    queue = await bench.add_queue("in", attempts=3, retry_s=600.0)
    output = await bench.add_queue("out", is_input=False, is_output=True)
    frail = await bench.add_queue("frail", attempts=1)
    buried = await bench.bury(frail, error=ERROR)
    await bench.publish(queue, *(b"%d" % number for number in range(EVENTS - 1)))

    session, gone = await bench.enrol(), await bench.enrol()
    done, failed, released, held = (await bench.step(session, queue, want=4, outputs=[output])).leased
    [late] = (await bench.step(gone, queue, want=1)).leased
    await bench.write(lambda tx: tx.holders.end([gone], reason="lost", are_deaths=True))
    await bench.step(
        session,
        queue,
        call=2,
        outputs=[output],
        finished=[
            Finished(done.event, done.fence, Outcome.DONE, [RESULT]),
            Finished(failed.event, failed.fence, Outcome.FAILED, error=ERROR),
            Finished(released.event, released.fence, Outcome.RELEASED),
        ],
    )
    assert await bench.counts(queue) == Counts(
        published=EVENTS - 1, waiting=FREE + 3, in_work=1, done=1, dead=0, failed=2, duplicates=0
    )
    return World(queue, output, frail, session, held, gone, late, buried)


def every_phase() -> list[Taskforce]:
    return [
        a_taskforce(
            f"TF-{number + 1}",
            phase=phase,
            cluster_id=None if phase in (Phase.PRE_MQ_ACTIVATION, Phase.PRE_LAUNCH, Phase.PENDING_STARTER) else number,
            claim_agent="site-1",
            claim_until=2000.5,
            claim_fence=2,
        )
        for number, phase in enumerate(Phase)
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("revision", EARLIER)
def test_leases_go_on_late_results_count_once_and_the_account_adds_up(
    kind: str, revision: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        now, earlier = (f"sqlite:///{tmp_path / name}.db" for name in ("now", "earlier"))
    else:
        now, earlier = request.getfixturevalue("postgres_url"), request.getfixturevalue("empty_postgres_url")

    async def fill() -> World:
        async with open_bench(now) as bench:
            return await make_world(bench)

    world = asyncio.run(fill())
    carry_back(now, to=earlier, revision=revision)

    asyncio.run(upgrade(earlier, revision))
    asyncio.run(go_on(earlier, world))


async def upgrade(url: str, revision: str) -> None:
    before = await upkeep.look(url)
    assert (before.revision, before.is_current, before.is_newer) == (revision, False, False)
    said: list[str] = []

    made = await upkeep.upgrade(url, tell=said.append)

    assert made == before.missing
    assert said == [], "nobody was in the way"
    after = await upkeep.look(url)
    assert (after.revision, after.is_current, list(after.made)) == (get_head(), True, [*before.made, *made])
    assert not await upkeep.upgrade(url, tell=said.append)


async def go_on(url: str, world: World) -> None:
    """The workers go on as if nothing had happened."""
    async with open_bench(url) as bench:
        queue, output = world.queue, world.output
        assert await bench.read(phases) == {one.taskforce_uuid: one.phase for one in every_phase()}
        held = [(world.held.event, world.held.fence)]
        assert await bench.engine.renew(world.session, held, lease_s=30) == []
        with pytest.raises(SessionEndedError):
            await bench.engine.renew(world.gone, [], lease_s=30)

        late = [Finished(world.late.event, world.late.fence, Outcome.DONE, [RESULT])]
        for call, verdict in ((3, [Verdict.LATE]), (4, [Verdict.LATE])):
            answer = await bench.step(world.session, queue, call=call, outputs=[output], finished=late)
            assert answer.verdicts == verdict
        done = [Finished(world.held.event, world.held.fence, Outcome.DONE, [RESULT])]
        for call in (5, 6):
            answer = await bench.step(world.session, queue, call=call, outputs=[output], finished=done)
            assert answer.verdicts == [Verdict.DONE]
        assert (await bench.counts(queue)).done == 3

        await release_those_that_pause(bench)
        await bench.publish(queue, b"new")
        await work_off(bench, world.session, queue, output)
        assert await bench.counts(queue) == Counts(
            published=EVENTS, waiting=0, in_work=0, done=EVENTS, dead=0, failed=1, duplicates=0
        )
        assert (await bench.counts(output)).published == EVENTS
        assert (await bench.counts(world.frail)).dead == 1
        [letter] = await bench.read(lambda tx: tx.events.list_dead(world.frail, after=0, limit=9))
        assert letter.event == world.buried
        for number, recount in (await bench.read(lambda tx: tx.queues.recount([queue, output, world.frail]))).items():
            assert (recount.kept, recount.counted_twice) == (recount.counted, 0), number
            assert recount.usage_kept == recount.usage_counted, number


def phases(tx: Transaction) -> dict[str, Phase]:
    found = tx.taskforces.find([one.taskforce_uuid for one in every_phase()])
    return {uuid: one.phase for uuid, one in found.items()}


async def release_those_that_pause(bench: Bench) -> None:
    """Their pauses are over: they are replayed by hand, since nobody waits for ten minutes here."""

    def hurry(tx: Transaction) -> None:
        from muster.server.adapters.sql.schema import delayed
        from muster.server.adapters.sql.transaction import SqlTransaction

        assert isinstance(tx, SqlTransaction)
        tx._session.execute(delayed.update().values(due=0.0))

    await bench.write(hurry)
    await bench.engine.requeue_due(limit=100)


async def work_off(bench: Bench, session: int, queue: int, output: int) -> None:
    call = 10
    with anyio.fail_after(60):
        while True:
            leased = (await bench.step(session, queue, call=call, want=4, outputs=[output])).leased
            if not leased:
                return
            finished = [Finished(one.event, one.fence, Outcome.DONE, [RESULT]) for one in leased]
            await bench.step(session, queue, call=call + 1, outputs=[output], finished=finished)
            call += 2
