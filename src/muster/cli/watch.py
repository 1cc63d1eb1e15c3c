"""How does a workflow come along? A live view by long poll of its progress."""

import sys
from collections import deque
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from muster.cli.console import clean, make_console, put, put_json, render_duration, say
from muster.cli.failure import FAILED, OK
from muster.client.shapes.account import CountsView
from muster.client.shapes.workflows import Progress
from muster.client.synchronous import Client

WAIT_S = 10.0
RATE_OVER_S = 10.0
BAR_COLUMNS = 30


class Rate:
    """Events ended a second, over the last ten seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def note(self, progress: Progress) -> float:
        """Take a progress in; returns the rate, 0 at first."""
        self._points.append((progress.at, progress.input.done + progress.input.dead))
        while len(self._points) > 2 and progress.at - self._points[1][0] > RATE_OVER_S:
            self._points.popleft()
        (begun_at, begun), (at, ended) = self._points[0], self._points[-1]
        return max(0.0, (ended - begun) / (at - begun_at)) if at > begun_at else 0.0


def watch_workflow(client: Client, workflow_id: str, *, as_json: bool) -> int:
    """Show progress until the workflow has ended.

    Returns the exit code: OK when it finished with everything done; FAILED when it was aborted, or events are dead or left.
    """
    if as_json:
        for progress in follow(client, workflow_id):
            put_json(progress, in_one_line=True)
    elif sys.stdout.isatty():
        progress = _watch_live(client, workflow_id)
    else:
        progress = _watch_lines(client, workflow_id)
    counts = progress.input
    if progress.state == "finished" and not (counts.dead or counts.waiting or counts.in_work):
        return OK
    if counts.dead:
        say(f"{counts.dead} events are dead letters; why: muster workflow errors {workflow_id}")
        if progress.state != "aborted":
            say(f"after the fix: muster dead-letter replay {workflow_id} --all")
    return FAILED


def follow(client: Client, workflow_id: str) -> Iterator[Progress]:
    """Each change of the progress, the last one being of the ended workflow; ends with it."""
    seen = None
    while True:  # ends with the workflow
        progress = client.get_progress(workflow_id, seen=seen, wait_s=WAIT_S if seen else 0.0)
        if progress.token != seen:
            yield progress
        seen = progress.token
        if progress.state != "active":
            return


def render_line(progress: Progress, rate: float) -> str:
    """The progress in one line."""
    counts = progress.input
    text = (
        f"{progress.state}: {counts.waiting} waiting, {counts.in_work} in work, {counts.done} done, {counts.dead} dead "
        f"of {counts.published}; {rate:.0f} events/s, {progress.workers} workers"
    )
    if progress.failures:
        text += f", {progress.failures} failed attempts"
    return text + (f"; {clean(progress.why)}" if progress.why else "")


def _watch_lines(client: Client, workflow_id: str) -> Progress:
    """For pipes and logs: a line when something has changed, at most one a second unless it is the last."""
    rate = Rate()
    told_at = float("-inf")
    for progress in follow(client, workflow_id):
        speed = rate.note(progress)
        if progress.at - told_at >= 1.0 or progress.state != "active":
            put(render_line(progress, speed))
            told_at = progress.at
    return progress


def _watch_live(client: Client, workflow_id: str) -> Progress:
    rate = Rate()
    with Live(console=make_console(), auto_refresh=False, transient=False) as live:
        for progress in follow(client, workflow_id):
            live.update(_render(progress, rate.note(progress)), refresh=True)
    return progress


def _render(progress: Progress, rate: float) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for column in ("queue", "", "waiting", "in work", "done", "dead", "of"):
        table.add_column(column, justify="left" if column in ("queue", "") else "right")
    for queue in progress.queues:
        counts = queue.counts
        # Nobody in the workflow reads a queue of results: what fills it is what was put there.
        cells = (counts.waiting, counts.in_work, counts.done, counts.dead, counts.published)
        bar = _bar(counts) if queue.is_input else Text("results" if queue.is_output else "")
        name = Text(clean(queue.alias) + (" (closed)" if queue.closed_at is not None else ""))
        table.add_row(name, bar, *(Text(str(cell)) for cell in cells))
    counts = progress.input
    left = counts.waiting + counts.in_work
    parts = [progress.state, f"{rate:.0f} events/s", f"{progress.workers} workers"]
    if rate > 0 and left and progress.state == "active":
        parts.append(f"about {render_duration(left / rate)} left")
    if progress.failures:
        parts.append(f"{progress.failures} failed attempts (muster workflow errors {progress.workflow_id})")
    if progress.phases:
        parts.append(", ".join(f"{number} {phase}" for phase, number in progress.phases.items()))
    lines = [Text(clean(f"{progress.workflow_id}  " + "; ".join(parts)))]
    if progress.why:
        lines.append(Text(clean(progress.why), style="yellow"))
    return Group(table, *lines)


def _bar(counts: CountsView) -> ProgressBar:
    return ProgressBar(total=max(1, counts.published), completed=counts.done + counts.dead, width=BAR_COLUMNS)
