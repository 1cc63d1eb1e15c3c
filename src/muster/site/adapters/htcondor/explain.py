"""Why do the procs of a cluster wait? What its log says of it, in sentences for its user."""

from collections.abc import Sequence

from muster.site.adapters.htcondor.event_log.statuses import ClusterReport


def explain(report: ClusterReport | None, *, n_workers: int) -> Sequence[str]:
    """Sentences, the most telling first; none where nothing is known to keep them.

    Args:
        report: of its log; None: nothing was heard of it yet.
        n_workers: of the cluster.
    """
    if report is None:
        return ()
    return [f"{count} of {n_workers} workers are held: {reason}" for reason, count in sorted(report.holds.items())]
