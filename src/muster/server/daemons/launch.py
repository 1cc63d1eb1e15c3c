"""Who takes new taskforces through launch control to the sites? Each step is woken by the commit that made it possible."""

from functools import partial

from muster.server.daemons.rhythm import in_batches
from muster.server.services import activate_workflows, launch_taskforces
from muster.server.services.parts import Parts


async def activate_those_new(parts: Parts) -> None:
    """One pass over the taskforces of new workflows."""
    await in_batches(partial(activate_workflows.activate_workflows, parts), size=activate_workflows.BATCH_MAX)


async def launch_those_activated(parts: Parts) -> None:
    """One pass over the taskforces of launch control."""
    await in_batches(partial(launch_taskforces.launch_taskforces, parts), size=launch_taskforces.BATCH_MAX)
