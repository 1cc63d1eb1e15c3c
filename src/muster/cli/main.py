"""`muster`: which command is meant, and how does it end?"""

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from cyclopts import App, CycloptsError, Parameter

from muster.cli.console import clean, give_up_output, say
from muster.cli.failure import FAILED, INTERRUPTED, OK, PIPE_CLOSED, USAGE, exit_code_of, render_error
from muster.domain.errors import MusterError

HELP = """Muster gathers compute for science: describe work, get workers for it, account for every unit.

Start with `muster up` in one terminal and `muster workflow submit FILE` in another."""

COMMANDS = (
    ("up", "up", "Run service, site agent and local workers in this folder, until Ctrl-C."),
    ("workflow", "workflow", "Make, see, watch and end workflows."),
    ("task", "task", "See the tasks of workflows, and give them more workers."),
    ("taskforce", "taskforce", "See taskforces: where their workers are, and why not."),
    ("queue", "queue", "Publish events, consume results, close and see queues."),
    ("event", "event", "Look at events, and write them out without taking them."),
    ("dead-letter", "dead_letter", "See and replay events whose last attempt failed."),
    ("query", "query", "Find workflows, tasks and taskforces by a filter."),
    ("location", "location", "See where workers can run, and whether an agent is there."),
    ("token", "token", "See who you are, get tokens, also those of queues on a broker."),
    ("status", "status", "Show the service's address, whether it is ready, and who you are to it."),
    ("limits", "limits", "Show the limits that the service has, and how much of each is in use."),
    ("serve", "serve", "Run the service as a process of its own."),
    ("site", "site", "Run the agent beside a pool as a process of its own."),
    ("db", "db", "See how the database stands; upgrade it, back it up, restore it."),
    ("settings", "settings", "Show every setting, its value, and where that comes from."),
    ("admin", "admin", "For operators: remove what need not be kept any longer."),
    ("completion", "completion", "Write what completes commands in your shell."),
    (
        "worker",
        "worker",
        "See workers and what they wrote; hold, release, remove single ones; make the file that travels.",
    ),
)
"""Name, module, sentence."""


def make_app() -> App:
    """The tree of commands; the modules of commands that are not used are not imported."""
    app = App(
        name="muster",
        help=HELP,
        help_format="plaintext",
        version=lambda: version("muster-compute"),
        default_parameter=Parameter(negative=""),
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        help_epilogue="Example:\n  muster workflow submit examples/daya-bay/workflow.yaml --watch",
    )
    for number, (name, module, sentence) in enumerate(COMMANDS):
        app.command(f"muster.cli.{module}:app", name=name, help=sentence, sort_key=number)
    app.register_install_completion_command(add_to_startup=False)
    return app


def main() -> NoReturn:
    """The `muster` command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry a command out; every error is told in words. Returns the exit code."""
    try:
        result = make_app()(list(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the last door before the user: told, not shown
        if "--debug" in arguments and not isinstance(error, CycloptsError):
            say(traceback.format_exc().rstrip())
        return tell(error)
    return result if isinstance(result, int) else OK


def tell(error: BaseException) -> int:
    """Say on stderr what went wrong. Returns the exit code."""
    match error:
        case CycloptsError():
            say(f"muster: {_render_usage(error)}")
            return USAGE
        case MusterError():
            say(f"muster: {render_error(error)}")
            return exit_code_of(error)
        case KeyboardInterrupt():
            say("")
            return INTERRUPTED
        case BrokenPipeError():
            give_up_output()
            return PIPE_CLOSED
        case OSError():
            give_up_output()
            say(f"muster: {_render_os_error(error)}")
        case _:
            say(f"muster: a fault of Muster itself: {type(error).__name__}: {error}")
            say("With --debug you see where; please report it.")
    return FAILED


def _render_usage(error: CycloptsError) -> str:
    command = " ".join(["muster", *(error.command_chain or ())])
    return f"{clean(str(error)).strip()}\nTry: {command} --help"


def _render_os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason
