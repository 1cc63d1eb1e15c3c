"""`muster queue …`: publish events, consume results, close and see queues."""

import contextlib
import os
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from muster.cli.console import put, put_data, put_json, put_table, say
from muster.cli.failure import OK, UsageError
from muster.cli.going_on import Again, render_break_off
from muster.cli.large_bodies import bring_large, fetch_body, make_upload, say_references
from muster.cli.lookup import get_workflow_id
from muster.cli.service import HERE, Service, connect
from muster.cli.values import (
    LineReader,
    check_file,
    check_whole_files,
    open_file,
    read_lines,
    read_pipe,
    read_whole_files,
)
from muster.client.conversations import Publication
from muster.client.shapes.consumers import LeasedEvent
from muster.client.shapes.events import EventWithBody, PublishedView
from muster.client.synchronous import Client
from muster.domain.errors import Finding, InvalidError, MusterError

app = App(name="queue", help="Publish events, consume results, close and see queues.", help_format="plaintext")
app.help_epilogue = "Example:\n  muster queue publish latest points points.jsonl --close"

STDIN = Path("-")
DIFFERING_SHOWN = 10


@app.command(
    help_epilogue="""Examples:
  muster queue publish latest points points.jsonl --close
  generate | muster queue publish latest points -
  muster queue publish latest images --bytes *.png
  muster queue publish latest points points.jsonl --key-field id

The dead letters of a workflow whose file was mended, into the new one:
  muster event export WF-… points --state dead --with-ids > dead.jsonl &&
    muster queue publish WF-… points dead.jsonl --with-ids --close"""
)
def publish(
    workflow: str,
    alias: str,
    /,
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    bytes: bool = False,  # noqa: A002 - the option's name
    no_keys: bool = False,
    key_field: str | None = None,
    with_ids: bool = False,
    close: bool = False,
    batch: int = 1000,
    idempotency_key: str | None = None,
    service: Service = HERE,
) -> int:
    """Publish events: one for each JSON line, or one for each file.

    Files are checked whole before the first event is sent. Lines of a pipe (-) are sent as they come. A body over 1 MiB is brought to
    the service first, as a file, and the event refers to it: whoever works on it gets it as any other.

    A queue has one event of each key: a second one is not published, and you are told if its body is another.
    A result carries the key of its event: `muster queue consume --with-ids` shows it.

    Args:
        workflow: its id, or `latest`.
        alias: the queue's name in the workflow.
        files: JSON lines; - is standard input. With --bytes: any files.
        bytes: each file is one event, as it is. Its key is its path as given, so a path published twice is one event. What is over
            1 MiB is brought to the service first, and the event refers to it.
        no_keys: with --bytes: the events have no keys; a path published twice is two events.
        key_field: the field of each line whose value is its key.
        with_ids: the lines are what `muster event export --with-ids` writes: bodies and keys are published, bytes as bytes.
        close: these are the last events of this queue.
        batch: events of one call; each call is all or nothing.
        idempotency_key: repeating the command with the same key and files publishes nothing twice.
    """
    if not files and not close:
        raise UsageError("name the files to publish, or - for standard input (or --close alone to close the queue)")
    if bytes and (STDIN in files or key_field is not None or with_ids):
        raise UsageError("--bytes publishes files as they are: it goes with none of -, --key-field and --with-ids")
    if no_keys and not bytes:
        raise UsageError("--no-keys goes with --bytes: lines have keys with --key-field or --with-ids alone")
    if with_ids and key_field is not None:
        raise UsageError("--with-ids brings the keys along: it does not go with --key-field")
    lines = LineReader("", key_field, with_ids=with_ids)
    total = _check_all(files, None if bytes else lines, with_keys=not no_keys)
    if close and files and total == 0:
        raise InvalidError(
            [
                Finding(
                    str(files[0]),
                    f"holds no events, so {alias} is left open; --close without files closes it nevertheless",
                )
            ]
        )
    key = idempotency_key or uuid.uuid4().hex
    with connect(service) as client:
        workflow_id = get_workflow_id(client, workflow)
        if bytes:
            upload = make_upload(client, workflow_id)
            values: Iterator[object] = read_whole_files(files, with_keys=not no_keys, upload=upload)
        else:
            values = bring_large(client, workflow_id, _read_all(files, lines, is_flushed=idempotency_key is None))
        answer = _publish(
            client,
            Publication(workflow_id, alias, values, batch=batch, close=close, idempotency_key=key),
            total=total,
            again=_find_again(
                files, has_keys=(bytes and not no_keys) or key_field is not None, is_given=idempotency_key is not None
            ),
        )
    if service.json:
        put_json(
            {
                "published": answer.events - answer.duplicates,
                "known": answer.duplicates,
                "differing": [{"key": key, "event": event} for key, event in answer.differing],
                "closed": answer.closed,
            }
        )
        return OK
    known = f", {answer.duplicates} known by their key" if answer.duplicates else ""
    put(f"{answer.events - answer.duplicates} published{known}{'; the queue is closed' if answer.closed else ''}")
    _say_keys(answer, are_paths=bytes and not no_keys)
    return OK


