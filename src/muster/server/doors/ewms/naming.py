"""Under which names do EWMS clients ask, and what are they told of a name that is none? (wms.md sections 2 and 4)"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from litestar.exceptions import NotFoundException

from muster.domain.errors import NotFoundError

_NAME = re.compile(r"[\w-]+")


@contextmanager
def said(text: str, name: str) -> Iterator[None]:
    """Upstream's sentence in place of ours for what is not found. A name that cannot be one is an unknown route."""
    if _NAME.fullmatch(name) is None:
        raise NotFoundException
    try:
        yield
    except NotFoundError:
        raise NotFoundError(text) from None
