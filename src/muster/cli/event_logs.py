"""`muster event logs`: what did a failed attempt print, for people?"""

from typing import Literal

from muster.cli.console import put, put_block, put_data, put_json, say
from muster.cli.failure import OK
from muster.cli.follow_logs import follow as follow_event
from muster.cli.lookup import check_event_id
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.events import AttemptLogView, StreamView
from muster.domain.errors import Finding, InvalidError, NotFoundError
from muster.domain.size import render_size

EXAMPLES = """Examples:
  muster event logs EV-00c3a1b2c4d5e6f7
  muster event logs EV-00c3a1b2c4d5e6f7 --attempt 1 --stream stderr
  muster event logs EV-00c3a1b2c4d5e6f7 --follow
  muster event logs EV-00c3a1b2c4d5e6f7 --json"""


def logs(
    event: str,
    /,
    *,
    attempt: int | None = None,
    stream: Literal["stdout", "stderr"] | None = None,
    follow: bool = False,
    service: Service = HERE,
) -> int:
    """Show what a failed attempt at an event printed: all of it, or the beginning and the end where it was much.

    It is kept of so many attempts of each cause as the service keeps examples; of others, as of those before it was kept, the ends alone.

    Args:
        event: its id.
        attempt: which, as `muster event show` counts them; otherwise the last that failed.
        stream: only this one, as it is; on a terminal its control characters are shown.
        follow: what the task that is at work at it prints now, until the event is done or dead (with --json: a line each look).
    """
    if follow and attempt is not None:
        raise InvalidError([Finding("--attempt", "goes without --follow, which shows the attempt that is at work")])
    with connect(service) as client:
        if follow:
            return follow_event(client, check_event_id(event), stream=stream, as_json=service.json)
        found = client.get_event_logs(check_event_id(event), attempt=attempt)
    if service.json:
        put_json(found)
    elif stream is not None:
        _put_stream(found, stream)
    else:
        put_logs(found)
    return OK


def put_logs(found: AttemptLogView) -> None:
    """Write both streams under titles."""
    put(f"{found.event}, attempt {found.attempt}: {found.outcome}")
    for name, one in (("stdout", found.stdout), ("stderr", found.stderr)):
        if one is None:
            put(f"\n{name}: {'nothing is kept' if found.has_ends_only else 'nothing was printed'}")
        else:
            put_block(f"{name} ({_render_size(one, has_ends_only=found.has_ends_only)})", one.text)
    _say_what_is_missing(found)


def _put_stream(found: AttemptLogView, name: str) -> None:
    one = found.stdout if name == "stdout" else found.stderr
    if one is None:
        raise NotFoundError(
            f"attempt {found.attempt} of {found.event} printed nothing to {name}, or nothing of it is kept"
        )
    put_data(one.text.encode())
    _say_what_is_missing(found)


def _say_what_is_missing(found: AttemptLogView) -> None:
    if found.has_ends_only:
        others = f"; more is kept of attempt {', '.join(map(str, found.kept))}" if found.kept else ""
        say(f"no more than the ends is kept of attempt {found.attempt}{others}")


def _render_size(one: StreamView, *, has_ends_only: bool) -> str:
    if has_ends_only:
        return "the end"
    return (
        render_size(one.size_bytes) if one.is_whole else f"of {render_size(one.size_bytes)} the beginning and the end"
    )
