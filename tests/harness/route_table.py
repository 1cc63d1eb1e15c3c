"""Which routes do the pages that are written by hand name?"""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_ID = re.compile(r"\{[^}]*\}")


def read_table() -> set[tuple[str, str]]:
    """(method, path) of the table in `docs/design/conventions.md`, ids as `{}`."""
    routes: set[tuple[str, str]] = set()
    for line in (DOCS / "design" / "conventions.md").read_text().splitlines():
        cell = line.split("|")[1] if line.startswith("| ") else ""
        match = re.match(r"\s*(GET|POST|PUT) `", cell)
        if match is None:
            continue
        paths = [one.partition("?")[0] for one in re.findall(r"`([^`]+)`", cell) if one != "Idempotency-Key"]
        whole = paths[0]
        folder = whole[: whole.rindex("/")]
        for path in paths:
            written_out = path if path.startswith("/") else f"{folder}/{path.removeprefix('…/')}"
            routes.add((match[1], hide_ids(written_out)))
    return routes


def hide_ids(path: str) -> str:
    """With `{}` for each name of an id, which pages and code may call differently."""
    return _ID.sub("{}", path)


def is_named(path: str, page: str) -> bool:
    """Does a page name the path, its ids by whatever stands for them?"""
    parts = '[^/\\s`"]+'.join(re.escape(one) for one in hide_ids(path).split("{}"))
    return re.search(rf"{parts}(?![\w/-])", page) is not None
