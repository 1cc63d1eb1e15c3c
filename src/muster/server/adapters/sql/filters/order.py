"""How do two SQL values stand to each other?"""

from typing import Any

from muster.domain.filter import Order
from muster.server.adapters.sql.filters.between import Condition


def stands(left: Any, order: Order, right: Any) -> Condition:
    """`left` is greater, less, or equal too, as the order says. Null where either is."""
    condition: Condition
    match order:
        case Order.GT:
            condition = left > right
        case Order.GTE:
            condition = left >= right
        case Order.LT:
            condition = left < right
        case Order.LTE:
            condition = left <= right
    return condition