@app.command(
    help_epilogue="""Examples:
  muster queue consume latest chi2 > results.jsonl
  muster queue consume latest chi2 --no-wait --max 10 --with-ids

All of them, again, taking nothing:
  muster event export latest chi2 > results.jsonl"""
)
def consume(
    workflow: str,
    alias: str,
    /,
    *,
    files: Path | None = None,
    max: int | None = None,  # noqa: A002 - the option's name
    no_wait: bool = False,
    with_ids: bool = False,
    service: Service = HERE,
) -> int:
    """Take the events out of a queue, one JSON line each; ends when no more can come.

    Each event is given once: the same command again gives only what has come since. `muster event export` gives all of them, each time.

    A line is written before its event is acknowledged: if this command dies, what it had not written is given again. Bytes are
    written as {"base64": "…"}; a body over 1 MiB as {"file": id, …}, and its bytes with --files, or by `muster event show --body`.

    Args:
        workflow: its id, or `latest`.
        alias: the queue's name in the workflow.
        files: folder into which bodies over 1 MiB are written, before their event is acknowledged; each by its id.
        max: end after so many.
        no_wait: end when the queue has none at the moment.
        with_ids: write {"event": id, "key": key, "kind": "json", "body": body}; bytes have the kind bytes and a base64 text as body.
    """
    if max is not None and max < 1:
        raise UsageError(f"--max {max} is below 1")
    count, n_references = 0, 0
    with connect(service) as client:
        workflow_id = get_workflow_id(client, workflow)
        with contextlib.closing(client.consume(workflow_id, alias, limit=max, wait=not no_wait)) as events:
            try:
                for event in events:
                    if files is not None and event.kind == "file":
                        fetch_body(client, workflow_id, event.body, files)
                    put_data(render_result(event, with_ids=with_ids) + b"\n")
                    count += 1
                    n_references += files is None and event.kind == "file"
            except BrokenPipeError:
                say(
                    f"{count} were written and are consumed, though whoever reads ended before that: --max takes no more than "
                    f"so many, and muster event export {workflow_id} {alias} shows all of them again"
                )
                raise
            finally:  # however it ends: what was consumed is not given again
                say_references(n_references, workflow_id, alias)
    say(f"{count} consumed")
    return OK


@app.command(help_epilogue="Example:\n  muster queue close latest points")
def close(workflow: str, alias: str, /, *, service: Service = HERE) -> int:
    """Say that all events of a queue are in.

    Args:
        workflow: its id, or `latest`.
        alias: the queue's name in the workflow.
    """
    with connect(service) as client:
        view = client.close_queue(get_workflow_id(client, workflow), alias)
    if service.json:
        put_json(view)
    else:
        put(f"{view.alias} is closed; {view.counts.published} events were published")
    return OK


