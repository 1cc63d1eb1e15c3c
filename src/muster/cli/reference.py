"""What does every command say of itself? The page docs/reference/cli.md, from the commands' own help."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from cyclopts import App
from rich.console import Console

from muster.cli.failure import MEANINGS
from muster.cli.main import make_app
from muster.cli.settings import render_value
from muster.cli.variable_names import COMMAND_VARIABLES, CommandVariable
from muster.settings.parts import PARTS, TITLES
from muster.settings.sentences import read_sentences
from muster.settings.upstream_variables import UPSTREAM_VARIABLES, Alias, Ignored
from muster.settings.variables import SETTINGS_FILE, FromVariables, list_names

PLACE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
WIDTH = 100

HEAD = """# The command line

Made from the commands' own help by `python -m muster.cli.reference`; a test fails when this page is behind.

Data goes to stdout, talk to stderr, so that every command can stand in a pipe. `--json` gives the answer's JSON. `latest` (or `@last`)
stands for your newest workflow.

An option that is typed goes before every variable. The service is looked for at `--url`, then in the folder of a `muster up` that
`--dir` names, then at `MUSTER_URL`, then in the folder that `MUSTER_DIR` names, or `./.muster`; the token in `--token-file`, in the
folder that `--dir` names, in `MUSTER_TOKEN`, in `MUSTER_TOKEN_FILE`, and in that last folder. A folder's token goes to no other machine.
A token is never an argument. A variable that would be asked and is set to nothing (`MUSTER_URL=`) is refused, as a setting is.

| exit code | meaning |
| --- | --- |
"""

SETTINGS = f"""## Settings

Read from the environment, then from the file that `{SETTINGS_FILE}` names, then the default holds. The file has lines like `NAME=value`; a
value may stand in quotes, nothing in it is expanded, `#` begins a remark. `muster settings` shows each setting, its value and where that
comes from.

A `MUSTER_…` variable that nobody reads is an error when `muster serve`, `site` or `up` starts, with the nearest name; not so those of
tasks, tests and benchmarks (`MUSTER_TASK_…`, `MUSTER_TEST_…`, `MUSTER_BENCH_…`).
"""
WITHOUT_EFFECT = """## Variables of the EWMS services without effect

`muster serve` takes variables of the EWMS workflow management and message queue services as its own where they mean the same (above, after
"or"); ours goes first where both are set. These have no effect, which is told at start ([moving over](../how-to/move-from-ewms.md)):
"""


def list_commands(app: App, chain: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], App]]:
    """Every command with the words that call it, groups before what is in them."""
    for name in sorted(app, key=lambda one: (app[one].sort_key or 0, one)):
        if not name.startswith("-"):
            yield (*chain, name), app[name]
            yield from list_commands(app[name], (*chain, name))


def render_help(app: App, chain: tuple[str, ...], *, width: int = WIDTH) -> str:
    """What `--help` says, on a page of as many columns, without colours."""
    page = Console(file=StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False)
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
    parts.append(SETTINGS)
    parts += [
        render_settings(settings, TITLES[name], COMMAND_VARIABLES if name == "client" else ())
        for name, settings in PARTS.items()
    ]
    parts.append(render_without_effect(UPSTREAM_VARIABLES))
    return "\n".join(parts)


def render_settings(settings: type[FromVariables], command: str, others: Sequence[CommandVariable]) -> str:
    """The variables of a command with their defaults, from the sentences beside them; `others` stand in the environment alone."""
    rows = [f"| `{one.name}` | {f'`{one.default}`' if one.default else ''} | {one.sentence} |" for one in others]
    sentences = read_sentences(settings)
    for name, field in settings.model_fields.items():
        default = render_value(field.get_default(call_default_factory=True))
        variables = " or ".join(f"`{one}`" for one in list_names(settings, name))
        rows.append(f"| {variables} | {f'`{default}`' if default else ''} | {sentences.get(name, '')} |")
    return "\n".join([f"## Settings of {command}", "", "| variable | default | |", "| --- | --- | --- |", *rows, ""])


def render_without_effect(table: Mapping[str, Alias | Ignored]) -> str:
    """Variables that do nothing here, by the reason."""
    names: dict[str, list[str]] = {}
    for name, row in table.items():
        if isinstance(row, Ignored):
            names.setdefault(row.why, []).append(f"`{name}`")
    rows = [f"| {', '.join(ones)} | {why} |" for why, ones in names.items()]
    return "\n".join([WITHOUT_EFFECT, "| variable | why |", "| --- | --- |", *rows, ""])


def main() -> None:
    """Write the page."""
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    PLACE.write_text(render_page())
    print(PLACE, file=sys.stderr)


if __name__ == "__main__":
    main()
