"""What need not be kept any longer goes: a small step after another, each a transaction, so that nobody waits for it.

A round takes its time at its beginning. It can be broken off anywhere and begun again: what is half removed is found by the next one.
One service at a time goes round by itself (`keeper`); an operator may have a round made beside it.

Of the events that are done a service looks at those that are new, by each rule behind the place up to which everything is dealt with, and
once a day at all: an event that waited for long ends behind that place, and so do those of a workflow that was kept back. An operator's
round looks at all. One that is broken off on its way through all does not count yet: a service notes with each step how far it has come
(`Way`), and the next one goes on there. So such a look ends, however often services are started anew, and counts from when it began first.
"""

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import anyio

from muster.domain.retention import UNCONFIRMED_S, Kept, KeptBack, Rules
from muster.domain.workflow import WorkflowState
from muster.server.ports.retention import START, After, Manner, Rounds, Standing, Swept, Walk, Way
from muster.server.ports.store import Transaction
from muster.server.services.parts import Parts

WORKFLOWS_AT_ONCE = 10
ROWS_AT_ONCE = 1000
WINDOW = 5000
"""Rows that a step of a walk passes by."""
KEPT_BACK_MAX = 100
"""Workflows that a call names which are kept although their time is over."""
ROUND_S = 60.0
"""Seconds after which a service that broke off its round is not waited for by the others."""
WHOLE_EVERY_S = 24 * 3600.0
_ALL = (1 << 63) - 1
"""No number is higher."""
_SECONDS = r"(\d{1,12}\.\d{6})"
_PLACE = re.compile(rf"([a-z]+):(\d{{1,18}}):(\d{{1,18}}):{_SECONDS}:{_SECONDS}:(wet|dry):([0-9a-f]{{32}})")
_PLACE_USE = b"muster place of a purge 1\0"


class Stage(StrEnum):
    """What a round goes through, in this order: what takes longest comes last, and keeps nothing else from going."""

    WORKFLOWS = "workflows"
    NOTICES = "notices"
    ANSWERS = "answers"
    DEAD = "dead"
    DONE = "done"
    BODIES = "bodies"
    ATTEMPTS = "attempts"
    PLACES = "places"  # of removed queues, as what follows
    PARTITIONS = "partitions"
    EVENTS = "events"
    SESSIONS = "sessions"
    END = "end"


_STAGES = tuple(Stage)
_OF_REMOVED = frozenset({Stage.PLACES, Stage.PARTITIONS, Stage.EVENTS, Stage.SESSIONS, Stage.END})
"""Nobody asks how much of these there is: it was counted when their workflow went."""

_KEPT_OF = {
    Stage.DEAD: Kept.DEAD_LETTERS,
    Stage.NOTICES: Kept.NOTICES,
    Stage.ANSWERS: Kept.ANSWERS,
    Stage.DONE: Kept.EVENTS,
    Stage.BODIES: Kept.BODIES,
    Stage.ATTEMPTS: Kept.ATTEMPTS,
}


@dataclass(frozen=True)
class Place:
    """How far a round has come.

    Args:
        now: when it began, by the database's clock.
        upto: when it began to look for what removed workflows left; of those that go later it may miss something.
    """

    stage: Stage
    after: After
    now: float
    upto: float = 0.0


@dataclass(frozen=True)
class Purged:
    """What a piece of a round did, or would do.

    Args:
        removed: how many of each.
        kept_back: workflows whose time is over; at most `KEPT_BACK_MAX`.
        place: where to go on; None: the round is at its end, or another service goes round.
    """

    removed: Mapping[Kept, int]
    kept_back: Sequence[KeptBack]
    place: Place | None


def render_place(place: Place, *, is_dry: bool, key: bytes) -> str:
    """The place as text that means nothing to who carries it, and that nobody else can make: a wrong one would lose what it passes by."""
    text = (
        f"{place.stage}:{place.after[0]}:{place.after[1]}:{place.now:.6f}:{place.upto:.6f}:{'dry' if is_dry else 'wet'}"
    )
    return f"{text}:{_sign(text, key)}"


def parse_place(text: str, *, is_dry: bool, key: bytes) -> Place | None:
    """Read a place of a round of this kind; None when the text is none."""
    match = _PLACE.fullmatch(text)
    if match is None or match[1] not in _STAGES or (match[6] == "dry") != is_dry:
        return None
    if not hmac.compare_digest(match[7], _sign(text.rpartition(":")[0], key)):
        return None
    return Place(Stage(match[1]), (int(match[2]), int(match[3])), float(match[4]), float(match[5]))


def _sign(text: str, key: bytes) -> str:
    return hmac.digest(key, _PLACE_USE + text.encode(), "sha256").hex()[:32]


