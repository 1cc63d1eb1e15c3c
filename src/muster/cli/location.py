"""`muster location …`: where can workers run, and is anybody there to start them?"""

from cyclopts import App

from muster.cli.console import put, put_json, put_table, render_duration, say
from muster.cli.failure import OK
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.service import AskingAgent, Locations, LocationView

AGENTS_SHOWN = 3

app = App(name="location", help="See where workers can run, and whether an agent is there.", help_format="plaintext")
app.help_epilogue = "Example:\n  muster location list"


@app.command(
    name="list",
    help_epilogue="""Examples:
  muster location list
  muster location list --json

What stands at one of them:
  muster query taskforces '{"location": "lab", "phase": "pending-starter"}'""",
)
def list_(*, service: Service = HERE) -> int:
    """List the locations of the service: who starts workers there and asked for orders last, and how many taskforces stand there.

    Orders wait for the agent; running taskforces have been submitted; held ones are not tried any more. Of workers those are counted that
    have called; upstream's do not. What stands at a place that is no location of the service any more is told below.
    """
    with connect(service) as client:
        found = client.list_locations()
    if service.json:
        put_json(found)
    else:
        put_locations(found)
    return OK


def put_locations(found: Locations) -> None:
    """Write them as a table, and below it what no agent can be told of."""
    columns = (
        "location",
        "aliases",
        "schedd",
        "agent",
        "asked last",
        "waiting",
        "running",
        "stopping",
        "held",
        "workers",
    )
    if found.locations:
        put_table(columns, [_render_row(one, at=found.at) for one in found.locations])
    else:
        say("the service has no locations: MUSTER_LOCATIONS names them to it (docs/how-to/locations.md)")
    for one in found.displaced:
        counts = one.taskforces
        words = {"waiting": counts.waiting, "running": counts.running, "stopping": counts.stopping, "held": counts.held}
        there = ", ".join(f"{number} {word}" for word, number in words.items() if number)
        put(f"mind: no agent can be told of the taskforces at {one.location} (schedd {one.schedd}; {there}): {one.why}")
    if found.displaced:
        put(
            "to have an agent told: name these locations in MUSTER_LOCATIONS of the service again, each with its schedd above, and start "
            "it again; or abort the workflows, and submit them elsewhere"
        )


def _render_row(one: LocationView, *, at: float) -> tuple[object, ...]:
    counts = one.taskforces
    return (
        one.name,
        one.aliases,
        one.schedd,
        one.agent,
        [_render_agent(agent, at=at) for agent in one.agents[:AGENTS_SHOWN]] or "nobody",
        counts.waiting,
        counts.running,
        counts.stopping,
        counts.held,
        one.workers,
    )


def _render_agent(agent: AskingAgent, *, at: float) -> str:
    ago = f"{render_duration(max(0.0, at - agent.asked_at))} ago"
    return f"{agent.name} {ago}".strip() + ("" if agent.is_there else " (gone?)")
