"""`muster event …`: look at events, and write them out without taking them."""

import base64
import contextlib
import sys
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from cyclopts import App

from muster.cli.console import (
    give_up_output,
    put,
    put_block,
    put_data,
    put_fields,
    put_json,
    put_table,
    render_duration,
    render_time,
    say,
)
from muster.cli.event_logs import EXAMPLES as EXAMPLES_OF_LOGS
from muster.cli.event_logs import logs
from muster.cli.failure import OK
from muster.cli.large_bodies import fetch_body, put_large_body, say_references
from muster.cli.listing import collect
from muster.cli.lookup import check_event_id, get_workflow_id
from muster.cli.queue import render_result
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.events import AttemptUsageView, AttemptView, EventView
from muster.domain.errors import NotFoundError
from muster.domain.size import render_size

BODY_CHARS_SHOWN = 2000
EVENTS_BETWEEN_NEWS = 1000
State: TypeAlias = Literal["waiting", "in_work", "done", "dead"]

app = App(name="event", help="Look at events, and write them out without taking them.", help_format="plaintext")
app.command(logs, help_epilogue=EXAMPLES_OF_LOGS)
app.help_epilogue = "Example:\n  muster event list latest --state dead"


@app.command(
    name="list",
    help_epilogue="""Examples:
  muster event list latest --queue points --state waiting
  muster event list latest --limit 100000 --json""",
)
def list_(
    workflow: str,
    /,
    *,
    queue: str | None = None,
    state: State | None = None,
    limit: int = 50,
    after: str | None = None,
    service: Service = HERE,
) -> int:
    """List the events of a workflow, oldest first.

    Args:
        workflow: its id, or `latest`.
        queue: only those of this queue.
        state: only those in this state.
        limit: how many at most.
        after: only those that came after this event.
    """
    with connect(service) as client:
        workflow_id = get_workflow_id(client, workflow)
        rows, next_after = collect(
            lambda after, limit: client.list_events(workflow_id, queue=queue, state=state, after=after, limit=limit),
            lambda page: (page.events, page.next_after),
            after=after,
            limit=limit,
        )
    if service.json:
        put_json({"events": rows, "next_after": next_after})
        return OK
    if not rows:
        say("there are none")
        return OK
    put_table(
        ("event", "queue", "state", "attempts", "key"),
        [(one.event, one.queue, one.state, one.attempts, one.key) for one in rows],
    )
    if next_after is not None:
        say(f"there are more: --after {next_after}")
    return OK


@app.command(
    help_epilogue="""Examples:
  muster event show EV-00c3a1b2c4d5e6f7
  muster event show EV-00c3a1b2c4d5e6f7 --body > body.json"""
)
def show(event: str, /, *, body: bool = False, service: Service = HERE) -> int:
    """Show an event: its state, its body and every attempt at it.

    Args:
        event: its id.
        body: write the body alone, as it was published; on a terminal its control characters are shown.
    """
    with connect(service) as client:
        view = client.get_event(check_event_id(event))
        if body and view.kind == "file":
            put_large_body(client, view.workflow_id, view.body)
            return OK
    if body and view.kind == "purged":
        raise NotFoundError(
            f"the body of {view.event} is not kept any more: the service keeps it for a while after its event is done"
        )
    if body:
        put_data(decode_body(view.kind, view.body))
    elif service.json:
        put_json(view)
    else:
        put_event(view)
    return OK


@app.command(
    help_epilogue="""Examples:
  muster event export latest chi2 > results.jsonl
  muster event export latest points --state dead --state waiting --with-ids \\
    > left.jsonl

A mistake in the workflow file itself: mend it, and take what is not done to a new workflow:
  NEW=$(muster workflow submit mended.yaml) &&
    muster event export WF-… points --state dead --state waiting \\
      --with-ids > left.jsonl &&
    muster queue publish "$NEW" points left.jsonl --with-ids --close
Into a queue between two tasks nobody publishes: make it public in the mended file, or send the events of the first queue again."""
)
def export(
    workflow: str,
    alias: str,
    /,
    *,
    files: Path | None = None,
    state: list[State] | None = None,
    with_ids: bool = False,
    service: Service = HERE,
) -> int:
    """Write the events of a queue, one JSON line each, oldest first; takes nothing, and may be typed again.

    The lines are what `muster queue publish` reads. With `--with-ids` on both commands keys are kept, and bytes stay bytes.

    Bytes are written as {"base64": "…"}; a body over 1 MiB as {"file": id, …}, and its bytes with --files.

    Args:
        workflow: its id, or `latest`.
        alias: the queue's name in the workflow: results are in the output queue, whether consumed (done) or not (waiting).
        files: folder into which bodies over 1 MiB are written, each by its id.
        state: only those in this state; may be given again for others. One that changes its state meanwhile may be left out.
        with_ids: write {"event": id, "key": key, "kind": "json", "body": body}; bytes have the kind bytes and a base64 text as body.
    """
    count, n_bytes, n_purged, n_references = 0, 0, 0, 0
    is_shown = sys.stderr.isatty()
    try:
        with connect(service) as client:
            workflow_id = get_workflow_id(client, workflow)
            every: tuple[State | None, ...] = tuple(dict.fromkeys(state)) if state else (None,)
            for wanted in every:
                with contextlib.closing(client.export_events(workflow_id, queue=alias, state=wanted)) as events:
                    for event in events:
                        if event.kind == "purged":
                            n_purged += 1
                            continue
                        if files is not None and event.kind == "file":
                            fetch_body(client, workflow_id, event.body, files)
                        put_data(render_result(event, with_ids=with_ids) + b"\n")
                        count += 1
                        n_bytes += event.kind == "bytes"
                        n_references += files is None and event.kind == "file"
                        if is_shown and count % EVENTS_BETWEEN_NEWS == 0:
                            print(f"\r{count} exported ", end="", file=sys.stderr, flush=True)
    except BrokenPipeError:
        give_up_output()  # whoever reads has enough, and nothing was taken
        return OK
    finally:
        if is_shown and count >= EVENTS_BETWEEN_NEWS:
            print(file=sys.stderr)
    say(f"{count} exported")
    say_references(n_references, workflow_id, alias)
    if n_purged:
        say(f"{n_purged} were left out: their bodies are not kept any more")
    if n_bytes and not with_ids:
        say(
            f'{n_bytes} of them are bytes, written as {{"base64": "…"}}. `muster queue publish` reads that as JSON; with --with-ids, '
            "here and there, they stay bytes"
        )
    return OK


