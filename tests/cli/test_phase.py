"""Is the phase of a taskforce shown in words that leave no false impression?"""

import pytest

from muster.cli.phase import render_phase


@pytest.mark.parametrize(
    ("phase", "cluster_id", "held_reason", "shown"),
    [
        ("pending-starter", None, None, "pending-starter"),
        ("pending-starter", None, "no such image", "pending-starter (held)"),
        ("pending-stopper", None, None, "pending-stopper (no cluster to stop)"),
        ("pending-stopper", 7, None, "pending-stopper"),
        ("a phase of a later service", None, None, "a phase of a later service"),
    ],
)
def test_it_is_upstreams_word_and_ours_beside_it(
    phase: str, cluster_id: int | None, held_reason: str | None, shown: str
) -> None:
    assert render_phase(phase, cluster_id, held_reason) == shown
