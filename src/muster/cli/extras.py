"""Is the part of Muster that a command starts installed?"""

from collections.abc import Iterator
from contextlib import contextmanager

from muster.domain.errors import RejectedError


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Import inside; a library that is not there is told as the extra that brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "muster":
            raise
        raise RejectedError(
            f"this command needs the {extra} part of Muster ({error.name} is not installed): "
            f"pip install 'muster-compute[{extra}]'"
        ) from error
