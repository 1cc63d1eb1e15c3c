"""Is anything lost, doubled, or kept waiting for an hour, when a clock beside an HTCondor pool is set while everything runs?

The clock of the agent alone, of HTCondor's daemons alone, or of both, as on an access point whose time of day is put right. One worker has
failed just before, and waits, held, for its next start.

What HTCondor 25 itself does then: set forth, its master takes all other daemons for hung, and kills them; set back, it notices a jump, and
has them end. Then it starts them again. It was seen, too, that it did neither, and that a negotiator did nothing any more: then what waits
for a match waits until the clock is where it was, and what runs goes on.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.processes import find_with
from harness.scene import EVENTS, WORKERS, Scene, begin, check_pool, publish_the_rest
from harness.stack import Stack
from harness.tally import Tally, check_after_fault
from harness.waiting import wait_for
from services.condor import Condor, make_condor
from services.faketime import Clock
from services.fetching import NotFetchedError

pytestmark = [pytest.mark.system, pytest.mark.server, pytest.mark.timeout(300)]

HOUR_S = 3600.0


@contextmanager
def make_pool(wrapper: tuple[str, ...]) -> Iterator[Condor]:
    try:
        with make_condor() as condor:
            condor.wrapper = wrapper
            condor.start()
            yield condor
    except NotFetchedError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("whose", ["agent", "pool", "machine"])
@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S], ids=["forth", "back"])
def test_nothing_is_lost_or_doubled_or_waits_for_an_hour_when_a_clock_is_set(
    whose: str, step_s: float, stack: Stack, faketime: Path, tmp_path: Path
) -> None:
    clock, tally = Clock(faketime, tmp_path / "clock"), Tally(tmp_path / "tally.jsonl")
    with ExitStack() as open_until_the_end:
        condor = open_until_the_end.enter_context(make_pool(() if whose == "agent" else clock.wrapper))
        stack.environment |= condor.environment | {
            "MUSTER_SITE_CONDOR_LEASE_S": "20",
            "MUSTER_SITE_CONDOR_TRUTH_S": "3",
            "MUSTER_SITE_WORKER_RESTART_S": "5",
        }
        stack.start_serve()
        stack.wrapper = () if whose == "pool" else clock.wrapper
        stack.start_site()
        client = open_until_the_end.enter_context(stack.client())
        scene = begin(condor, stack, client, tally)
        fail_a_worker(scene)

        clock.step(step_s)

        def is_back() -> bool:
            states = scene.list_states()
            if whose != "agent" and step_s < 0:  # it may wait for its match until the clock is where it was
                return bool(states) and "5" not in states
            return states == {"2": WORKERS}

        wait_for(is_back, "the held one is released, and all run", deadline_s=90)
        publish_the_rest(scene, tally)
        wait_for(lambda: client.get_workflow(scene.workflow).state == "finished", "it finishes itself", deadline_s=120)
        check_after_fault(stack, client, scene.workflow, tally, done=EVENTS)
        check_pool(scene)


def fail_a_worker(scene: Scene) -> None:
    """It is held, and off its machine."""
    found = find_with("MUSTER_TASKFORCE", scene.taskforce.taskforce_uuid)
    pid = min(pid for pid, command in found.items() if " muster-worker.pyz" in command)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: scene.list_states() == {"2": WORKERS - 1, "5": 1}, "one is held")
