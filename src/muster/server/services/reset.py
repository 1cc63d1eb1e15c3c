"""The service is emptied: for tests alone, which want to begin from nothing. What the service is known by stays: its keys and secrets."""

from muster.server.services.parts import Parts


async def reset(parts: Parts) -> int:
    """Remove every workflow with all its parts, and every answer; returns how many workflows there were."""
    return await parts.store.write(lambda tx: tx.retention.remove_all())
