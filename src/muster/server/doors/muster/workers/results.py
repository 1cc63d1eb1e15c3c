"""How does a result look, and which of its task's output queues does it name?"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Raw

from muster.client.shapes.message import Request
from muster.domain.errors import Finding
from muster.server.ports.queue_engine import Body
from muster.server.services.event_body import BodyTooLargeError, parse_body


class ResultMessage(Request):
    """A body: any JSON value, base64 text, or a file's id. `to`: the alias of the one output queue that it goes to; null: every one."""

    body: Raw
    kind: Literal["json", "bytes", "file"] = "json"
    to: Annotated[str, Meta(max_length=200)] | None = None


def parse_results(
    messages: Sequence[ResultMessage], path: str, findings: list[Finding], oversized: list[Finding]
) -> list[Body]:
    """The bodies; faults go into `findings`, and into `oversized` those over 1 MiB."""
    results: list[Body] = []
    for index, message in enumerate(messages):
        try:
            results.append(parse_body(message.kind, bytes(message.body)))
        except BodyTooLargeError as error:
            oversized.append(Finding(f"{path}.results[{index}].body", str(error)))
        except ValueError as error:
            findings.append(Finding(f"{path}.results[{index}].body", str(error)))
    return results


def list_routes(attempts: Sequence[Sequence[ResultMessage]]) -> Mapping[int, Sequence[str | None]]:
    """The aliases that results name, by the place of their attempt; nothing of attempts whose results name none."""
    return {
        place: [one.to for one in results]
        for place, results in enumerate(attempts)
        if any(one.to is not None for one in results)
    }
