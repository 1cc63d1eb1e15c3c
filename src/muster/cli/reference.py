"""What does every command say of itself? The page docs/reference/cli.md, from the commands' own help."""

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from cyclopts import App
from rich.console import Console

from muster.cli.failure import MEANINGS
from muster.cli.main import make_app

PLACE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
WIDTH = 100

HEAD = """# The command line

Made from the commands' own help by `python -m muster.cli.reference`; a test fails when this page is behind.

Data goes to stdout, talk to stderr, so that every command can stand in a pipe. `--json` gives the answer's JSON. `latest` (or `@last`)
stands for your newest workflow.

The service is looked for at `--url`, then `MUSTER_URL`, then in the folder of `muster up` (`--dir`, `MUSTER_DIR`, `./.muster`); the
token in `--token-file`, `MUSTER_TOKEN`, `MUSTER_TOKEN_FILE`, and in that folder. A token is never an argument.

| exit code | meaning |
| --- | --- |
"""


def list_commands(app: App, chain: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command with the words that call it, groups before what is in them."""
    for name in sorted(app, key=lambda one: (app[one].sort_key or 0, one)):
        if not name.startswith("-"):
            yield (*chain, name), app[name]
            yield from list_commands(app[name], (*chain, name))


def render_help(app: App, chain: tuple[str, ...]) -> str:
    """What `--help` says, on a page of fixed width, without colours."""
    page = Console(file=StringIO(), width=WIDTH, color_system=None, force_terminal=False, legacy_windows=False)
    with page.capture() as capture:
        app.help_print(list(chain), console=page)
    return "\n".join(line.rstrip() for line in capture.get().strip().splitlines())


def render_page() -> str:
    """The whole page."""
    app = make_app()
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in sorted(MEANINGS.items()))
    parts = [HEAD + codes]
    for chain, _ in list_commands(app):
        parts.append(f"{'#' * (len(chain) + 1)} muster {' '.join(chain)}\n\n```text\n{render_help(app, chain)}\n```\n")
    return "\n".join(parts)


def main() -> None:
    """Write the page."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_text(render_page())
    print(PLACE, file=sys.stderr)


if __name__ == "__main__":
    main()
