"""`muster query …`: find workflows, tasks and taskforces by a filter."""

import functools
import heapq
import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from muster.cli.console import give_up_output, put_json, put_table, say
from muster.cli.failure import OK, UsageError
from muster.cli.field_hints import list_misspelt
from muster.cli.found import check_limit, find_each, get_value, render_found
from muster.cli.service import HERE, Service, connect
from muster.cli.text_for_numbers import list_texts_for_numbers, render_hint
from muster.client.calls import Queried
from muster.client.shapes.workflows import TaskforceView, TaskView, WorkflowSummary
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError
from muster.domain.projection import parse_projection
from muster.domain.value_order import compare

BLOCK = 500
"""Rows of a table that are laid out together; more are not held."""
SORTED_MAX = 100_000
"""Objects that are held to be sorted."""
FILTER_BYTES_MAX = 1 << 20
COLUMNS: Mapping[Queried, Sequence[str]] = {
    "workflows": ("workflow_id", "name", "state", "owner", "created_at", "ended_at"),
    "tasks": ("task_id", "task_image", "task_args", "input_queue_aliases", "output_queue_aliases", "cluster_locations"),
    "taskforces": ("taskforce_uuid", "location", "phase", "workers", "n_workers", "cluster_id", "created_at"),
}
"""Of a table, where no fields are named."""
SHAPES: Mapping[Queried, type[msgspec.Struct]] = {
    "workflows": WorkflowSummary,
    "tasks": TaskView,
    "taskforces": TaskforceView,
}
"""Of what is found."""
_ID = "_id"
"""Everything has it, and nobody sees it."""

app = App(name="query", help="Find workflows, tasks and taskforces by a filter.", help_format="plaintext")
app.help_epilogue = """Examples:
  muster query workflows '{"state": "active", "owner": "ada"}'
  muster query taskforces '{"phase": {"$ne": "condor-complete"}}' --json

The filter is MongoDB's: docs/reference/query.md has the operators, and what is fast. {} fits everything."""

