"""Does the served OpenAPI document describe the routes that are served?

Source: wms.md sections 4.2 and 17, mqs.md sections 4.2 and 11.
"""

import re
from collections.abc import Iterator

import pytest

from compat.caller import Caller, Service
from compat.exact import Json
from compat.parties import Desk
from compat.routes import ROUTES


@pytest.fixture
def desk(service: Service) -> Iterator[Desk]:
    with Desk(service) as desk:
        yield desk


def documented(document: Json, version: str) -> set[tuple[str, str]]:
    """Method and path of every operation; variables are `{}`, and the version is left out."""
    found = set()
    for path, operations in document["paths"].items():
        bare = re.sub(r"\{[^}]*\}", "{}", path.removeprefix(f"/{version}")) or "/"
        found |= {
            (method.upper(), bare) for method in operations if method in {"get", "post", "put", "patch", "delete"}
        }
    return found


def expected(*, of_queues: bool) -> set[tuple[str, str]]:
    return {
        (route.method, re.sub(r"\{[^}]*\}", "{}", route.path.partition("?")[0]))
        for route in ROUTES
        if route.is_versioned and route.path.startswith("/mqs") == of_queues
    }


def check_info(desk: Desk, document: Json) -> None:
    assert document["openapi"] == "3.1.0"
    info = document["info"]
    assert info["version"] == desk.dialect.info_version
    assert {"title", "summary", "description", "contact", "license"} <= set(info)
    assert {"name", "email", "url"} >= set(info["contact"]) != set()
    assert info["license"]["name"]


@pytest.mark.parametrize("role", ["user", "system-tms"])
def test_the_workflow_service_describes_its_routes(desk: Desk, role: str) -> None:
    document = desk.call_as(role).get("/schema/openapi").body

    check_info(desk, document)
    assert expected(of_queues=False) <= documented(document, desk.version)


@pytest.mark.parametrize("role", ["user", "system-wms"])
def test_the_queue_service_describes_its_routes(desk: Desk, role: str) -> None:
    document = desk.call_as(role).get("/mqs/schema/openapi").body

    check_info(desk, document)
    assert expected(of_queues=True) <= documented(document, desk.version)


def test_everybody_reads_the_same_document(desk: Desk) -> None:
    def read(caller: Caller, path: str) -> bytes:
        return caller.get(path).raw

    assert read(desk.user, "/schema/openapi") == read(desk.tms, "/schema/openapi")
    assert read(desk.user, "/mqs/schema/openapi") == read(desk.wms, "/mqs/schema/openapi")
