"""How is shown what a site sees of a taskforce's workers? For `muster taskforce show` and `watch`."""

from collections.abc import Iterator, Mapping

from muster.cli.console import clean, put, put_block, put_fields, put_table, render_count
from muster.client.shapes.sites import WorkerFacts
from muster.client.shapes.workflows import TaskforceView

StateRow = tuple[str, str, int]


def list_states(view: TaskforceView) -> list[StateRow]:
    """State of the job, of the worker in it, and how many are so."""
    return [(job, pilot, n) for job, pilots in view.compound_statuses.items() for pilot, n in pilots.items()]


def put_seen(view: TaskforceView) -> None:
    """Write how many are in which state and where, and why those that wait do; nothing where its site has said nothing."""
    if view.compound_statuses:
        put("\nseen by its site")
        put_table(("job", "pilot", "workers"), list_states(view))
    told = [] if view.facts is None else list(list_facts(view.facts))
    if told:
        put("\ntold by its site")
        put_fields(told)
    put_block("why workers wait, as its site says", "\n".join(" ".join(one.split()) for one in view.reasons))


def list_facts(facts: WorkerFacts) -> Iterator[tuple[str, str]]:
    """What there is to say, by name."""
    now = (
        ("sites", facts.sites),
        ("hosts", facts.hosts),
        ("held", facts.holds),
        ("file transfer", facts.transfers),
    )
    for name, counts in now:
        if counts:
            yield name, render_numbers(counts)
    if facts.disconnected:
        yield "out of reach", str(facts.disconnected)
    so_far = (
        (facts.restarts, "restart"),
        (facts.evictions, "eviction"),
        (facts.disconnects, "disconnect"),
        (facts.failed_starts, "failed start"),
    )
    happened = [render_count(number, noun) for number, noun in so_far if number]
    if happened:
        yield "so far", ", ".join(happened)


def render_numbers(counts: Mapping[str, int]) -> str:
    """`12 at north, 3 at south` without the words: `12 north, 3 south`."""
    return ", ".join(f"{number} {clean(' '.join(name.split()))}" for name, number in counts.items())
