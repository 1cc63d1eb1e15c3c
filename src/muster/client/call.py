"""What is a call of the service, before a shell carries it out?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and the way to read its answer.

    Args:
        path: from the root, quoted.
        query: pairs that are set; None values were left out.
        body: JSON, or None for no body.
        parked_s: how long the service may hold the answer back on purpose, on top of the usual timeout.
        read: makes the answer's shape from the body of a 2xx answer.
        subject: what the call is about, for messages: `GET /muster/v1/whoami`.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    parked_s: float = 0.0

    @property
    def subject(self) -> str:
        return f"{self.method} {self.path}"
