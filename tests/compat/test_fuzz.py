"""Does any request that the documents allow, or nearly, get a 5xx or a status that is not in them? Asked as every party, of every door.

schemathesis makes the requests from the documents that the service gives of itself; what one answer names (a workflow's id) others are
asked about. The seed is printed; `MUSTER_TEST_EXAMPLES` says how many requests an operation.
"""

import os
import random
import warnings
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, seed, settings

from compat.conftest import Running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own imports, not ours
    import schemathesis
    from schemathesis import Case
    from schemathesis.core.result import Ok

EXAMPLES = int(os.environ.get("MUSTER_TEST_EXAMPLES", "20"))
DOORS = {
    "muster": "/muster/v1/openapi.json",
    "v1": "/v1/schema/openapi",
    "v0": "/v0/schema/openapi",
    "v1-mqs": "/v1/mqs/schema/openapi",
    "v0-mqs": "/v0/mqs/schema/openapi",
}
READERS = {"v1-mqs": "system-wms", "v0-mqs": "system-wms"}
STREAM = "/muster/v1/workflows/{workflow_id}/stream"
"""It has no end while a workflow goes on."""
PARTIES = ("user", "system-tms", "system-wms", "nobody")
TIMEOUT_S = 60


def read_document(running: Running, door: str) -> Any:
    token = READERS.get(door, "user")
    answer = requests.get(running.url + DOORS[door], headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)
    answer.raise_for_status()
    return answer.json()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("door", DOORS)
def test_no_request_finds_a_fault_of_ours(running: Running, door: str, party: str) -> None:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")
    schema = schemathesis.openapi.from_dict(read_document(running, door))
    schema.config.update(base_url=running.url)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {party}"
    tried = 0

    def ask(case: "Case[Any]") -> None:
        nonlocal tried
        answer = case.call(session=session, timeout=TIMEOUT_S)
        tried += 1
        assert answer.status_code < 500, (case.as_curl_command(), answer.status_code, answer.text)
        responses = case.operation.definition.raw["responses"]
        assert str(answer.status_code) in responses or "default" in responses, (
            case.operation.label,
            answer.status_code,
        )

    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path == STREAM:
            continue
        check = given(case=operation.as_strategy())(ask)
        settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )(seed(chosen)(check))()
    assert tried
