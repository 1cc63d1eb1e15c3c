"""Is every example of the protocol's page the message that it claims to be?"""

import json
import re
from pathlib import Path

import msgspec
import pytest

from muster.server.doors.muster.workers import views
from muster.worker import protocol

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "worker-protocol.md"
EXAMPLES = re.findall(r"```json (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
SHAPES: dict[str, type[msgspec.Struct]] = {
    "enrol-request": views.EnrolRequest,
    "enrol-answer": views.EnrolAnswer,
    "step-request": views.StepRequest,
    "step-answer": views.StepAnswerMessage,
    "stop": views.StopMessage,
    "renew-request": views.RenewRequest,
    "renew-answer": views.RenewAnswer,
    "leave-request": views.LeaveRequest,
}


def test_every_message_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == {*SHAPES, "leave-answer"}


@pytest.mark.parametrize(("name", "text"), [one for one in EXAMPLES if one[0] in SHAPES])
def test_an_example_is_the_message_it_claims_to_be(name: str, text: str) -> None:
    shape = SHAPES[name]

    message = msgspec.json.decode(text, type=shape)

    assert set(json.loads(text)) == set(shape.__struct_fields__)
    assert isinstance(message, shape)


def test_the_page_names_every_path_and_the_version() -> None:
    page = PAGE.read_text()

    for path in (protocol.ENROL, protocol.STEP, protocol.RENEW, protocol.LEAVE):
        assert f"POST {path}" in page
    assert f"Version {protocol.VERSION}" in page
