"""Is one task of a workflow runnable as it is written? Commands, variables, sizes, files: everything that would fail later."""

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from muster.client.shapes.new_workflow import NewTask, PilotConfig, WorkerConfig
from muster.domain.control_characters import CONTROL
from muster.domain.errors import Finding
from muster.domain.size import parse_size
from muster.server.services.findings import UpstreamFinding

ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
ALIAS_RULE = (
    "a queue's alias is letters, digits, `_`, `.` and `-`, at most 100, and begins with a letter, a digit or `_`"
)
TEXT_CHARS_MAX = 100_000
"""Arguments, or one variable's value."""
ITEMS_MAX = 1000
N_WORKERS_MAX = 1_000_000
N_CORES_MAX = 4096
RUNTIME_S_MAX = 366 * 86_400
INT_MAX = 2**31 - 1

PLACEHOLDERS = frozenset({"INFILE", "IN_FILE", "OUTFILE", "OUT_FILE", "DATA_HUB", "DATAHUB"})
"""What stands between double braces in a command (pilot.md section 5.2)."""
_PLACEHOLDER = re.compile(r"\{\{([A-Z_]+)\}\}")
_SHELL_SIGNS = frozenset({">", ">>", "<", "|", "&&", "||", ";", "&", "2>", "2>&1"})
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
TAG = re.compile(r"v?[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|latest|[a-z0-9._-]+-[a-z0-9]{1,128}")
RESERVED = (
    "EWMS_PILOT_TASK_IMAGE",
    "EWMS_PILOT_TASK_ARGS",
    "EWMS_PILOT_TASK_ENV_JSON",
    "EWMS_PILOT_INIT_IMAGE",
    "EWMS_PILOT_INIT_ARGS",
    "EWMS_PILOT_INIT_ENV_JSON",
)
"""Variables of the pilot that the request has fields for (wms.md 4.3)."""


def find_duplicates(items: Sequence[str]) -> Iterator[int]:
    """Where an item stands that stood before."""
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item in seen:
            yield index
        seen.add(item)


def has_control_characters(text: str) -> bool:
    """Is there anything in it that a terminal, a log or a database would trip over?"""
    return CONTROL.search(text) is not None


def judge_task(task: NewTask, path: str, *, is_ours: bool, is_upstreams: bool = False) -> Iterator[Finding]:
    """Every fault of a task but those of its locations and settings.

    Args:
        is_ours: Muster's own workers run it: then it needs an input queue, and its files must be ones that they can be given.
        is_upstreams: upstream's pilots run it, which know what to do without a command.
    """
    if not 1 <= task.n_workers <= N_WORKERS_MAX:
        yield Finding(f"{path}.n_workers", f"must be 1 to {N_WORKERS_MAX}")
    for name in ("input_queue_aliases", "output_queue_aliases"):
        for index in find_duplicates(getattr(task, name)):
            yield Finding(f"{path}.{name}[{index}]", "items must be unique")
        if len(getattr(task, name)) > ITEMS_MAX:
            yield Finding(f"{path}.{name}", f"must have no more than {ITEMS_MAX} items")
    if is_ours and not task.input_queue_aliases:
        yield Finding(f"{path}.input_queue_aliases", "must have at least 1 items: workers run the task on its events")
    yield from _judge_command(
        task.task_image, task.task_args, f"{path}.task", is_needed=not is_upstreams, is_ours=is_ours
    )
    yield from _judge_command(task.init_image, task.init_args, f"{path}.init", is_needed=False, is_ours=is_ours)
    yield from judge_variables(task.task_env, f"{path}.task_env")
    yield from judge_variables(task.init_env, f"{path}.init_env")
    yield from _judge_worker_config(task.worker_config, f"{path}.worker_config")
    yield from _judge_pilot_config(task.pilot_config, f"{path}.pilot_config")
    yield from _judge_files(task, path, is_ours=is_ours)


def judge_variables(variables: Mapping[str, str | int | list[str]], path: str) -> Iterator[Finding]:
    """Faults of an environment: names that no shell would take, values that no process can be given."""
    if len(variables) > ITEMS_MAX:
        yield Finding(path, f"must have no more than {ITEMS_MAX} entries")
    for name, value in list(variables.items())[:ITEMS_MAX]:
        where = f"{path}.{name[:80]}"
        if VARIABLE.fullmatch(name) is None:
            yield Finding(where, "must be a variable's name: letters, digits and `_`, not beginning with a digit")
        for text in value if isinstance(value, list) else [str(value)]:
            if "\0" in text or len(text) > TEXT_CHARS_MAX:
                yield Finding(where, f"must be at most {TEXT_CHARS_MAX} characters without NUL")


