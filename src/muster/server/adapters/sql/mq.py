"""Rows of queues on a broker: groups, profiles, and the keys of their tokens."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, case, delete, func, literal, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from muster.domain.mq_profile import Direction, GroupedProfile, Kind, MqGroup, MqProfile, TokenStamp
from muster.domain.queue_token import PublicKey
from muster.domain.workflow import WorkflowState
from muster.server.adapters.sql.mq_schema import jwk, mq_group, mq_profile
from muster.server.adapters.sql.new_rows import NewRows
from muster.server.adapters.sql.rows import Session
from muster.server.adapters.sql.schema import taskforce, workflow

_KEYS_LOCK = 0x6B657973
# Statements that every workflow needs are built once: building one takes four times as long as carrying it out.
_INSERT_GROUP = {
    is_postgres: dialect.insert(mq_group).on_conflict_do_nothing()
    for is_postgres, dialect in ((True, postgresql), (False, sqlite))
}
_NEW_GROUP, _NEW_PROFILES = NewRows(mq_group), NewRows(mq_profile)
_ACTIVATE_NEW = (
    update(mq_group)
    .where(mq_group.c.workflow_id == bindparam("of"), mq_group.c.activated_at.is_(None))
    .values(criteria=bindparam("criteria"), activated_at=bindparam("activated_at"))
)


class SqlMqGroups:
    """See `muster.server.ports.mq.MqGroups`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, group: MqGroup, profiles: Sequence[MqProfile]) -> bool:
        if not self._session.execute(_INSERT_GROUP[self._session.is_postgres], _write_group(group)).rowcount:
            return False
        self._session.insert(_NEW_PROFILES, [_write_profile(group, one) for one in profiles])
        return True

    def insert_first(self, group: MqGroup, profiles: Sequence[MqProfile]) -> None:
        self._session.insert(_NEW_GROUP, [_write_group(group)])
        self._session.insert(_NEW_PROFILES, [_write_profile(group, one) for one in profiles])

    def find_group(self, workflow_id: str, *, lock: bool = False) -> MqGroup | None:
        query = select(mq_group).where(mq_group.c.workflow_id == workflow_id)
        row = self._session.execute(query.with_for_update() if lock else query).one_or_none()
        return None if row is None else _read_group(row)

    def list_of_workflow(self, workflow_id: str, *, only_public: bool = False) -> Sequence[GroupedProfile]:
        query = _select_profiles().where(mq_profile.c.workflow_id == workflow_id).order_by(mq_profile.c.position)
        if only_public:
            query = query.where(mq_profile.c.is_public)
        return [_read_profile(row) for row in self._session.execute(query)]

    def find(self, mqids: Collection[str]) -> Mapping[str, GroupedProfile]:
        if not mqids:
            return {}
        query = _select_profiles().where(mq_profile.c.mqid.in_(mqids))
        return {row.mqid: _read_profile(row) for row in self._session.execute(query)}

    def list_activations(self, workflow_ids: Collection[str]) -> Mapping[str, float]:
        if not workflow_ids:
            return {}
        query = select(mq_group.c.workflow_id, mq_group.c.activated_at).where(
            mq_group.c.workflow_id.in_(workflow_ids), mq_group.c.activated_at.is_not(None)
        )
        return {row.workflow_id: row.activated_at for row in self._session.execute(query)}

    def count_in_use(self, *, now: float) -> Mapping[str, int]:
        query = (
            select(mq_group.c.owner, func.count().label("queues"))
            .select_from(mq_group.join(mq_profile, mq_profile.c.workflow_id == mq_group.c.workflow_id))
            .where(mq_group.c.kind == Kind.FOREIGN, mq_profile.c.expires_at > now)
            .group_by(mq_group.c.owner)
        )
        return {row.owner: row.queues for row in self._session.execute(query)}

    def activate(self, workflow_id: str, *, criteria: Mapping[str, int] | None, at: float) -> None:
        self._session.execute(
            update(mq_group)
            .where(mq_group.c.workflow_id == workflow_id)
            .values(criteria=_write_criteria(criteria), activated_at=func.coalesce(mq_group.c.activated_at, at))
        )

    def activate_new(self, criteria: Mapping[str, Mapping[str, int]], *, at: float) -> None:
        rows = [{"of": of, "criteria": _write_criteria(one), "activated_at": at} for of, one in criteria.items()]
        self._session.execute(_ACTIVATE_NEW, rows)

    def stamp(self, mqids: Collection[str], stamp: TokenStamp) -> None:
        self._session.execute(
            update(mq_profile)
            .where(mq_profile.c.mqid.in_(mqids))
            .values(kid=stamp.kid, issued_at=stamp.issued_at, expires_at=stamp.expires_at)
        )

    def settle(self, upstream_locations: Collection[str]) -> None:
        is_direct = mq_group.c.workflow_id.in_(
            select(taskforce.c.workflow_id).where(taskforce.c.location.in_(upstream_locations))
        )
        self._session.execute(
            update(mq_group)
            .where(mq_group.c.kind.is_(None))
            .values(kind=case((is_direct, Kind.DIRECT.value), else_=Kind.BRIDGED.value))
        )


