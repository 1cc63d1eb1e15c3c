"""`muster site status`: does the agent of this directory run, what has it in hand, and what can it not do?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from muster.cli.console import put, put_fields, put_json, put_table, render_count, render_duration, render_time
from muster.cli.extras import needing
from muster.cli.failure import FAILED, OK
from muster.cli.settings_faults import read_settings
from muster.settings.parts import SiteSettings

if TYPE_CHECKING:
    from muster.site.standing import AgentStatus

TASKFORCES_SHOWN = 50


def status(*, json: bool = False, debug: bool = False) -> int:
    """Show whether the agent of this directory runs, its taskforces by stage, and what it cannot do now.

    Read from what the agent writes into MUSTER_SITE_DIRECTORY; neither it nor the service is asked. An agent that has written nothing for
    30 s is called stuck. The exit status is 1 if none runs, or it is stuck.

    Args:
        json: tell it as JSON, with all taskforces.
        debug: show the trace of an error.
    """
    del debug  # read by `main`
    with needing("site"):
        from muster.site.standing import Life, look
    found = look(read_settings(SiteSettings).directory.absolute())
    if json:
        put_json(found)
    else:
        put_status(found, now=time.time())
    return OK if found.life in (Life.RUNNING, Life.STARTING) else FAILED


def put_status(found: AgentStatus, *, now: float) -> None:
    """Write it for people. `now`: seconds since the epoch."""
    put_fields(_list_fields(found, now))
    for one in found.troubles:
        often = f"{render_count(one.times, 'time')} since {render_time(one.first_at)}"
        put(f"cannot: {one.doing}: {one.error} ({often}, the last time {_render_ago(one.last_at, now)})")
    if found.taskforces:
        shown = found.taskforces[:TASKFORCES_SHOWN]
        rows = [
            (
                one.taskforce_uuid,
                one.stage,
                "-" if one.cluster is None else str(one.cluster),
                one.n_workers,
                [f"{count} {state}" for state, count in one.workers.items()],
            )
            for one in shown
        ]
        put_table(("taskforce", "stage", "cluster", "wanted", "workers"), rows)
        if len(shown) < len(found.taskforces):
            put(f"and {len(found.taskforces) - len(shown)} more: --json has all")


def _list_fields(found: AgentStatus, now: float) -> Iterator[tuple[str, object]]:
    standing = found.standing
    yield "directory", found.directory
    yield "agent", _render_life(found)
    if standing is not None:
        yield "name", f"{standing.agent} ({standing.version}), since {render_time(standing.started_at)}"
        yield "pool", f"{standing.pool}, for {', '.join(standing.locations)}"
        yield "service", standing.url
        yield "orders", _render_last("asked for", standing.claimed_at, now)
        yield "reports", _render_last("told", standing.reported_at, now)
    stages = ", ".join(f"{count} {stage}" for stage, count in found.stages.items())
    yield "taskforces", stages or "none"


def _render_life(found: AgentStatus) -> str:
    told = "" if found.told_s is None else f"; it last told how it stands {render_duration(found.told_s)} ago"
    if found.pid is None:
        return f"stopped: no process has the directory{told}"
    return f"{found.life}: process {found.pid}{told}"


def _render_last(what: str, at: float | None, now: float) -> str:
    return "never yet" if at is None else f"{what} {_render_ago(at, now)}"


def _render_ago(at: float, now: float) -> str:
    return f"{render_duration(max(0.0, now - at))} ago"
