"""`muster worker list`: which workers are up, where, and what have they in hand?"""

from muster.cli.console import put_json, put_table, render_duration, render_time, say
from muster.cli.failure import OK
from muster.cli.listing import collect
from muster.cli.lookup import get_workflow_id
from muster.cli.service import HERE, Service, connect
from muster.client.shapes.workers import WorkerPage, WorkerView
from muster.domain.ids import TASKFORCE_UUID

EXAMPLES = """Examples:
  muster worker list latest
  muster worker list TF-6f1a2b3c-00c3a1b2-5d6e7f80-9a8b7c6d
  muster worker list latest --limit 5000 --json | jq -r '.workers[].site'

Workers that wait, or have ended, are not among them: muster taskforce show"""


def list_(of: str, /, *, limit: int = 100, after: str | None = None, service: Service = HERE) -> int:
    """List the workers that are up, the oldest first: which proc at which host and site, since when, and what they have in hand.

    Args:
        of: a workflow (its id, or `latest`), or a taskforce's uuid.
        limit: how many at most.
        after: only those behind this word, which the list before ended with.
    """
    with connect(service) as client:
        is_taskforce = TASKFORCE_UUID.fullmatch(of) is not None
        workflow_id = client.get_taskforce(of).workflow_id if is_taskforce else get_workflow_id(client, of)
        taskforce = of if is_taskforce else None
        at = 0.0

        def read(page: WorkerPage) -> tuple[list[WorkerView], str | None]:
            nonlocal at
            at = page.at
            return page.workers, page.next_after

        workers, next_after = collect(
            lambda behind, rows: client.list_workers(workflow_id, taskforce=taskforce, after=behind, limit=rows),
            read,
            after=after,
            limit=limit,
        )
    if service.json:
        put_json({"workflow_id": workflow_id, "at": at, "workers": workers, "next_after": next_after})
        return OK
    if workers:
        put_workers(workers, at=at)
    else:
        say("no worker is up")
    if next_after is not None:
        say(f"there may be more: --after {next_after}")
    return OK


def put_workers(workers: list[WorkerView], *, at: float) -> None:
    """Write them as a table, with their taskforces where there are several. `at`: when it was so, seconds since the epoch."""
    has_several = len({one.taskforce_uuid for one in workers}) > 1
    put_table(
        (
            *(("taskforce",) if has_several else ()),
            *("worker", "site", "up since", "in hand", "slots", "heard", "isolation"),
        ),
        [
            (
                *((one.taskforce_uuid,) if has_several else ()),
                one.worker,
                one.site,
                render_time(one.since),
                one.in_hand,
                one.slots,
                f"{render_duration(max(0.0, at - one.heard_at))} ago",
                one.isolation,
            )
            for one in workers
        ],
    )
