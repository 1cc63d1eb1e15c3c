"""How is a call of our door put together? Its path, query, headers and body, and what reads its answer."""

import uuid
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

import msgspec

from muster.client.call import Call
from muster.client.shapes.message import Request
from muster.domain.errors import UnavailableError

T = TypeVar("T")
BASE = "/muster/v1"


def get(path: str, answer: type[T], *, parked_s: float = 0.0, **query: str | float | bool | None) -> Call[T]:
    """A call that reads. `parked_s`: how long the service may hold its answer back, in seconds."""
    return Call("GET", BASE + path, reader(answer), query=render_query(query), parked_s=parked_s)


def post(
    path: str,
    request: Request | None,
    answer: type[T],
    *,
    headers: Mapping[str, str] | None = None,
    parked_s: float = 0.0,
) -> Call[T]:
    """A call that does something, or that looks for what a body describes. `request` None: without a body."""
    body = None if request is None else msgspec.json.encode(request)
    return Call("POST", BASE + path, reader(answer), body=body, headers=headers or {}, parked_s=parked_s)


def render_query(query: Mapping[str, str | float | bool | None]) -> dict[str, str]:
    """As it stands in an address; what is None is left out."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def idempotency(key: str | None) -> dict[str, str]:
    """A key is made once a call, so that every repetition of the call carries the same one."""
    return {"Idempotency-Key": key or uuid.uuid4().hex}


def part(name: str) -> str:
    """A name as one segment of a path: `../` in an id stays in its segment."""
    return quote(name, safe="").replace("..", "%2E%2E") or "%20"


def reader(answer: type[T]) -> Callable[[bytes], T]:
    """Reads an answer. What it makes raises UnavailableError for one that is not a Muster service's."""
    decoder = msgspec.json.Decoder(answer)

    def read(body: bytes) -> T:
        try:
            return decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise UnavailableError(
                f"the answer is not one of Muster's ({error}): is the address that of a Muster service of this version?"
            ) from error

    return read


def nothing(_: bytes) -> None:
    """Reads an answer that says nothing."""
