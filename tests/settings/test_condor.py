"""What may an operator say of an HTCondor pool?"""

import pytest
from pydantic import ValidationError

from muster.settings.parts import SiteSettings


def test_further_attributes_are_expressions_by_name() -> None:
    settings = SiteSettings(condor_attributes={"ProjectName": '"IceCube"', "WantGlidein": "true"})

    assert dict(settings.condor_attributes) == {"ProjectName": '"IceCube"', "WantGlidein": "true"}


@pytest.mark.parametrize("name", ["EWMSTaskforceUUID", "musteragent", "MusterFence", "MusterWorkers", "WantIOProxy"])
def test_what_workers_are_found_by_is_the_agents_to_say(name: str) -> None:
    with pytest.raises(ValidationError, match="set by the agent itself"):
        SiteSettings(condor_attributes={name: "1"})


@pytest.mark.parametrize(("name", "expression"), [("a b", "1"), ("A", ""), ("A", "1\nqueue"), ("A", "$(HOME)")])
def test_what_is_no_attribute_is_refused(name: str, expression: str) -> None:
    with pytest.raises(ValidationError, match="is no attribute"):
        SiteSettings(condor_attributes={name: expression})
