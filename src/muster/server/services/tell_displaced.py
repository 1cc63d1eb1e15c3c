"""Does anything stand where no agent can be told of it? Said in the log when the service starts."""

import structlog

from muster.domain.errors import UnavailableError
from muster.server.services.parts import Parts
from muster.server.services.read_locations import read_locations

log = structlog.get_logger()


async def tell_displaced(parts: Parts) -> None:
    """Log what stands where no agent can be told of it: locations that were taken out of the settings, by mistake perhaps."""
    try:
        found = await read_locations(parts)
    except UnavailableError as error:  # the daemons find out, too
        log.warning("what stands at which location could not be looked at", error=str(error))
        return
    for one in found.displaced:
        log.warning(
            "no agent can be told of taskforces",
            why=one.why,
            location=one.location,
            schedd=one.schedd,
            waiting=one.counts.waiting,
            running=one.counts.running,
            stopping=one.counts.stopping,
            held=one.counts.held,
        )
