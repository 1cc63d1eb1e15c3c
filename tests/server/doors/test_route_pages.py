"""Do the pages name every route of our door that is served, and no other?"""

import pytest

from harness.route_table import DOCS, hide_ids, is_named, read_table
from muster.server.app import MUSTER_PREFIX
from server.stand import Stand

pytestmark = pytest.mark.anyio

OF_PARTS = ("/site/", "/worker/", "/admin/")
"""For agents, workers and the commands of operators: they have pages of their own."""


async def _list_served(stand: Stand) -> set[tuple[str, str]]:
    paths = (await stand.get(f"{MUSTER_PREFIX}/openapi.json"))["paths"]
    return {(method.upper(), path.removeprefix(MUSTER_PREFIX)) for path, item in paths.items() for method in item}


async def test_the_table_of_routes_has_each_that_is_served(stand: Stand) -> None:
    served = {(method, hide_ids(path)) for method, path in await _list_served(stand)}

    assert read_table() == served | {("GET", "/openapi.json")}


async def test_the_page_for_people_without_the_command_line_names_every_route_for_them(stand: Stand) -> None:
    page = (DOCS / "reference" / "api.md").read_text()
    missing = {
        path for _, path in await _list_served(stand) if not path.startswith(OF_PARTS) and not is_named(path, page)
    }

    assert missing == set()
    assert not is_named("/workflows/{workflow_id}/nothing", page)
