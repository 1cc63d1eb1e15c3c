"""How are all dead letters of a workflow sent back? Call by call, each taking as many as one may."""

from dataclasses import dataclass, field

from muster.client.synchronous import Client


@dataclass
class Replayed:
    """What went back. `left`: dead letters that there still are. `reopened`: the workflow was finished, and is active again."""

    events: list[str] = field(default_factory=list)
    left: int = 0
    reopened: bool = False


def replay_all(client: Client, workflow_id: str, *, queue: str | None, named: list[str] | None = None) -> Replayed:
    """Send dead letters back.

    Args:
        queue: of this one only.
        named: these ones only.
    """
    found = Replayed()
    while True:
        answer = client.replay_dead_letters(workflow_id, named, queue=queue)
        found.events += answer.replayed
        found.left, found.reopened = answer.left, found.reopened or answer.reopened
        if named is not None or not (answer.more and answer.replayed):
            return found
