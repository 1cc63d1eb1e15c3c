"""What do operators ask for?"""

import msgspec

from muster.client.shapes.message import Answer, Request


class Purge(Request):
    """POST /muster/v1/admin/purge: begin a round, or (`place`, from the answer before) go on with it; `dry_run`: only count."""

    dry_run: bool = False
    place: str | None = None


class KeptBackView(Answer):
    """A workflow whose time is over, and why it is kept."""

    workflow_id: str
    reason: str


class PurgedView(Answer):
    """What a piece of a round removed, or would remove. Keys: `workflows`, `events`, `dead_letters`, `bodies`, `attempts`, `notices`,
    `answers`.

    `kept_s`: the rules, in seconds; null is for ever. `place`: to go on; null at the end.
    """

    removed: dict[str, int]
    kept_s: dict[str, float | None]
    kept_back: list[KeptBackView]
    place: str | None


class ResetView(Answer):
    """POST /muster/v1/admin/reset: how many workflows there were."""

    workflows: int = msgspec.field(default=0)
