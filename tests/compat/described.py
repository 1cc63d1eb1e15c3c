"""How do the doors describe themselves, and what is a fault in an answer? For the tests that make requests from the descriptions."""

import os
import warnings
from typing import Any

import requests

from compat.conftest import Running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own imports, not ours
    import schemathesis
    from schemathesis import Case
    from schemathesis.core.transport import Response

EXAMPLES = int(os.environ.get("MUSTER_TEST_EXAMPLES", "20"))
DOORS = {
    "muster": "/muster/v1/openapi.json",
    "v1": "/v1/schema/openapi",
    "v0": "/v0/schema/openapi",
    "v1-mqs": "/v1/mqs/schema/openapi",
    "v0-mqs": "/v0/mqs/schema/openapi",
}
STREAM = "/muster/v1/workflows/{workflow_id}/stream"
"""It has no end while a workflow goes on."""
PARTIES = ("user", "system-tms", "system-wms", "nobody")
TIMEOUT_S = 60
_READERS = {"v1-mqs": "system-wms", "v0-mqs": "system-wms"}


def read_document(running: Running, door: str) -> Any:
    """The description that a door gives of itself."""
    token = _READERS.get(door, "user")
    answer = requests.get(running.url + DOORS[door], headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()


def load_schema(running: Running, document: Any) -> Any:
    """Schemathesis' view of a description, asking this service."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=running.url)
    return schema


def open_session(party: str) -> requests.Session:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {party}"
    return session


def judge(case: "Case[Any]", answer: "Response") -> None:
    """No fault of ours, and no status that the description does not have; it has one entry for all errors."""
    assert answer.status_code < 500, (case.as_curl_command(), answer.status_code, answer.text)
    responses = case.operation.definition.raw["responses"]
    is_told = str(answer.status_code) in responses or (answer.status_code >= 400 and "default" in responses)
    assert is_told, (case.operation.label, answer.status_code)
