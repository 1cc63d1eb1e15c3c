"""`muster admin …`: what operators do to the service as a whole."""

from collections import Counter

from cyclopts import App

from muster.cli.console import put, put_json, put_table, render_count, render_duration, say
from muster.cli.failure import OK, UsageError
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.admin import KeptBackView, PurgedView
from muster.client.synchronous import Client

app = App(name="admin", help="For operators: remove what need not be kept any longer.", help_format="plaintext")
app.help_epilogue = "Example:\n  muster admin purge --dry-run"

DAY_S = 24 * 3600
_WHAT = {
    "workflows": "workflows that ended, with all their events",
    "events": "events that are done",
    "dead_letters": "dead letters",
    "bodies": "bodies of events that are done",
    "attempts": "attempts of events that are done",
    "notices": "notices for streams",
    "answers": "answers to requests with a key",
}


@app.command(
    help_epilogue="""Examples:
  muster admin purge --dry-run
  muster admin purge --json

How long each is kept is a setting of the service: `muster settings` shows MUSTER_WORKFLOWS_KEPT_S and those after it."""
)
def purge(*, dry_run: bool = False, service: Service = HERE) -> int:
    """Remove now what need not be kept any longer, as the service does by itself once an hour. Says how much it was of each.

    Args:
        dry_run: only say what would be removed.
    """
    with connect(service) as client:
        removed, kept_back, last = _go_round(client, dry_run=dry_run)
    if service.json:
        put_json({"dry_run": dry_run, "removed": removed, "kept_s": last.kept_s, "kept_back": kept_back})
        return OK
    put_table(
        ("what", "is kept for", "would go" if dry_run else "removed"),
        [(_WHAT.get(what, what), _render_rule(last.kept_s[what]), count) for what, count in removed.items()],
    )
    for one in kept_back:
        say(f"{one.workflow_id} is kept although its time is over: {one.reason}")
    return OK


def _go_round(client: Client, *, dry_run: bool) -> tuple[dict[str, int], list[KeptBackView], PurgedView]:
    """A whole round, told on the way where it takes long."""
    done = client.purge(dry_run=dry_run)
    removed, kept_back = Counter(done.removed), list(done.kept_back)
    while done.place is not None:
        say(f"{render_count(sum(removed.values()), 'thing')} so far …")
        done = client.purge(dry_run=dry_run, place=done.place)
        removed.update(done.removed)
        kept_back += done.kept_back
    return dict(removed), kept_back, done


def _render_rule(kept_s: float | None) -> str:
    if kept_s is None:
        return "ever"
    if not kept_s:
        return "no time"
    return render_count(round(kept_s / DAY_S), "day") if kept_s % DAY_S == 0 else render_duration(kept_s)


@app.command(help_epilogue="Example:\n  muster admin reset --yes")
def reset(*, yes: bool = False, service: Service = HERE) -> int:
    """Empty a service that is one for tests (started with MUSTER_TEST_RESET=true): every workflow, every event. Nothing brings them back.

    Args:
        yes: it is meant.
    """
    if not yes:
        raise UsageError("this removes every workflow and every event of the service: say --yes where that is meant")
    with connect(service) as client:
        done = client.reset()
    if service.json:
        put_json(done)
    else:
        put(f"removed {render_count(done.workflows, 'workflow')}")
    return OK
