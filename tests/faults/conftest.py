"""What does a fault test have at hand? A stack of its own, and workflows of small tasks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.addresses import take_address
from harness.stack import Stack


@pytest.fixture(scope="session")
def loopback_address() -> Iterator[str]:
    with take_address() as address:
        yield address


@pytest.fixture
def stack(tmp_path: Path, loopback_address: str) -> Iterator[Stack]:
    """A stack with short times: leases of seconds, so that what a crash leaves behind is taken up soon."""
    stack = Stack(tmp_path, host=loopback_address, environment={"MUSTER_SITE_WORKER_OFFLINE_S": "60"})
    try:
        yield stack
    finally:
        stack.close()
