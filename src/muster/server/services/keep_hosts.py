"""Who writes down how hosts do, and judges them? Each service what was handed in to it; all of them learn from the same rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from muster.domain.caller import Caller
from muster.domain.errors import NotFoundError, UnavailableError
from muster.domain.hosts import HostRecord
from muster.domain.outbox import Notice
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
    blamed = _find_blamed(tx, news)
    keys = {*news.notes, *blamed}
    known = tx.hosts.find(keys)
    tasks = tx.workflows.find_directives({key.task_id for key in keys})
    records: list[HostRecord] = []
    for key in sorted(keys):
        if key.task_id not in tasks:
            continue  # its workflow was purged meanwhile
        before = known.get(key) or HostRecord(*key)
        after = _add(before, news.notes.get(key, Note()), blamed=blamed[key]).judge(at=now)
        records.append(after)
        if after.is_resting(at=now) and after.rests_until != before.rests_until:
            workflow_id = tasks[key.task_id].workflow_id
            data = {"task_id": key.task_id, "host": key.host, "until": after.rests_until, "reason": after.reason}
            tx.outbox.insert(Notice(workflow_id, "host.rests", now, data))
            tx.wake(f"workflow:{workflow_id}")
    tx.hosts.put(records)


def _add(record: HostRecord, note: Note, *, blamed: int) -> HostRecord:
    added = record.add(done=note.done, failed=note.failed, blamed=blamed)
    if note.site:
        added = replace(added, site=note.site)
    if note.failed_at is not None:
        added = replace(added, fingerprint=note.fingerprint, failed_at=note.failed_at)
    return added if note.rests_until is None else added.rest(until=note.rests_until, reason=note.reason)


def _find_blamed(tx: Transaction, news: News) -> Counter[Key]:
    """At which hosts others failed what was done since; each event counts once against a host."""
    failing = tx.hosts.list_failing({one.event for one in news.redone}) if news.redone else {}
    return Counter(
        Key(one.task_id, host) for one in news.redone for host in failing.get(one.event, ()) if host != one.host
    )


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
