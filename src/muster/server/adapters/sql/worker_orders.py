"""Rows of orders for single workers."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, func, insert, select, update

from muster.domain.errors import NotFoundError
from muster.domain.worker_order import KEPT_S, ORDER_S, OrderAction, Outcome, WorkerLog, WorkerOrder
from muster.server.adapters.sql.rows import Session, keepable
from muster.server.adapters.sql.schema import taskforce
from muster.server.adapters.sql.worker_orders_schema import worker_order


class SqlWorkerOrders:
    """See `muster.server.ports.worker_orders.WorkerOrders`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def insert(self, order: WorkerOrder) -> None:
        self._session.execute(
            insert(worker_order),
            {
                "order_id": order.order_id,
                "taskforce_uuid": order.taskforce_uuid,
                "action": order.action,
                "procs": json.dumps(order.procs),
                "reason": order.reason,
                "asked_by": order.asked_by,
                "asked_at": order.asked_at,
                "number": self._session.take_number(),
                "answered_at": order.answered_at,
                "outcome": _write(order.outcome),
            },
        )
        self._session.execute(delete(worker_order).where(worker_order.c.asked_at < self._session.now() - KEPT_S))

    def get(self, taskforce_uuid: str, order_id: str) -> WorkerOrder:
        query = select(worker_order).where(
            worker_order.c.order_id.in_(keepable([order_id])), worker_order.c.taskforce_uuid == taskforce_uuid
        )
        row = self._session.execute(query).one_or_none()
        if row is None:
            raise NotFoundError(f"taskforce {taskforce_uuid} has no order {order_id[:100]}")
        return _read(row)

    def count_waiting(self, taskforce_uuid: str) -> int:
        query = select(func.count()).where(worker_order.c.taskforce_uuid == taskforce_uuid, self._stands())
        return int(self._session.execute(query).scalar_one())

    def find_next(self, agent: str, *, without: Collection[str], limit: int) -> Sequence[WorkerOrder]:
        query = (
            select(worker_order)
            .join(taskforce, taskforce.c.taskforce_uuid == worker_order.c.taskforce_uuid)
            .where(self._stands(), taskforce.c.claim_agent.in_(keepable([agent])))
            .order_by(worker_order.c.number)
        )
        chosen: dict[str, WorkerOrder] = {}
        for row in self._session.execute(query):
            if len(chosen) == limit:
                break
            if row.taskforce_uuid not in without:
                chosen.setdefault(row.taskforce_uuid, _read(row))
        return list(chosen.values())

    def answer(self, order: WorkerOrder) -> None:
        changed = {"answered_at": order.answered_at, "outcome": _write(order.outcome)}
        self._session.execute(update(worker_order).where(worker_order.c.order_id == order.order_id).values(changed))

    def _stands(self) -> ColumnElement[bool]:
        return and_(worker_order.c.answered_at.is_(None), worker_order.c.asked_at > self._session.now() - ORDER_S)


def _write(outcome: Outcome | None) -> str | None:
    return None if outcome is None else json.dumps(asdict(outcome))


def _read(row: Row[Any]) -> WorkerOrder:
    told = None if row.outcome is None else json.loads(row.outcome)
    return WorkerOrder(
        order_id=row.order_id,
        taskforce_uuid=row.taskforce_uuid,
        action=OrderAction(row.action),
        procs=tuple(json.loads(row.procs)),
        reason=row.reason,
        asked_by=row.asked_by,
        asked_at=row.asked_at,
        answered_at=row.answered_at,
        outcome=None
        if told is None
        else Outcome(told["done"], told["error"], [WorkerLog(**one) for one in told["logs"]]),
    )
