"""Which answers name what other calls take? Links in a door's description, so that programs can go from one to the next.

Made from the description itself: an answer has a field that names an object, an operation has that name in its path; the rest of the path
is in the answer too, or was in the request.

Source: OpenAPI Specification 3.1, "Link Object", "Runtime Expressions".
"""

from collections.abc import Iterator, Mapping
from http import HTTPMethod
from typing import Any, Final

from muster.server.doors.event_stream import MEDIA_TYPE

_NAMED_BY: Final[Mapping[str, str]] = {
    "workflow_id": "workflow_id",
    "task_id": "task_id",
    "taskforce_uuid": "uuid",
    "alias": "alias",
    "event": "event",
    "consumer": "consumer",
    "file": "file",
    "order_id": "order_id",
    "mqid": "mqid",
}
"""Field of an answer → parameter of a path."""
_GOES_ON_BY: Final[Mapping[str, str]] = {"next_after": "after", "token": "seen"}
"""Field of an answer → parameter of a query with which the same call goes on from there."""
_NAMES: Final = frozenset({"events"})
"""Fields that have just names of events in a list."""
_METHODS: Final = frozenset(method.value.lower() for method in HTTPMethod)
_NEXT: Final = "next"

Json = Any


def add_links(document: Json) -> None:
    """Put them into every answer that names something.

    Args:
        document: an OpenAPI document, whose operations have ids; changed.
    """
    operations = [
        operation
        for item in document["paths"].values()
        for method, operation in item.items()
        if method in _METHODS and not _is_endless(operation)
    ]
    for operation in operations:
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                links = _find_links(document, operation, response, operations)
                if links:
                    response["links"] = links


def _is_endless(operation: Json) -> bool:
    return any(MEDIA_TYPE in one.get("content", ()) for one in operation["responses"].values())


def _find_links(document: Json, operation: Json, response: Json, operations: list[Json]) -> dict[str, Json]:
    content = response.get("content", {}).get("application/json")
    if content is None:
        return {}
    places: dict[str, str] = {}  # of each field, the first one that is deepest in nothing
    for field, pointer in sorted(_walk(document, content["schema"], ""), key=lambda one: one[1].count("/")):
        places.setdefault(field, f"$response.body#{pointer}")
    asked = {name: f"$request.path.{name}" for name in _list_parameters(operation, "path")}
    told = {_NAMED_BY[field]: place for field, place in places.items() if field in _NAMED_BY}
    known = told | asked
    links = {}
    for target in operations:
        wanted = _list_parameters(target, "path")
        if wanted and wanted <= set(known) and not wanted <= set(asked):
            links[target["operationId"]] = _link(target, {name: known[name] for name in sorted(wanted)})
    queries = _list_parameters(operation, "query")
    on = {_GOES_ON_BY[field]: place for field, place in places.items() if _GOES_ON_BY.get(field) in queries}
    if on:
        links[_NEXT] = _link(operation, asked | on)
    return links


def _link(target: Json, parameters: Mapping[str, str]) -> Json:
    return {"operationId": target["operationId"], "parameters": dict(parameters)}


def _list_parameters(operation: Json, where: str) -> set[str]:
    return {one["name"] for one in operation.get("parameters", ()) if one["in"] == where}


def _walk(document: Json, schema: Json, at: str, within: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """Every field of an answer with its JSON pointer; of a list, those of its first element."""
    reference = schema.get("$ref")
    if reference is not None:
        if reference in within:
            return
        within |= {reference}
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    for kind in ("oneOf", "anyOf", "allOf"):
        for one in schema.get(kind, ()):
            yield from _walk(document, one, at, within)
    for name, one in schema.get("properties", {}).items():
        yield name, f"{at}/{name}"
        if name in _NAMES and one.get("items", {}).get("type") == "string":
            yield name.removesuffix("s"), f"{at}/{name}/0"
        yield from _walk(document, one, f"{at}/{name}", within)
    if isinstance(schema.get("items"), dict):
        yield from _walk(document, schema["items"], f"{at}/0", within)
