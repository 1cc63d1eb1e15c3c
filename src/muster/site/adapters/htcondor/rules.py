"""What does the operator want of an HTCondor pool, all in one place?"""

from dataclasses import dataclass, field

from muster.domain import pool_defaults
from muster.site.adapters.htcondor.describe import Policy
from muster.site.adapters.htcondor.folder import Workers
from muster.site.adapters.htcondor.hold_policy import HoldPolicy
from muster.site.adapters.htcondor.keeping import KeepingRules


@dataclass(frozen=True)
class Rules:
    """How clusters are made and looked after.

    Args:
        policy: what stands in the submit description.
        workers: what workers are told.
        holds: when held ones go on.
        keeping: how long is kept what is over.
        truth_s: seconds between two comparisons of what the logs say with queue and history.
    """

    policy: Policy
    workers: Workers
    holds: HoldPolicy = field(default_factory=HoldPolicy)
    keeping: KeepingRules = field(default_factory=KeepingRules)
    truth_s: float = pool_defaults.TRUTH_S
