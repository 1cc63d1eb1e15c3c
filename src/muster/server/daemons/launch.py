"""Who takes new taskforces through launch control to the sites? Each step is woken by the commit that made it possible."""

from collections.abc import Awaitable, Callable

from muster.server.daemons.rhythm import ROUNDS_MAX
from muster.server.services.activate_workflows import activate_workflows
from muster.server.services.launch_taskforces import launch_taskforces
from muster.server.services.line import Passed
from muster.server.services.parts import Parts

FLOOR_S = 0.05
"""Seconds between two passes at least: under a stream of new workflows each pass takes several on with the statements of one."""
AGAIN_S = 0.05
"""Seconds to the next pass when a workflow was in somebody's hand: whoever has it is done by then, and rings no bell."""


async def activate_those_new(parts: Parts) -> float | None:
    """Go over the taskforces of new workflows. Returns seconds to the next pass where that is soon."""
    return await _in_rounds(parts, activate_workflows)


async def launch_those_activated(parts: Parts) -> float | None:
    """Go over the taskforces of launch control. Returns as `activate_those_new`."""
    return await _in_rounds(parts, launch_taskforces)


async def _in_rounds(parts: Parts, do: Callable[[Parts], Awaitable[Passed]]) -> float | None:
    done = await do(parts)
    for _ in range(ROUNDS_MAX):
        if not done.is_worth_another:
            break
        done = await do(parts)
    return AGAIN_S if done.in_hand else done.left_s
