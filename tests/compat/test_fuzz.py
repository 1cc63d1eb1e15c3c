"""Does any request that the documents allow, or nearly, get a 5xx or a status that is not in them? Asked as every party, of every door.

schemathesis makes the requests from the documents that the service gives of itself, each for itself; `test_fuzz_links.py` goes from one
answer to the next. The seed is printed; `MUSTER_TEST_EXAMPLES` says how many requests an operation.
"""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case
from schemathesis.core.result import Ok

from compat.conftest import Running
from compat.described import (
    DOORS,
    EXAMPLES,
    PARTIES,
    STREAM,
    TIMEOUT_S,
    judge,
    load_schema,
    open_session,
    read_document,
)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("party", PARTIES)
@pytest.mark.parametrize("door", DOORS)
def test_no_request_finds_a_fault_of_ours(running: Running, door: str, party: str) -> None:
    chosen = random.randrange(2**32)
    print(f"seed {chosen}")
    schema = load_schema(running, read_document(running, door))
    session = open_session(party)
    tried = 0

    def ask(case: "Case[Any]") -> None:
        nonlocal tried
        tried += 1
        judge(case, case.call(session=session, timeout=TIMEOUT_S))

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
