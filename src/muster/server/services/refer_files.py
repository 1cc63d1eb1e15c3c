"""Which bodies are files, and are the files there? Whoever publishes names an id; what is kept is the whole reference."""

from collections.abc import Sequence
from dataclasses import replace

from muster.domain.errors import Finding, InvalidError
from muster.domain.file import render_reference
from muster.server.ports.events import NewEvent
from muster.server.ports.queue_engine import Body, BodyKind, Finished
from muster.server.ports.store import Transaction


def has_files(bodies: Sequence[Body]) -> bool:
    """Does any of the bodies name a file? Nearly always none does."""
    return any(body.kind is BodyKind.FILE for body in bodies)


def refer_events(tx: Transaction, workflow_id: str, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
    """The events, those that name a file with its reference as body. Raises InvalidError: some file is not there."""
    if not has_files([one.body for one in events]):
        return events
    paths = [f"events[{index}].body" for index in range(len(events))]
    bodies = _refer(tx, workflow_id, [one.body for one in events], paths)
    return [replace(one, body=body) for one, body in zip(events, bodies, strict=True)]


def refer_results(tx: Transaction, workflow_id: str, finished: Sequence[Finished]) -> Sequence[Finished]:
    """The same for attempts that are handed in. Raises InvalidError."""
    referred: list[Finished] = []
    for index, one in enumerate(finished):
        paths = [f"finished[{index}].results[{place}].body" for place in range(len(one.results))]
        referred.append(replace(one, results=_refer(tx, workflow_id, one.results, paths)))
    return referred


def _refer(tx: Transaction, workflow_id: str, bodies: Sequence[Body], paths: Sequence[str]) -> list[Body]:
    named = {body.data.decode() for body in bodies if body.kind is BodyKind.FILE}
    found = {row.ref.file: row.ref for row in tx.files.refer(workflow_id, named)} if named else {}
    findings: list[Finding] = []
    referred: list[Body] = []
    for body, path in zip(bodies, paths, strict=True):
        ref = found.get(body.data.decode()) if body.kind is BodyKind.FILE else None
        if ref is not None:
            referred.append(Body(BodyKind.FILE, render_reference(ref)))
        elif body.kind is BodyKind.FILE:
            reason = f"names the file {body.data.decode()}, which workflow {workflow_id} has not, or not whole: send it first"
            findings.append(Finding(path, reason))
        else:
            referred.append(body)
    if findings:
        raise InvalidError(findings[:20])
    return referred