class SqlPublishedKeys:
    """See `muster.server.ports.mq.PublishedKeys`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list_published(self, *, now: float) -> Sequence[PublicKey]:
        query = (
            select(jwk.c.kid, jwk.c.n, jwk.c.e)
            .where(or_(jwk.c.expires_at.is_(None), jwk.c.expires_at > now))
            .order_by(jwk.c.created_at, jwk.c.kid)
        )
        return [PublicKey(row.kid, row.n, row.e) for row in self._session.execute(query)]

    def make_current(self, key: PublicKey, *, now: float, ttl_s: float) -> None:
        if self._session.is_postgres:  # two that changed each other's rows would wait for each other
            self._session.execute(select(func.pg_advisory_xact_lock(literal(_KEYS_LOCK))))
        new = _insert(self._session, jwk).values(kid=key.kid, n=key.n, e=key.e, created_at=now)
        self._session.execute(new.on_conflict_do_update(index_elements=[jwk.c.kid], set_={"expires_at": None}))
        last = func.coalesce(jwk.c.tokens_until, 0.0)
        self._session.execute(
            update(jwk)
            .where(jwk.c.kid != key.kid, jwk.c.expires_at.is_(None))
            .values(expires_at=case((last > now + ttl_s, last), else_=now + ttl_s))
        )

    def keep_until(self, key: PublicKey, until: float, *, now: float, ttl_s: float) -> None:
        keep = (
            update(jwk)
            .where(jwk.c.kid == key.kid)
            .values(
                tokens_until=case((jwk.c.tokens_until > until, jwk.c.tokens_until), else_=until),
                expires_at=case((jwk.c.expires_at < until, until), else_=jwk.c.expires_at),
            )
        )
        if not self._session.execute(keep).rowcount:
            self.make_current(key, now=now, ttl_s=ttl_s)
            self._session.execute(keep)

    def delete_expired(self, *, now: float) -> int:
        return int(self._session.execute(delete(jwk).where(jwk.c.expires_at <= now)).rowcount)


def _insert(session: Session, table: Any) -> Any:
    """An insert that may say what happens where there is such a row."""
    return (postgresql if session.is_postgres else sqlite).insert(table)


def _select_profiles() -> Select[Any]:
    """Profiles with their groups. Workflows of other services have no row, so they have not ended."""
    is_live = func.coalesce(workflow.c.state, WorkflowState.ACTIVE.value) == WorkflowState.ACTIVE.value
    return (
        select(
            mq_profile,
            mq_group.c.created_at,
            mq_group.c.owner,
            mq_group.c.kind,
            mq_group.c.criteria,
            mq_group.c.activated_at,
            is_live.label("is_live"),
        )
        .join(mq_group, mq_group.c.workflow_id == mq_profile.c.workflow_id)
        .outerjoin(workflow, workflow.c.workflow_id == mq_profile.c.workflow_id)
    )


def _write_criteria(criteria: Mapping[str, int] | None) -> str | None:
    return None if criteria is None else json.dumps(dict(criteria))


def _write_group(group: MqGroup) -> dict[str, Any]:
    return {
        "workflow_id": group.workflow_id,
        "created_at": group.created_at,
        "owner": group.owner,
        "kind": group.kind,
        "criteria": _write_criteria(group.criteria),
        "activated_at": group.activated_at,
    }


def _write_profile(group: MqGroup, profile: MqProfile) -> dict[str, Any]:
    stamp = profile.stamp
    return {
        "mqid": profile.mqid,
        "workflow_id": group.workflow_id,
        "position": profile.position,
        "alias": profile.alias,
        "is_public": profile.is_public,
        "direction": profile.direction,
        "kid": stamp and stamp.kid,
        "issued_at": stamp and stamp.issued_at,
        "expires_at": stamp and stamp.expires_at,
    }


def _read_group(row: Row[Any]) -> MqGroup:
    return MqGroup(
        workflow_id=row.workflow_id,
        created_at=row.created_at,
        owner=row.owner,
        kind=Kind(row.kind or Kind.BRIDGED),
        criteria=None if row.criteria is None else json.loads(row.criteria),
        activated_at=row.activated_at,
    )


def _read_profile(row: Row[Any]) -> GroupedProfile:
    stamp = None if row.kid is None else TokenStamp(row.kid, row.issued_at, row.expires_at)
    profile = MqProfile(
        mqid=row.mqid,
        position=row.position,
        alias=row.alias,
        is_public=bool(row.is_public),
        direction=Direction(row.direction),
        stamp=stamp,
    )
    return GroupedProfile(profile, _read_group(row), is_live=bool(row.is_live))
