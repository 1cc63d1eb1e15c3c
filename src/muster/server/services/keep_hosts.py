"""Who writes down how hosts do, and judges them? Each service what was handed in to it; all of them learn from the same rows."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from muster.domain.caller import Caller
from muster.domain.errors import NotFoundError, UnavailableError
from muster.domain.hosts import HostRecord, Others
from muster.domain.outbox import Notice
from muster.server.ports.hosts import FailedThere
from muster.server.ports.store import Transaction
from muster.server.services.host_book import Key, News, Note
from muster.server.services.parts import Parts
from muster.server.services.queue_access import get_owned_workflow
from muster.worker.crash_points import reach

KEEP_S = 2.0
"""Seconds between two passes: so much of it is lost when a service is killed."""
TURN = "hosts"


async def keep_hosts(parts: Parts) -> None:
    """One pass: write down what is new, and learn who rests."""
    book = parts.hosts.book
    news = book.take_news()
    try:
        if news.notes or news.redone:
            await parts.store.write(partial(_keep, news=news))
        since = parts.hosts.looked_at
        resting, trusted, now = await parts.store.look(partial(_look, since=since))
    except UnavailableError:
        book.give_back(news)
        raise
    parts.hosts.looked_at = now
    book.learn(resting)
    for key in trusted:
        book.trust(*key)


def _look(tx: Transaction, *, since: float) -> tuple[dict[Key, float], list[Key], float]:
    now = tx.now()
    resting = {Key(one.task_id, one.host): one.rests_until or 0.0 for one in tx.hosts.list_resting(at=now)}
    # Those of the last pass as well: their transaction may have been committed after a look that came later.
    trusted = [Key(one.task_id, one.host) for one in tx.hosts.list_trusted(since=since - 2 * KEEP_S)] if since else []
    return resting, [key for key in trusted if key not in resting], now


def _keep(tx: Transaction, *, news: News) -> None:
    tx.take_turn(TURN)
    now = tx.now()
    failures = _list_failures(tx, news)
    keys = {*news.notes, *(key for key, _ in failures)}
    known = tx.hosts.find(keys)
    blamed = _count_blamed(failures, known)
    tasks = tx.workflows.find_directives({key.task_id for key in keys})
    # Those of workflows that were purged meanwhile are nobody's.
    before = {key: known.get(key) or HostRecord(*key) for key in sorted(keys) if key.task_id in tasks}
    added = {key: _add(one, news.notes.get(key, Note()), blamed=blamed[key]) for key, one in before.items()}
    records = _judge(tx, before, added, blamed, now=now)
    for one in records:
        if one.is_resting(at=now) and one.rests_until != before[Key(one.task_id, one.host)].rests_until:
            workflow_id = tasks[one.task_id].workflow_id
            data = {"task_id": one.task_id, "host": one.host, "until": one.rests_until, "reason": one.reason}
            tx.outbox.insert(Notice(workflow_id, "host.rests", now, data))
            tx.wake(f"workflow:{workflow_id}")
    tx.hosts.put(records)


def _judge(
    tx: Transaction,
    before: Mapping[Key, HostRecord],
    added: Mapping[Key, HostRecord],
    blamed: Mapping[Key, int],
    *,
    now: float,
) -> list[HostRecord]:
    """By the sure rule, those of which there is new evidence, each beside the others of its task as they are by now."""
    to_judge = [key for key in added if blamed.get(key)]
    if not to_judge:
        return list(added.values())
    together = dict(tx.hosts.add_up({key.task_id for key in to_judge}, at=now))
    for key in added:
        if key.task_id in together or blamed.get(key):
            sums = together.get(key.task_id, Others())
            together[key.task_id] = sums.without(before[key], at=now).along_with(added[key], at=now)
    judged = dict(added)
    for key in to_judge:
        others = together[key.task_id].without(added[key], at=now)
        judged[key] = added[key].judge(others, at=now)
        together[key.task_id] = others.along_with(judged[key], at=now)
    return list(judged.values())


def _add(record: HostRecord, note: Note, *, blamed: int) -> HostRecord:
    added = record.add(done=note.done, failed=note.failed, blamed=blamed)
    if note.site:
        added = replace(added, site=note.site)
    if note.failed_at is not None:
        added = replace(added, fingerprint=note.fingerprint, failed_at=note.failed_at)
    is_of_before = record.trusted_at is not None and (note.failed_at or 0.0) <= record.trusted_at
    if note.rests_until is None or is_of_before:
        return added
    return added.rest(until=note.rests_until, reason=note.reason)


def _list_failures(tx: Transaction, news: News) -> set[tuple[Key, FailedThere]]:
    """Failures, elsewhere, of what was done since by the same revision of its task: what a mended task can do says nothing of a host."""
    done = {one.event: one for one in news.redone}
    failing = tx.hosts.list_failing(done) if done else ()
    return {
        (Key(done[one.event].task_id, one.host), one)
        for one in failing
        if one.host != done[one.event].host and one.revision == done[one.event].revision
    }


def _count_blamed(
    failures: Collection[tuple[Key, FailedThere]], known: Mapping[tuple[str, str], HostRecord]
) -> Counter[Key]:
    """Each event counts once against a host, and not what was before somebody trusted it."""

    def counts(key: Key, failure: FailedThere) -> bool:
        record = known.get(key)
        return record is None or record.trusted_at is None or failure.at > record.trusted_at

    return Counter(key for key, _ in {(key, one.event) for key, one in failures if counts(key, one)})


async def list_hosts(parts: Parts, workflow_id: str) -> tuple[Sequence[HostRecord], float]:
    """How the hosts of a workflow's tasks do, those with the most failures first, and when that was. Raises NotFoundError."""

    def look(tx: Transaction) -> tuple[Sequence[HostRecord], float]:
        tx.workflows.get(workflow_id)
        tasks = [one.task_id for one in tx.workflows.list_directives(workflow_id)]
        return tx.hosts.list_of_tasks(tasks), tx.now()

    return await parts.store.read(look)


async def trust_host(parts: Parts, caller: Caller, workflow_id: str, host: str) -> tuple[Sequence[HostRecord], float]:
    """Give a host events at once, for all tasks of a workflow, and judge it afresh. Returns its records, and when that was.

    Raises NotFoundError, ForbiddenError.
    """

    def trust(tx: Transaction) -> tuple[Sequence[HostRecord], float]:
        get_owned_workflow(tx, caller, workflow_id, lock=True, shared=parts.settings.shared_workflows)
        tx.take_turn(TURN)
        tasks = [one.task_id for one in tx.workflows.list_directives(workflow_id)]
        found = tx.hosts.find([(task_id, host) for task_id in tasks])
        if not found:
            raise NotFoundError(f"no attempt of workflow {workflow_id} was made at a host {host[:200]!r}")
        records = [one.trust(at=tx.now(), by=caller.name) for one in found.values()]
        tx.hosts.put(records)
        tx.outbox.insert(Notice(workflow_id, "host.trusted", tx.now(), {"host": host, "by": caller.name}))
        tx.wake(f"workflow:{workflow_id}")
        return records, tx.now()

    records, at = await parts.store.write(trust)
    for one in records:
        parts.hosts.book.trust(one.task_id, one.host)
    reach("server.trust.committed")
    return records, at
