"""Who removes files to which no event refers? A pass now and then, where files are kept at all."""

import structlog

from muster.server.services.parts import Parts
from muster.server.services.sweep_files import sweep_files

log = structlog.get_logger()


async def sweep_all_files(parts: Parts) -> None:
    """One pass."""
    if parts.files is None:
        return
    swept = await sweep_files(parts)
    if swept.files or swept.drafts:
        log.info("files removed", files=swept.files, drafts=swept.drafts)
    if swept.strays:
        log.warning("files of which this database knows nothing", strays=swept.strays)