Filter = Annotated[str, Parameter(allow_leading_hyphen=True)]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How much is wanted of what fits, and in which order."""

    field: Annotated[list[str] | None, Parameter(name=["--field", "-f"])] = None
    """show this field, dotted into objects; may be given again for others."""
    newest_first: Annotated[bool, Parameter(name="--newest-first")] = False
    """in the other order."""
    sort: Annotated[str | None, Parameter(name="--sort")] = None
    """by this field instead; goes through all that fit and keeps --limit of them."""
    descending: Annotated[bool, Parameter(name="--descending")] = False
    """with --sort: the greatest first."""
    limit: Annotated[int | None, Parameter(name="--limit")] = None
    """how many at most."""


ALL = Wanted()


@app.command(
    help_epilogue="""Examples:
  muster query workflows '{"state": "active"}' --newest-first --limit 20
  muster query workflows --json > ended.jsonl \\
    '{"name": {"$regex": "^run-"}, "state": {"$in": ["finished", "aborted"]}}'
  muster query workflows '{"owner": "ada"}' \\
    --field workflow_id --field priority --sort priority --descending --limit 10"""
)
def workflows(
    filter: Filter = "{}",  # noqa: A002 - its name in the help
    /,
    *,
    wanted: Wanted = ALL,
    service: Service = HERE,
) -> int:
    """Find workflows by a filter; all that fit, oldest first. With --json one line each.

    Args:
        filter: JSON; - is standard input.
    """
    return _find("workflows", filter, wanted, service)


@app.command(
    alias="task-directives",
    help_epilogue="""Examples:
  muster query tasks '{"workflow_id": "WF-6f1a2b3c-00c3a1b2"}'
  muster query tasks '{"task_image": {"$regex": "^icecube/"}}' \\
    --field task_id --field task_image
  muster query task-directives '{"cluster_locations": "big-pool"}' --json""",
)
def tasks(
    filter: Filter = "{}",  # noqa: A002 - its name in the help
    /,
    *,
    wanted: Wanted = ALL,
    service: Service = HERE,
) -> int:
    """Find tasks by a filter; all that fit, oldest first. With --json one line each. `task-directives` is another name of it.

    Args:
        filter: JSON; - is standard input.
    """
    return _find("tasks", filter, wanted, service)


@app.command(
    help_epilogue="""Examples:
  muster query taskforces '{"phase": "condor-submit", "workers": 0}'
  muster query taskforces '{"held_reason": {"$ne": null}}' \\
    --field taskforce_uuid --field held_reason
  muster query taskforces '{"workflow_id": "WF-6f1a2b3c-00c3a1b2"}' --json \\
    | jq .compound_statuses
  muster query taskforces '{"location": "big-pool"}' \\
    --sort n_workers --descending --limit 10"""
)
def taskforces(
    filter: Filter = "{}",  # noqa: A002 - its name in the help
    /,
    *,
    wanted: Wanted = ALL,
    service: Service = HERE,
) -> int:
    """Find taskforces by a filter; all that fit, oldest first. With --json one line each.

    Args:
        filter: JSON; - is standard input.
    """
    return _find("taskforces", filter, wanted, service)


def _find(what: Queried, text: str, wanted: Wanted, service: Service) -> int:
    limit = wanted.limit
    check_limit(limit)
    if wanted.sort is None and wanted.descending:
        raise UsageError("--descending goes with --sort; the newest first are had by --newest-first")
    if wanted.sort is not None and wanted.newest_first:
        raise UsageError("--newest-first does not go with --sort")
    if wanted.sort is not None and (limit is None or limit > SORTED_MAX):
        raise UsageError(f"--sort goes with --limit, of at most {SORTED_MAX}: as many are held")
    filter_ = _parse_filter(text)
    fields = list(dict.fromkeys(wanted.field)) if wanted.field else None
    columns = fields or COLUMNS[what]
    shown = fields if service.json else columns
    count = 0
    try:
        with connect(service) as client:
            found = _find_in_order(client, what, filter_, shown, wanted)
            for block in _batch(found):
                count += len(block)
                if service.json:
                    for one in block:
                        put_json(one, in_one_line=True)
                else:
                    rows = [[render_found(name, get_value(one, name)) for name in columns] for one in block]
                    put_table(columns, rows)
    except BrokenPipeError:
        give_up_output()  # whoever reads has enough, and nothing was changed
        return OK
    _mind_misspelt(
        what, [*_list_roots(filter_), *(one.partition(".")[0] for one in (*(fields or ()), wanted.sort or _ID))]
    )
    for name, value in list_texts_for_numbers(filter_, SHAPES[what]):
        say(f"mind: {render_hint(name, value)}")
    if not service.json:
        say(f"{count} found" if limit is None or count < limit else f"{count} found, which is the limit (--limit)")
    return OK


def _list_roots(filter_: Mapping[str, Any]) -> Iterator[str]:
    """The fields of whole objects that a filter names, as it is written."""
    for name, operand in filter_.items():
        if not name.startswith("$"):
            yield name.partition(".")[0]
        elif isinstance(operand, list):
            for one in operand:
                yield from _list_roots(one) if isinstance(one, dict) else ()


def _mind_misspelt(what: Queried, names: Iterable[str]) -> None:
    """What is not there is no fault of a filter (it is null), so that a name with a slip in it finds nothing, or everything."""
    for name, near in list_misspelt((one for one in names if one != _ID), SHAPES[what]):
        meant = (
            f"did you mean {near!r}?" if near is not None else "docs/reference/query.md says where their names stand"
        )
        say(f"mind: {what} have no field {name[:100]!r}; {meant}")


def _batch(found: Iterator[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], ...]]:
    while block := tuple(itertools.islice(found, BLOCK)):
        yield block


def _find_in_order(
    client: Client,
    what: Queried,
    filter_: Mapping[str, Any],
    fields: Sequence[str] | None,
    wanted: Wanted,
) -> Iterator[dict[str, Any]]:
    """What fits, as much of each as is shown."""
    field, limit = wanted.sort, wanted.limit
    if field is None or limit is None:
        return find_each(client, what, filter_, projection=fields, limit=limit, newest_first=wanted.newest_first)
    read = None if fields is None else list(dict.fromkeys([*fields, field]))
    every = find_each(client, what, filter_, projection=read, limit=None, newest_first=False)
    choose = heapq.nlargest if wanted.descending else heapq.nsmallest
    key = functools.cmp_to_key(compare)
    chosen = choose(limit, every, key=lambda one: key(get_value(one, field)))
    projection = None if fields is None else parse_projection(fields)
    return iter(chosen if projection is None else [projection.apply(one) for one in chosen])


def _parse_filter(text: str) -> dict[str, Any]:
    """Raises InvalidError: it is no JSON object."""
    raw = sys.stdin.buffer.read(FILTER_BYTES_MAX + 1) if text == "-" else text.encode("utf-8", "surrogateescape")
    if len(raw) > FILTER_BYTES_MAX:
        raise InvalidError([Finding("filter", f"has more than {FILTER_BYTES_MAX} bytes")])
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = (
            f'is not a JSON object ({error}); write it as \'{{"state": "active"}}\', in single quotes for the shell'
        )
        raise InvalidError([Finding("filter", reason)]) from None