@app.command(name="list", help_epilogue="Example:\n  muster queue list latest")
def list_(workflow: str, /, *, service: Service = HERE) -> int:
    """List the queues of a workflow with their counts.

    Args:
        workflow: its id, or `latest`.
    """
    with connect(service) as client:
        queues = client.get_workflow(get_workflow_id(client, workflow)).queues
    if service.json:
        put_json({"queues": queues})
        return OK
    put_table(
        ("queue", "published", "waiting", "in work", "done", "dead", "public", "closed"),
        [
            (
                one.alias,
                one.counts.published,
                one.counts.waiting,
                one.counts.in_work,
                one.counts.done,
                one.counts.dead,
                one.is_public,
                one.closed_at is not None,
            )
            for one in queues
        ],
    )
    return OK


def render_result(event: LeasedEvent | EventWithBody, *, with_ids: bool) -> bytes:
    """An event as one line of JSON, without its end."""
    if with_ids:
        line = msgspec.json.encode({"event": event.event, "key": event.key, "kind": event.kind, "body": event.body})
    else:
        line = b'{"base64":' + bytes(event.body) + b"}" if event.kind == "bytes" else bytes(event.body)
    # Published JSON may have been laid out over several lines; a line break inside a string is always escaped.
    return line.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in line or b"\r" in line else line


def _say_keys(answer: Publication, *, are_paths: bool) -> None:
    """Tell what became of the keys."""
    if are_paths and answer.events:
        say(
            "the key of each event is the path of its file: a path is published once (--no-keys: as often as it is given)"
        )
    for key, event in answer.differing[:DIFFERING_SHOWN]:
        what = f"{key}: its content" if are_paths else f"key {key!r}: its body"
        say(f"{what} differs from that of {event}, which has this key: it was not published")
    if answer.n_differing > DIFFERING_SHOWN:
        say(
            f"{answer.n_differing - DIFFERING_SHOWN} more differ from the event that has their key: they were not published"
        )


def _check_all(files: Sequence[Path], lines: LineReader | None, *, with_keys: bool) -> int | None:
    """Look at all files before anything is sent; `lines` None: each is an event. Returns how many events they hold; None when a pipe is
    among them.
    """
    try:
        if lines is None:
            return check_whole_files(files, with_keys=with_keys)
        counts = [check_file(one, replace(lines, name=str(one))) for one in files if one != STDIN]
    except MusterError:
        say("nothing was published")
        raise
    return None if STDIN in files else sum(counts)


def _read_all(files: Iterable[Path], lines: LineReader, *, is_flushed: bool) -> Iterator[object]:
    for path in files:
        if path != STDIN:
            with open_file(path) as file:
                yield from read_lines(file, replace(lines, name=str(path)))
        elif is_flushed and not _is_file(sys.stdin.fileno()):
            yield from read_pipe(sys.stdin.fileno(), replace(lines, name="standard input"))
        else:
            # The batches must be the same in the next run, so they depend on nothing but the lines.
            yield from read_lines(sys.stdin.buffer, replace(lines, name="standard input"))


def _find_again(files: Sequence[Path], *, has_keys: bool, is_given: bool) -> Again:
    """How is publishing these repeated where it breaks off? `is_given`: with an idempotency key of the person's own."""
    if has_keys or is_given:
        return Again.AS_IT_IS
    return Again.FROM_THERE if STDIN in files and not _is_file(sys.stdin.fileno()) else Again.WITH_KEY


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _publish(client: Client, publication: Publication, *, total: int | None, again: Again) -> Publication:
    """Publish with progress on a terminal; what is in already is told when it breaks off."""
    is_shown = sys.stderr.isatty()

    def tell(_: PublishedView) -> None:
        of = "" if total is None else f" of {total}"
        print(f"\r{publication.events}{of} published ", end="", file=sys.stderr, flush=True)

    publication.on_batch = tell if is_shown else None
    try:
        return client.conclude(publication)
    except (MusterError, KeyboardInterrupt) as error:
        for line in render_break_off(publication, error, total=total, again=again):
            say(line)
        raise
    finally:
        if is_shown and publication.events:
            print(file=sys.stderr)
