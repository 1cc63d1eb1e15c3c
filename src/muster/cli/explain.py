"""`muster workflow explain`: why is it not (or no longer) running, for people?"""

import os
from collections.abc import Iterable, Sequence

from muster.cli.console import clean, put, put_json, render_count, render_duration, render_time
from muster.cli.failure import OK
from muster.cli.lookup import get_workflow_id
from muster.cli.service import HERE, Service, connect, list_exports
from muster.client.shapes.explanation import ExplanationView, ReasonView

EXAMPLES = """Examples:
  muster workflow explain latest
  muster workflow explain latest --json"""


def explain(workflow: str, /, *, service: Service = HERE) -> int:
    """Say why a workflow is not (or no longer) running: what waits for whom, since when, the last error, what would move it.

    Args:
        workflow: its id, or `latest`.
    """
    with connect(service) as client:
        found = client.explain_workflow(get_workflow_id(client, workflow))
    if service.json:
        put_json(found)
    else:
        put_explanation(found, list_exports(service, os.environ))
    return OK


def put_explanation(found: ExplanationView, exports: Sequence[str] = ()) -> None:
    """Write it in sentences. `exports`: what a shell must be told before the commands that it names reach the same service."""
    name = f" ({found.name})" if found.name else ""
    put(f"{found.workflow_id}{name}: {found.summary}")
    for reason in found.reasons:
        if reason.cause != "ended":  # the summary says it
            put("")
            put_reason(reason, at=found.at)
    if found.taskforces or found.left_out:
        total = len(found.taskforces) + found.left_out
        others = [f"{found.working} at work"] if found.working else []
        others += [f"{found.over} over"] if found.over else []
        put(f"\n{render_count(total, 'taskforce')} not at work{', '.join(['', *others])}")
    for one in found.taskforces:
        of = f"{one.phase} at {one.location}, {one.workers} of {render_count(one.n_workers, 'worker')} up"
        put(f"\n  {one.taskforce_uuid}: {of}")
        put_reason(one, at=found.at, indent="    ")
    if found.left_out:
        put(f"\n  and {found.left_out} more: muster workflow show {found.workflow_id}")
    put_lead(exports, (*found.reasons, *found.taskforces))


def put_lead(exports: Sequence[str], reasons: Iterable[ReasonView]) -> None:
    """Write what a shell must be told before the commands that these reasons name, where they name any."""
    if exports and any(one.remedies for one in reasons):
        put("\nbefore what is to be typed next:")
        for line in exports:
            put(f"  {clean(line)}")


def put_reason(reason: ReasonView, *, at: float, indent: str = "  ") -> None:
    put(f"{indent}{_join(reason.text)}")
    since = (
        ""
        if reason.since is None
        else f"{render_time(reason.since)}, for {render_duration(max(0.0, at - reason.since))}"
    )
    error = "" if reason.last_error is None or reason.last_error in reason.text else _join(reason.last_error)
    waits_for = "" if reason.waits_for == "nobody" else reason.waits_for.replace("-", " ")
    fields = (("waits for", waits_for), ("since", since), ("last error", error))
    for name, text in fields:
        if text:
            put(f"{indent}  {name.ljust(11)}{text}")
    _put_remedies(reason.remedies, indent)


def _put_remedies(remedies: Sequence[str], indent: str) -> None:
    for number, line in enumerate(remedies):
        put(f"{indent}  {('next' if number == 0 else '').ljust(11)}{clean(line)}")


def _join(text: str) -> str:
    return clean(" ".join(text.split()))
