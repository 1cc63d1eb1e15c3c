"""What does every command say of itself? The page docs/reference/cli.md, from the commands' own help."""

import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from cyclopts import App
from rich.console import Console

from muster.cli.failure import MEANINGS
from muster.cli.main import make_app
from muster.cli.settings_faults import list_variables
from muster.settings import ClientSettings, ServerSettings, SiteSettings

PLACE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
WIDTH = 100

HEAD = """# The command line

Made from the commands' own help by `python -m muster.cli.reference`; a test fails when this page is behind.

Data goes to stdout, talk to stderr, so that every command can stand in a pipe. `--json` gives the answer's JSON. `latest` (or `@last`)
stands for your newest workflow.

The service is looked for at `--url`, then `MUSTER_URL`, then in the folder of `muster up` (`--dir`, `MUSTER_DIR`, `./.muster`); the
token in `--token-file`, `MUSTER_TOKEN`, `MUSTER_TOKEN_FILE`, at an identity provider (`MUSTER_CLIENT_…`, at the end of this page), and in
that folder. A token is never an argument.

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
    parts += [render_settings(ServerSettings, "muster serve"), render_settings(SiteSettings, "muster site")]
    parts += [render_settings(ClientSettings, "a program that calls muster")]
    return "\n".join(parts)


def render_settings(settings: type[ServerSettings | SiteSettings | ClientSettings], command: str) -> str:
    """The variables of a command with their defaults, from the sentences that stand beside them."""
    prefix = settings.model_config["env_prefix"]
    rows = []
    for name, field in settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = ",".join(default) if isinstance(default, tuple) else "" if default is None else str(default)
        variables = " or ".join(f"`{one}`" for one in list_variables(settings, name, prefix=prefix))
        rows.append(f"| {variables} | {f'`{shown}`' if shown else ''} | {field.description} |")
    return "\n".join([f"## Settings of {command}", "", "| variable | default | |", "| --- | --- | --- |", *rows, ""])


def main() -> None:
    """Write the page."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_text(render_page())
    print(PLACE, file=sys.stderr)


if __name__ == "__main__":
    main()
