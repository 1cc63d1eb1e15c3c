"""Which text of a message is none? Broken UTF-8 and halves of surrogate pairs, by the field that holds them.

A JSON parser stops there and says at which byte. Who sent 5,000 events wants to know in which one.
"""

import json
from collections.abc import Iterator
from typing import TypeVar

from muster.domain.control_characters import SURROGATE
from muster.domain.errors import Finding, InvalidError
from muster.server.doors.judging import FINDINGS_MAX
from muster.server.doors.reading import UnreadableError, parse_body

T = TypeVar("T")


def parse_message(raw: bytes, type_: type[T]) -> T:
    """Read a message that carries people's own texts.

    Raises:
        UnreadableError: it is not JSON.
        InvalidError: it is not the message, or some text of it is not text; every fault is a finding.
    """
    try:
        return parse_body(raw, type_)
    except UnreadableError:
        if findings := find_broken_text(raw):
            raise InvalidError(findings) from None
        raise


def find_broken_text(raw: bytes) -> list[Finding]:
    """Each text of a JSON document that is not text, at most `FINDINGS_MAX`; none when the document is not JSON for another reason."""
    try:
        # A byte that is not UTF-8 becomes half of a surrogate pair, so there is one thing to look for.
        document = json.loads(raw.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return []
    return [finding for finding, _ in zip(_walk(document, ""), range(FINDINGS_MAX), strict=False)]


def _walk(value: object, path: str) -> Iterator[Finding]:
    match value:
        case str():
            if SURROGATE.search(value):
                yield Finding(path, "is not text: broken UTF-8, or half of a surrogate pair")
        case list():
            for index, one in enumerate(value):
                yield from _walk(one, f"{path}[{index}]")
        case dict():
            for name, one in value.items():
                if SURROGATE.search(name):
                    yield Finding(path, "has a name that is not text: broken UTF-8, or half of a surrogate pair")
                else:
                    yield from _walk(one, f"{path}.{name[:80]}" if path else name[:80])