def decode_body(kind: str, body: msgspec.Raw) -> bytes:
    """A body as it was published: JSON text, or the bytes."""
    return base64.b64decode(msgspec.json.decode(body, type=str)) if kind == "bytes" else bytes(body)


def put_event(view: EventView) -> None:
    """Write an event for people."""
    put_fields(
        [
            ("event", view.event),
            ("workflow", view.workflow_id),
            ("queue", view.queue),
            ("state", view.state),
            ("attempts", view.attempts),
            ("tried again", None if view.retry_at is None else f"from {render_time(view.retry_at)} on"),
            ("key", view.key),
            ("result of", view.parent),
            ("results", view.results),
        ]
    )
    text = "not kept any more" if view.kind == "purged" else bytes(view.body).decode()
    put_body("body", view.kind, text, whole="--body writes them")
    if view.result is not None:
        put_body("result", view.result.kind, bytes(view.result.body).decode(), whole="--json writes them")
    for attempt in view.history:
        put_attempt(attempt)


def put_body(title: str, kind: str, text: str, *, whole: str) -> None:
    """Write the beginning of a body, and how to see it whole."""
    cut = f"\n… {len(text)} characters in all: {whole}" if len(text) > BODY_CHARS_SHOWN else ""
    put_block(f"{title} ({kind}{', base64' if kind == 'bytes' else ''})", text[:BODY_CHARS_SHOWN] + cut)


def put_attempt(attempt: AttemptView) -> None:
    """Write one attempt with its error."""
    put(f"\nattempt {attempt.attempt}: {attempt.outcome}")
    put_fields(
        [
            ("  worker", f"{attempt.worker} on {attempt.host or '-'} ({attempt.site or '-'})"),
            ("  from", f"{render_time(attempt.started_at)} to {render_time(attempt.ended_at)}"),
            ("  ran", render_duration(attempt.wall_s)),
            *([("  revision", attempt.revision)] if attempt.revision not in (None, 1) else []),
            ("  took", render_usage(attempt.usage)),
            ("  isolated", render_isolation(attempt.isolation)),
        ]
    )
    if attempt.error is not None:
        put_fields([("  exit code", attempt.error.exit_code)])
        put_block("  error", attempt.error.text)
        put_block("  end of stdout", attempt.error.stdout_tail)
        rest = cut_what_was_said(attempt.error.stderr_tail, attempt.error.text)
        put_block("  end of stderr" if rest == attempt.error.stderr_tail else "  stderr before that", rest)


def render_isolation(isolation: str) -> str | None:
    """What kept a task from others, in words; None where nobody knows."""
    word, _, why = isolation.partition(": ")
    if word == "none":
        return f"not isolated{f' ({why})' if why else ''}"
    return f"by {isolation}" if isolation else None


def render_usage(usage: AttemptUsageView) -> str | None:
    """What an attempt took, as far as it is known."""
    parts = [
        None if usage.cpu_s is None else f"{render_duration(usage.cpu_s)} of CPU",
        None if usage.memory_bytes is None else f"{render_size(usage.memory_bytes)} of memory",
        None if usage.bytes_in is None else f"{render_size(usage.bytes_in)} in",
        None if not usage.bytes_out else f"{render_size(usage.bytes_out)} out",
    ]
    return ", ".join(one for one in parts if one is not None) or None


def cut_what_was_said(tail: str, text: str) -> str:
    """The end of a stderr without the lines that the error's text ends with: mostly that text was taken from there.

    The text's first line has how the task ended before what it quotes, and blank lines are not quoted.
    """
    lines, said = tail.splitlines(), text.splitlines()
    while lines and (said or not lines[-1].strip()):
        if lines[-1].strip():
            is_quoted = said[-1].endswith(f": {lines[-1]}") if len(said) == 1 else said[-1] == lines[-1]
            if not is_quoted:
                break
            said.pop()
        lines.pop()
    return tail if len(said) == len(text.splitlines()) else "\n".join(lines)
