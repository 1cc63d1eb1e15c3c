"""How does a workflow come along? A live view of its progress, and of what happens to it."""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from muster.cli.brake import render_brake, render_state
from muster.cli.console import clean, make_console, put, put_json, render_count, render_duration, render_time, say
from muster.cli.failure import FAILED, OK
from muster.cli.remedies import say_next, say_remedies
from muster.cli.service import Service
from muster.client.live import LiveMessage
from muster.client.shapes.account import CountsView
from muster.client.shapes.stream import GapView, NoticeView
from muster.client.shapes.workflows import BrakeView, Progress
from muster.client.synchronous import Client

RATE_OVER_S = 10.0
BAR_COLUMNS = 30


class Rate:
    """Events ended a second, over the last ten seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def note(self, progress: Progress) -> float | None:
        """Take a progress in; returns the rate, None before there are two looks at an active workflow."""
        self._points.append((progress.at, progress.input.done + progress.input.dead))
        while len(self._points) > 2 and progress.at - self._points[1][0] > RATE_OVER_S:
            self._points.popleft()
        (begun_at, begun), (at, ended) = self._points[0], self._points[-1]
        if progress.state != "active" or at <= begun_at:
            return None
        return max(0.0, (ended - begun) / (at - begun_at))


def watch_workflow(client: Client, workflow_id: str, service: Service, *, notices: bool = False) -> int:
    """Show progress until the workflow has ended, and with `notices` what happens to it until its workers are gone.

    Returns the exit code: OK when it finished with everything done; FAILED when it was aborted, or events are dead or left.
    """

    def tell(reason: str) -> None:
        if notices:
            say(f"mind: the progress is shown, and no notices: {reason}")

    with (
        closing(client.follow(workflow_id, notices=notices, on_poll=tell)) as messages,
        _open_view(service.json) as show,
    ):
        brake: BrakeView | None = None
        for message in messages:
            show(message)
            if isinstance(message, Progress):  # the first message is one
                progress = message
                if progress.brake is not None and progress.brake != brake:
                    say_stopped(progress, progress.brake, service)
                brake = progress.brake
    reasons = list(find_reasons(progress))
    if not reasons:
        return OK
    counts = progress.input
    if counts.dead:
        say(f"{render_count(counts.dead, 'dead letter')}; why: muster workflow errors {workflow_id}")
    say_left_behind(counts.waiting)
    say(f"status {FAILED}: {', '.join(reasons)}")
    say_remedies(client.get_workflow(workflow_id), service)
    return FAILED


def find_reasons(ended: Progress) -> Iterator[str]:
    """Why an ended workflow is not as it should be; nothing when it finished with everything done."""
    if ended.state == "aborted":
        yield "the workflow was aborted"
    for count, what in ((ended.input.dead, "dead"), (ended.input.waiting, "waiting"), (ended.input.in_work, "in work")):
        if count:
            yield f"{render_count(count, 'event')} {what}"


def say_stopped(progress: Progress, brake: BrakeView, service: Service) -> None:
    """Tell that it stands still until somebody resumes it, why, and what to type: nothing else happens to it."""
    say(progress.why or render_brake(brake))
    when = "" if brake.fingerprint is None else ", once the cause is mended or to go on as it is"
    say(f"no event of it is begun until it is resumed{when}")
    here = progress.workflow_id
    # Short lines: above the live view a longer one is broken where the terminal ends, and could not be typed as it stands.
    say_next([f"muster workflow explain {here}", f"muster workflow resume {here}"], service)


def say_left_behind(waiting: int) -> None:
    """Tell of the events that an ended workflow has left, if there are any."""
    if waiting:
        what = "1 event waits" if waiting == 1 else f"{waiting} events wait"
        say(f"{what} and will not be worked on")


def render_line(progress: Progress, rate: float | None) -> str:
    """The progress in one line."""
    counts = progress.input
    text = (
        f"{render_state(progress.state, progress.brake)}: {counts.waiting} waiting, {counts.in_work} in work, {counts.done} done, "
        f"{counts.dead} dead of {counts.published}"
    )
    inputs = [queue for queue in progress.queues if queue.is_input]
    if len(inputs) > 1:  # the sum says little of a chain, which grows as it goes on
        stages = (f"{clean(one.alias)} {one.counts.done + one.counts.dead} of {one.counts.published}" for one in inputs)
        text += f" ({', '.join(stages)})"
    movement = _list_movement(progress, rate)
    if progress.failures:
        movement.append(render_count(progress.failures, "failed attempt"))
    return "; ".join(filter(None, (text, ", ".join(movement), clean(progress.why or ""))))


def _list_movement(progress: Progress, rate: float | None) -> list[str]:
    """How fast it goes and with how many: of an ended workflow, nothing."""
    speed = [] if rate is None else [f"{rate:.0f} events/s"]
    return [*speed, render_count(progress.workers, "worker")] if progress.state == "active" else []


def render_notice(notice: NoticeView | GapView) -> str:
    """What happened, in one line."""
    if isinstance(notice, GapView):
        return "notices may be missing here: the service does not keep all of them any more"
    facts = ", ".join(f"{name} {' '.join(str(fact).split())}" for name, fact in notice.data.items() if fact != "")
    return clean(
        f"{render_time(notice.at)} {notice.kind}: {facts}" if facts else f"{render_time(notice.at)} {notice.kind}"
    )


@contextmanager
def _open_view(as_json: bool) -> Iterator[Callable[[LiveMessage], None]]:  # noqa: FBT001
    """Shows one message after another: to programs, to a person who looks on, or to a pipe or log."""
    if as_json:
        yield partial(put_json, in_one_line=True)
    elif sys.stdout.isatty():
        with Live(console=make_console(), auto_refresh=False, transient=False) as live:
            yield _LiveView(live).show
    else:
        yield _Lines().show


class _Lines:
    """A line when something has changed, at most one a second unless it is stopped, goes on, or is the last; and one for each notice."""

    def __init__(self) -> None:
        self._rate = Rate()
        self._told_at = float("-inf")
        self._brake: BrakeView | None = None

    def show(self, message: LiveMessage) -> None:
        if not isinstance(message, Progress):
            put(render_notice(message))
            return
        speed = self._rate.note(message)
        # Of a workflow that was stopped no more news may come, which would tell what was left out now.
        if message.at - self._told_at >= 1.0 or message.state != "active" or message.brake != self._brake:
            put(render_line(message, speed))
            self._told_at, self._brake = message.at, message.brake


class _LiveView:
    """A table that changes, and the notices above it."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._rate = Rate()

    def show(self, message: LiveMessage) -> None:
        if isinstance(message, Progress):
            self._live.update(_render(message, self._rate.note(message)), refresh=True)
        else:
            self._live.console.print(Text(render_notice(message)))


def _render(progress: Progress, rate: float | None) -> RenderableType:
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
    parts = [render_state(progress.state, progress.brake), *_list_movement(progress, rate)]
    if rate and left:
        parts.append(f"about {render_duration(left / rate)} left")
    if progress.failures:
        failures = render_count(progress.failures, "failed attempt")
        parts.append(f"{failures} (muster workflow errors {progress.workflow_id})")
    if progress.phases:
        parts.append(", ".join(f"{number} {phase}" for phase, number in progress.phases.items()))
    lines = [Text(clean(f"{progress.workflow_id}  " + "; ".join(parts)))]
    if progress.why:
        lines.append(Text(clean(progress.why), style="yellow"))
    return Group(table, *lines)


def _bar(counts: CountsView) -> ProgressBar:
    return ProgressBar(total=max(1, counts.published), completed=counts.done + counts.dead, width=BAR_COLUMNS)
