"""What do the tests of whole commands stand on? A `muster up` of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A folder and its processes, none of which is left at the end."""
    stack = Stack(tmp_path, host="127.0.0.1")
    try:
        yield stack
    finally:
        stack.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A `muster up` that the tests of a module share."""
    stack = Stack(tmp_path_factory.mktemp("up"), host="127.0.0.1")
    try:
        stack.start_up(MUSTER_SITE_CONTAINERS="none")
        yield stack
    finally:
        stack.close()
