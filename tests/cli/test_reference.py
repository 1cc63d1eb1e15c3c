"""Does every command explain itself, and is the page of all commands up to date?"""

import inspect

import pytest

from muster.cli.main import COMMANDS, make_app
from muster.cli.reference import PLACE, list_commands, render_help, render_page

CHAINS = [chain for chain, _ in list_commands(make_app())]


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_every_command_has_help_with_an_example(chain: tuple[str, ...]) -> None:
    text = render_help(make_app(), chain)

    assert "Example" in text
    example = text.partition("Example")[2]
    assert f"muster {' '.join(chain)}" in " ".join(example.split())


@pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
def test_the_lines_of_an_example_are_whole_on_a_narrow_terminal_so_that_they_can_be_copied(
    chain: tuple[str, ...],
) -> None:
    app = make_app()
    epilogue = str(dict(list_commands(app))[chain].help_epilogue)
    lines = [line.rstrip() for line in epilogue.splitlines() if line.startswith("  ")]

    assert lines
    assert set(lines) <= set(render_help(app, chain, width=80).splitlines())


def test_every_parameter_has_its_sentence() -> None:
    silent = [
        f"{' '.join(chain)}: {name}"
        for chain, app in list_commands(make_app())
        if app.default_command is not None
        for name in inspect.signature(app.default_command).parameters
        if name not in {"service", "database", "wanted"}
        and f"\n    {name}: " not in inspect.cleandoc(app.default_command.__doc__ or "")
    ]
    assert silent == []


def test_every_command_that_asks_the_service_speaks_json() -> None:
    silent = [
        chain
        for chain, app in list_commands(make_app())
        if app.default_command is not None and "--json" not in render_help(make_app(), chain)
    ]
    assert [chain for chain in silent if chain not in {("completion",), ("site",), ("site", "run")}] == []


def test_the_page_of_all_commands_is_up_to_date() -> None:
    assert PLACE.read_text() == render_page(), "run `python -m muster.cli.reference`"


def test_the_sentence_in_the_list_is_the_commands_own() -> None:
    app = make_app()
    own = {name: " ".join(render_help(app, (name,)).split()) for name, _, _ in COMMANDS}
    assert [name for name, _, sentence in COMMANDS if sentence.rstrip(".") not in own[name] and name not in PARTS] == []


PARTS = {"serve", "site"}
"""Their own sentence says more."""
