"""`muster taskforce release`: which taskforces are tried again, and which of them does that not help?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from muster.cli.console import clean, render_count, say
from muster.cli.found import find_each
from muster.cli.remedies import say_next
from muster.cli.service import Service
from muster.client.shapes.workflows import TaskforceView
from muster.client.synchronous import Client
from muster.domain.taskforce_reason import is_final_reason

NAMED_MAX = 5
"""Taskforces that are named of those that no release can mend."""


@dataclass
class Done:
    """What came of it.

    Args:
        taskforces: as they are now.
        released: how many of them were held.
        final: uuids of those that their site could not start as they are.
    """

    taskforces: list[TaskforceView] = field(default_factory=list)
    released: int = 0
    final: list[str] = field(default_factory=list)


def release_each(client: Client, service: Service, uuids: Sequence[str]) -> Done:
    """Release those of the named that are held, and say of each what it was held for, or where it is."""
    done = Done()
    for uuid in uuids:
        before = client.get_taskforce(uuid)
        if before.held_reason is None:
            done.taskforces.append(before)
            say(f"{uuid} is not held: it is {before.phase}, and nothing needs to be released")
        else:
            _release(client, done, uuid, before.held_reason)
            say(f"{uuid} is tried again; it was held because of: {' '.join(clean(before.held_reason).split())}")
    _say_final(done, service)
    return done


def release_all(client: Client, service: Service, workflow_id: str) -> Done:
    """Release all of a workflow's that are held, and say how many.

    Also those that their site could not start: it may have been changed since, and if it was not, they are held again at once.
    """
    done = Done()
    filter_ = {"workflow_id": workflow_id, "held_reason": {"$ne": None}}
    fields = ("taskforce_uuid", "held_reason")
    held = list(find_each(client, "taskforces", filter_, projection=fields, limit=None, newest_first=False))
    if not held:
        client.get_workflow(workflow_id)  # none is held of one that does not exist, either
        say(f"no taskforce of {workflow_id} is held, and nothing needs to be released")
        return done
    for one in held:
        _release(client, done, one["taskforce_uuid"], one["held_reason"])
    say(
        f"{render_count(done.released, 'taskforce')} of {workflow_id}, all that were held, {_be(done.released)} tried again"
    )
    _say_final(done, service)
    return done


def _release(client: Client, done: Done, uuid: str, reason: str) -> None:
    done.taskforces.append(client.release_taskforce(uuid))
    done.released += 1
    if is_final_reason(reason):
        done.final.append(uuid)


def _say_final(done: Done, service: Service) -> None:
    if not done.final:
        return
    more = len(done.final) - NAMED_MAX
    named = ", ".join([*done.final[:NAMED_MAX], *([f"and {more} more"] if more > 0 else [])])
    final = set(done.final)
    workflows = dict.fromkeys(one.workflow_id for one in done.taskforces if one.taskforce_uuid in final)
    be = "was" if len(done.final) == 1 else "were"
    told = f"mind: {len(done.final)} of them {be} held for good: {named}. Unless their site was changed since, no release can mend that"
    say(f"{told}, and they are held again")
    say_next([f"muster workflow explain {one}    # what can be done" for one in workflows], service)


def _be(number: int) -> str:
    return "is" if number == 1 else "are"