async def purge(
    parts: Parts, *, place: Place | None = None, is_dry: bool = False, for_s: float, keeper: str | None = None
) -> Purged:
    """Begin a round, or go on with it, for about so many seconds.

    Args:
        is_dry: nothing is removed, only counted.
        keeper: who goes round by itself; it looks at what is new alone, and at nothing while another one is at it.
    """
    rules = parts.settings.retention
    run = parts.store.read if is_dry else parts.store.write
    if place is None:
        place = Place(_STAGES[0], START, await parts.store.look(lambda tx: tx.now()))
    removed = dict.fromkeys(Kept, 0)
    kept_back: list[KeptBack] = []
    ends_at = anyio.current_time() + for_s
    next_place: Place | None = place
    while next_place is not None:
        done = await run(_Step(rules, next_place, is_dry, keeper).run)
        for kept, count in done.removed.items():
            removed[kept] += count
        kept_back += done.kept_back[: KEPT_BACK_MAX - len(kept_back)]
        next_place = done.place
        if anyio.current_time() >= ends_at:
            break
    return Purged(removed, kept_back, next_place)


@dataclass(frozen=True)
class _Step:
    """The step of a round that its place is at."""

    rules: Rules
    place: Place
    is_dry: bool
    keeper: str | None = None

    def run(self, tx: Transaction) -> Purged:
        if not self.is_dry:
            tx.take_turn("purge")
            if self.keeper is not None and not tx.rounds.take_round(self.keeper, for_s=ROUND_S):
                return Purged({}, (), None)
        elif self.place.stage in _OF_REMOVED:
            return self.end_stage()
        if self.place.stage is Stage.WORKFLOWS:
            return self._remove_workflows(tx)
        swept = self._sweep_removed(tx) if self.place.stage in _OF_REMOVED else self._sweep_old(tx)
        if swept.after is None:
            step = self.end_stage(swept.removed)
            if step.place is None and self.keeper is not None:
                tx.rounds.end_round(self.keeper)
            return step
        return Purged(swept.removed, (), replace(self.place, after=swept.after))

    def end_stage(self, removed: Mapping[Kept, int] = {}, kept_back: Sequence[KeptBack] = ()) -> Purged:
        index = _STAGES.index(self.place.stage) + 1
        place = replace(self.place, stage=_STAGES[index], after=START) if index < len(_STAGES) else None
        return Purged(removed, kept_back, place)

    def _find_cut(self, kept: Kept) -> float | None:
        return self.rules.find_cut(kept, now=self.place.now)

    def _remove_workflows(self, tx: Transaction) -> Purged:
        step = replace(self, place=replace(self.place, upto=tx.now()))
        cut = self._find_cut(Kept.WORKFLOWS)
        if cut is None:
            return step.end_stage()
        due = tx.retention.find_due(cut, after=self.place.after[0], limit=WORKFLOWS_AT_ONCE)
        kept_back: list[KeptBack] = []
        removed = {Kept.WORKFLOWS: 0, Kept.EVENTS: 0}
        for one in due:
            workflow = tx.workflows.get(one.workflow_id, lock=not self.is_dry)
            if workflow.state is WorkflowState.ACTIVE or workflow.ended_at is None or workflow.ended_at >= cut:
                continue  # reopened meanwhile
            standing = tx.retention.look_at(one.workflow_id)
            if (reason := self._find_hindrance(workflow.ended_at, standing)) is not None:
                kept_back.append(KeptBack(one.workflow_id, reason))
                continue
            if not self.is_dry:
                tx.retention.remove_workflow(one.workflow_id)
                tx.wake(f"workflow:{one.workflow_id}")
            removed[Kept.WORKFLOWS] += 1
            removed[Kept.EVENTS] += standing.events
        if len(due) < WORKFLOWS_AT_ONCE:
            return step.end_stage(removed, kept_back)
        return Purged(removed, kept_back, replace(step.place, after=(due[-1].number, 0)))

    def _find_hindrance(self, ended_at: float, standing: Standing) -> str | None:
        """Why a workflow whose time is over is kept."""
        if standing.has_clusters:
            return "its workers are not known to be gone: its site has not said so"
        if standing.has_orders and self.place.now < ended_at + UNCONFIRMED_S:
            return "workers were ordered, and its site has not said whether it started them: a day is waited for that"
        if standing.has_sessions:
            return "somebody has its events in hand"
        grace_ends_at = self.rules.find_end_of_grace(ended_at)
        if standing.unread and grace_ends_at is not None and self.place.now < grace_ends_at:
            return f"{standing.unread} results were not consumed: they are kept for {self.rules.grace_s:g} s longer"
        return None

    def _sweep_removed(self, tx: Transaction) -> Swept:
        """What removed workflows left."""
        match self.place.stage:
            case Stage.PLACES:
                return tx.removed.sweep_places(limit=ROWS_AT_ONCE)
            case Stage.PARTITIONS:
                return tx.removed.drop_partition(self.place.after)
            case Stage.EVENTS:
                return self._walk_removed(tx.rounds, tx.removed.sweep_events)
            case Stage.SESSIONS:
                return self._walk_removed(tx.rounds, tx.removed.sweep_sessions)
            case Stage.END:
                tx.removed.end_sweep(upto=self._find_upto(tx.rounds))
                if self.keeper is not None:
                    tx.rounds.forget_way(Stage.EVENTS)
                    tx.rounds.forget_way(Stage.SESSIONS)
        return Swept(None)

    def _walk_removed(self, rounds: Rounds, sweep: Callable[..., Swept]) -> Swept:
        """Go on with the walk that was begun, for the queues that were removed until then: the rest is for the next one. Where it has
        passed all is kept until both walks are at their end.
        """
        upto = self._find_upto(rounds)
        after = self.place.after
        if self.keeper is not None:
            way = rounds.find_way(self.place.stage)
            after = (way.number, 0) if way is not None and way.began_at == upto else START
        swept = sweep(after, upto=upto, limit=WINDOW)
        if self.keeper is not None:
            rounds.note_way(self.place.stage, Way(_ALL if swept.after is None else swept.after[0], upto))
        return swept

    def _find_upto(self, rounds: Rounds) -> float:
        """Of the queues that were removed until when are rows looked for? An operator's round carries its own place."""
        begun = None if self.keeper is None else rounds.find_way(Stage.EVENTS)
        if begun is None or begun.began_at > self.place.upto:  # the clock was set back
            return self.place.upto
        return begun.began_at

    def _sweep_old(self, tx: Transaction) -> Swept:
        """What is old by itself."""
        after, retention = self.place.after, tx.retention
        manner = Manner(
            is_dry=self.is_dry,
            due_before=self._find_cut(Kept.WORKFLOWS),
            whole_before=self._find_cut(Kept.EVENTS),
        )
        kept = _KEPT_OF[self.place.stage]
        if (cut := self._find_cut(kept)) is None:
            return Swept(None)
        match kept:
            case Kept.DEAD_LETTERS:
                return retention.sweep_dead_letters(after, cut, limit=ROWS_AT_ONCE, manner=manner)
            case Kept.NOTICES:
                return retention.sweep_notices(after, cut, limit=ROWS_AT_ONCE, manner=manner)
            case Kept.ANSWERS:
                return self._remove_answers(tx, cut)
            case _:
                return self._sweep_done(tx, kept, cut, manner)

    def _sweep_done(self, tx: Transaction, kept: Kept, cut: float, manner: Manner) -> Swept:
        after, began_at = self.place.after, self.place.now
        walk = self._find_new(tx.rounds, kept)
        if walk is not None:
            after = (walk.settled, 0) if after == START else after
        elif self.keeper is not None:
            after, began_at = self._find_begun(tx.rounds, kept) or (START, began_at)
        swept = tx.retention.sweep_done(kept, after, cut, limit=ROWS_AT_ONCE, manner=manner)
        if self.is_dry:
            return swept
        if swept.settled is not None:
            tx.rounds.note_settled(kept, swept.settled)
        if walk is None:
            if swept.after is None:  # at its end: one that is broken off must not count
                tx.rounds.note_whole(kept, began_at=began_at)
            elif self.keeper is not None:
                tx.rounds.note_way(f"done {kept}", Way(swept.after[0], began_at))
        return swept

    def _find_begun(self, rounds: Rounds, kept: Kept) -> tuple[After, float] | None:
        """Where to go on with a look at all that has begun, and when it did. One that began before another that is at its end is over."""
        way = rounds.find_way(f"done {kept}")
        walk = rounds.find_walk(kept)
        if way is None or (walk is not None and walk.whole_at >= way.began_at):
            return None
        # It is further than what is settled where it has passed one whose time is still to come.
        return (way.number, int(walk is not None and way.number > walk.settled)), way.began_at

    def _find_new(self, rounds: Rounds, kept: Kept) -> Walk | None:
        """How far the rule has come, where what is new behind that is enough; None where all is to be looked at.

        Every step of a round asks again: the answer only changes when somebody else's round through all ends meanwhile.
        """
        walk = None if self.keeper is None else rounds.find_walk(kept)
        return None if walk is None or walk.whole_at <= self.place.now - WHOLE_EVERY_S else walk

    def _remove_answers(self, tx: Transaction, cut: float) -> Swept:
        if self.is_dry:
            return Swept(None, {Kept.ANSWERS: tx.answers.count_older(cut)})
        count = tx.answers.delete_older(cut, limit=ROWS_AT_ONCE)
        return Swept(START if count == ROWS_AT_ONCE else None, {Kept.ANSWERS: count})
