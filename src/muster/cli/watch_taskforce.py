"""`muster taskforce watch`: how do the workers of a taskforce fare? A live view, until they are gone."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from muster.cli.console import clean, make_console, put, put_json, render_count, render_time, say
from muster.cli.failure import OK
from muster.cli.lookup import check_taskforce_uuid
from muster.cli.phase import render_phase
from muster.cli.pool_facts import list_facts, list_states, render_numbers
from muster.cli.service import HERE, Service, connect
from muster.cli.watch import Rate
from muster.client.shapes.workflows import TaskforceView
from muster.client.synchronous import Client
from muster.domain.taskforce_phase import Phase
from muster.domain.taskforce_reason import is_without_cluster

EXAMPLES = """Examples:
  muster taskforce watch TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d
  muster taskforce watch TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d --json"""

PARKED_S = 2.0
"""Seconds for which news of the workflow are waited for. What a site says of its workers alone is none: it shows with the next look."""
PACE_S = 1.0
"""Seconds between two looks, at least."""


@dataclass(frozen=True)
class Look:
    """One look at a taskforce.

    Args:
        at: seconds since the epoch.
        events_per_s: events of its whole workflow that end a second; None: not known yet.
    """

    view: TaskforceView
    at: float
    events_per_s: float | None

    @property
    def is_over(self) -> bool:
        """Is no worker left, and will none come?"""
        view = self.view
        return view.phase == Phase.CONDOR_COMPLETE or is_without_cluster(view.phase, view.cluster_id)

    @property
    def state(self) -> dict[str, object]:
        """All that a change of is news."""
        view = self.view
        return {
            "taskforce_uuid": view.taskforce_uuid,
            "phase": view.phase,
            "held_reason": view.held_reason,
            "cluster_id": view.cluster_id,
            "workers": view.workers,
            "n_workers": view.n_workers,
            "compound_statuses": view.compound_statuses,
            "top_task_errors": view.top_task_errors,
            "facts": view.facts,
            "reasons": view.reasons,
        }


def watch(taskforce: str, /, *, service: Service = HERE) -> int:
    """Show how the workers of a taskforce fare, until they are gone: how many are in which state and where, and why some wait.

    Into a pipe, and with `--json`, it writes a line whenever something has changed.

    Args:
        taskforce: its uuid.
    """
    uuid = check_taskforce_uuid(taskforce)
    with connect(service) as client, _open_view(service.json) as show:
        for look in follow(client, uuid):
            show(look)
    say(f"it is over: muster taskforce log {uuid}")
    return OK


def follow(client: Client, taskforce_uuid: str) -> Iterator[Look]:
    """One look after another, about one a second, the last one being of the taskforce that is over."""
    workflow_id = client.get_taskforce(taskforce_uuid).workflow_id
    rate, token = Rate(), None
    while True:
        begun_at = time.monotonic()
        progress = client.get_progress(workflow_id, seen=token, wait_s=PARKED_S)
        token = progress.token
        look = Look(client.get_taskforce(taskforce_uuid), progress.at, rate.note(progress))
        yield look
        if look.is_over:
            return
        time.sleep(max(0.0, PACE_S - (time.monotonic() - begun_at)))


@contextmanager
def _open_view(as_json: bool) -> Iterator[Callable[[Look], None]]:  # noqa: FBT001
    """Shows one look after another: to programs, to a person who looks on, or to a pipe or log."""
    if not as_json and sys.stdout.isatty():
        with Live(console=make_console(), auto_refresh=False, transient=False) as live:
            yield lambda look: live.update(render(look), refresh=True)
    else:
        yield _Changes(as_json=as_json).show


@dataclass
class _Changes:
    """A line for each look that differs from the one before."""

    as_json: bool
    _told: dict[str, object] | None = None

    def show(self, look: Look) -> None:
        if look.state == self._told:
            return
        self._told = look.state
        if self.as_json:
            put_json({"at": look.at, **look.state, "events_per_s": look.events_per_s}, in_one_line=True)
        else:
            put(f"{render_time(look.at)} {render_line(look)}")


def render_line(look: Look) -> str:
    """How it is, in one line."""
    view = look.view
    states = {job: sum(pilots.values()) for job, pilots in view.compound_statuses.items()}
    parts = [
        f"{render_phase(view.phase, view.cluster_id, view.held_reason)}: {view.workers} of {view.n_workers} up",
        f"its site sees {render_numbers(states)}" if states else "",
        *(f"{name} {text}" for name, text in ([] if view.facts is None else list_facts(view.facts))),
        "" if look.events_per_s is None else f"{look.events_per_s:.0f} events/s in its workflow",
        f"held: {view.held_reason}" if view.held_reason else "",
        f"workers wait: {view.reasons[0]}" if view.reasons else "",
    ]
    return clean(" ".join("; ".join(filter(None, parts)).split()))


def render(look: Look) -> RenderableType:
    """How it is, as a table with its facts and reasons beneath."""
    view = look.view
    speed = "" if look.events_per_s is None else f"; {look.events_per_s:.0f} events/s in its workflow"
    phase = render_phase(view.phase, view.cluster_id, view.held_reason)
    up = f"{view.workers} of {render_count(view.n_workers, 'worker')} up"
    lines: list[RenderableType] = [Text(clean(f"{view.taskforce_uuid}  {phase} at {view.location}; {up}{speed}"))]
    states = list_states(view)
    if states:
        table = Table(box=None, pad_edge=False)
        for column in ("job", "pilot", "workers"):
            table.add_column(column, justify="right" if column == "workers" else "left", overflow="fold")
        for job, pilot, number in states:
            table.add_row(Text(clean(job)), Text(clean(pilot)), Text(str(number)))
        lines.append(table)
    told = [] if view.facts is None else list(list_facts(view.facts))
    width = max((len(name) for name, _ in told), default=0)
    lines += [Text(clean(f"{name.ljust(width)}  {text}")) for name, text in told]
    warnings = [*([f"held: {view.held_reason}"] if view.held_reason else []), *view.reasons]
    lines += [Text(clean(" ".join(one.split())), style="yellow") for one in warnings]
    return Group(*lines)
