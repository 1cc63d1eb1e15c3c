"""How is the phase of a taskforce shown to people? In upstream's word, and in ours where that leaves another impression than is true."""

from muster.domain.taskforce_reason import is_without_cluster


def render_phase(phase: str, cluster_id: int | None, held_reason: str | None) -> str:
    """`pending-starter (held)`, `pending-stopper (no cluster to stop)`."""
    if held_reason is not None:
        return f"{phase} (held)"
    return f"{phase} (no cluster to stop)" if is_without_cluster(phase, cluster_id) else phase
