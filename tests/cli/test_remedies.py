"""Are the commands for a mended workflow whole, whatever its queues are?"""

from muster.cli.remedies import list_moves
from muster.client.shapes.account import CountsView
from muster.client.shapes.workflows import QueueView


def make_input(alias: str, *, waiting: int = 0, dead: int = 0, is_public: bool = True) -> QueueView:
    counts = CountsView(waiting + dead, waiting, 0, 0, dead)
    return QueueView(alias, "a0", is_public, is_input=True, is_output=False, closed_at=None, counts=counts)


def test_the_events_are_moved_and_every_other_input_is_closed() -> None:
    inputs = [make_input("in"), make_input("more", waiting=1), make_input("mid", dead=2, is_public=False)]

    assert list(list_moves("WF-1", inputs, inputs[1:])) == [
        "# first make mid public in mended.yaml: so far only tasks publish into it",
        "NEW=$(muster workflow submit mended.yaml) &&",
        "muster event export WF-1 more --state dead --state waiting --with-ids > left-more.jsonl &&",
        'muster queue publish "$NEW" more left-more.jsonl --with-ids --close &&',
        "muster event export WF-1 mid --state dead --state waiting --with-ids > left-mid.jsonl &&",
        'muster queue publish "$NEW" mid left-mid.jsonl --with-ids --close &&',
        'muster queue close "$NEW" in',
    ]
