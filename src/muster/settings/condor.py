"""What does the operator say of an HTCondor pool? The settings of `muster site` that begin with MUSTER_SITE_CONDOR_."""

import re
from typing import Annotated

from pydantic import BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from muster.domain import pool_defaults

_OURS = frozenset({"ewmstaskforceuuid", "musteragent", "musterfence", "musterworkers", "wantioproxy", "originaltime"})
"""Attributes by which workers are found again, in lower case."""
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ONE_LINE = r"^[^\x00-\x1f$]*$"


class CondorFields(BaseModel):
    """Beside an HTCondor schedd."""

    condor_schedd: str = Field(default="", pattern=_ONE_LINE)
    """The schedd, as the collector names it; left out: the one of this machine."""

    condor_requirements: str = Field(default="", pattern=_ONE_LINE)
    """A ClassAd expression that every execution point must meet, beside the user's: HasSingularity, say."""

    condor_excluded_sites: Annotated[tuple[str, ...], NoDecode] = ()
    """Sites (GLIDEIN_Site of their slots) at which no worker is started; by commas."""

    condor_accounting_group: str = Field(default="", pattern=_ONE_LINE)
    """The accounting group of all workers."""

    condor_accounting_user: str = Field(default="", pattern=_ONE_LINE)
    """The user to whose account all workers go; left out: that of this agent."""

    condor_worker_image: str = Field(default="", pattern=_ONE_LINE)
    """An image in which HTCondor is to run the workers (container universe): a path, docker://… or a SIF file, with a Python and the
    programs of tasks, that `apptainer test` takes, as HTCondor does first; left out: they run on the machine."""

    condor_attributes: dict[str, str] = Field(default_factory=dict)
    """Further attributes of every worker's job ad, as ClassAd expressions: a JSON object such as {"ProjectName": "\\"IceCube\\""}."""

    condor_vacate_s: float = Field(default=pool_defaults.VACATE_S, ge=0)
    """Seconds that workers may use to end when HTCondor takes their machine away, holds or removes them; its own limits may be lower."""

    condor_lease_s: float = Field(default=pool_defaults.LEASE_S, ge=20)
    """Seconds for which a worker goes on whose execution point hears nothing of the access point."""

    condor_factory_from: int = Field(default=pool_defaults.FACTORY_FROM, ge=2)
    """Workers from which on a taskforce is made bit by bit (late materialization), so that the schedd stays quick."""

    condor_idle_max: int = Field(default=pool_defaults.IDLE_MAX, ge=1)
    """Idle workers in the queue at once, of a taskforce that is made bit by bit (MUSTER_SITE_CONDOR_FACTORY_FROM)."""

    condor_truth_s: float = Field(default=pool_defaults.TRUTH_S, gt=0)
    """Seconds between two comparisons of what the event logs said with the queue and the history."""

    condor_packed_after_s: float = Field(default=pool_defaults.PACKED_AFTER_S, ge=0)
    """Seconds after which the event log and the outputs of a taskforce that is over are compressed."""

    condor_kept_s: float = Field(default=pool_defaults.KEPT_S, ge=0)
    """Seconds after which the event log and the outputs of a taskforce that is over are deleted, and its number is forgotten."""

    condor_kept_mib: int = Field(default=pool_defaults.KEPT_MIB, ge=0)
    """MiB that the logs and outputs of taskforces that are over may have together; the oldest go first."""

    @field_validator("condor_attributes")
    @classmethod
    def _check_attributes(cls, attributes: dict[str, str]) -> dict[str, str]:
        for name, expression in attributes.items():
            if name.lower() in _OURS:
                raise PydanticCustomError(
                    "attribute", "{name} is set by the agent itself: leave it out", {"name": name}
                )
            if not _ATTRIBUTE.fullmatch(name) or not expression.strip() or re.search(r"[\x00-\x1f$]", expression):
                raise PydanticCustomError(
                    "attribute",
                    "{name} = {expression} is no attribute: a name of letters, digits and '_', and a ClassAd expression in one line",
                    {"name": name, "expression": expression[:100]},
                )
        return attributes