def _judge_command(image: str, arguments: str, path: str, *, is_needed: bool, is_ours: bool) -> Iterator[Finding]:
    """An image may bring its own command; without an image the arguments are the command itself."""
    if len(image) > 1000 or has_control_characters(image):
        yield Finding(f"{path}_image", "must be at most 1000 characters, without control characters")
    if len(arguments) > TEXT_CHARS_MAX or "\0" in arguments:
        yield Finding(f"{path}_args", f"must be at most {TEXT_CHARS_MAX} characters without NUL")
        return
    if image or not (is_needed or arguments):
        return
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        yield Finding(f"{path}_args", f"cannot be split into words by the rules of POSIX: {str(error).lower()}")
        return
    if not words or not words[0]:
        yield Finding(f"{path}_args", f"must be a command, since {path.rpartition('.')[2]}_image is empty")
    elif is_ours:
        yield from _judge_words(arguments, f"{path}_args")


def _judge_words(arguments: str, path: str) -> Iterator[Finding]:
    """What a command says that nobody would hear: a shell's signs, and placeholders that are none."""
    for word in shlex.split(arguments, posix=False):  # quotes stay, so a sign that is meant as a word is one
        if word in _SHELL_SIGNS:
            yield Finding(path, f"has {word!r}, and there is no shell: write sh -c '…', or quote it")
    for match in _PLACEHOLDER.finditer(arguments):
        if match[1] not in PLACEHOLDERS:
            nearest = difflib.get_close_matches(match[1], PLACEHOLDERS, n=1)
            known = f"did you mean {{{{{nearest[0]}}}}}?" if nearest else f"known are {', '.join(sorted(PLACEHOLDERS))}"
            yield Finding(path, f"{match[0]} is no placeholder: {known}")


def _judge_worker_config(config: WorkerConfig, path: str) -> Iterator[Finding]:
    if not 1 <= config.n_cores <= N_CORES_MAX:
        yield Finding(f"{path}.n_cores", f"must be 1 to {N_CORES_MAX}")
    if not 1 <= config.max_worker_runtime <= RUNTIME_S_MAX:
        yield Finding(f"{path}.max_worker_runtime", f"must be 1 to {RUNTIME_S_MAX} seconds")
    if not -INT_MAX <= config.priority <= INT_MAX:
        yield Finding(f"{path}.priority", f"must be {-INT_MAX} to {INT_MAX}")
    if len(config.condor_requirements) > TEXT_CHARS_MAX or has_control_characters(config.condor_requirements):
        yield Finding(f"{path}.condor_requirements", "must be one line of an expression")
    for name in ("worker_memory", "worker_disk"):
        given: int | str = getattr(config, name)
        try:
            size_bytes = given if isinstance(given, int) else parse_size(given)
        except ValueError as error:
            yield Finding(f"{path}.{name}", str(error))
            continue
        if not 1 <= size_bytes < 1 << 60:
            yield Finding(f"{path}.{name}", "must be at least 1 byte, and less than an exbibyte")


def _judge_pilot_config(config: PilotConfig, path: str) -> Iterator[Finding]:
    if TAG.fullmatch(config.tag) is None:
        yield Finding(f"{path}.tag", f"must match the pattern '^({TAG.pattern})$'")
    yield from judge_variables(config.environment, f"{path}.environment")
    for name, value in config.environment.items():
        if name in RESERVED:
            reason = f"cannot include the attribute '{name}'. Use the top-level equivalent attribute instead."
            yield UpstreamFinding(f"{path}.environment", reason, text=f"{path}.environment {reason}")
        if isinstance(value, list) and not value:
            yield Finding(f"{path}.environment.{name[:80]}", "must have at least 1 items")


def _judge_files(task: NewTask, path: str, *, is_ours: bool) -> Iterator[Finding]:
    files = {f"{path}.input_files[{index}]": one for index, one in enumerate(task.input_files)} | {
        f"{path}.pilot_config.input_files[{index}]": one for index, one in enumerate(task.pilot_config.input_files)
    }
    if len(files) > ITEMS_MAX:
        yield Finding(f"{path}.input_files", f"must have no more than {ITEMS_MAX} items")
    seen: set[str] = set()
    names: set[str] = set()
    for where, file in files.items():
        if not file or len(file) > 4096 or has_control_characters(file):
            yield Finding(where, "must be a path of 1 to 4096 characters, without control characters")
            continue
        name = PurePosixPath(file).name
        if file in seen:
            yield Finding(where, "items must be unique")
        elif is_ours and not (file.startswith("/") and name):
            yield Finding(where, "must be an absolute path at the location's access point")
        elif is_ours and name in names:
            yield Finding(where, f"two files are named {name[:100]!r}; a worker's folder can hold one of them")
        seen.add(file)
        names.add(name)
