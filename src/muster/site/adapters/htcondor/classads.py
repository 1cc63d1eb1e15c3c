"""What does a ClassAd say, and where is an expression true? The ClassAd language as HTCondor's matchmaking has it, on plain values.

The bindings look for an attribute without a scope only in the expression's own ad; the matchmaking looks in the other one then
(`clauses.name_target`).
"""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import classad2

from muster.site.adapters.htcondor.clauses import name_target

_BEGIN, _END = "/Expr(", ")/"


@dataclass(frozen=True)
class Expression:
    """The value of an attribute that is worked out only when it is asked for."""

    text: str


Values = Mapping[str, Any]
"""An ad: its attributes by name in lower case; literals as JSON has them, `None` for undefined, else an `Expression`."""


def read_ad(ad: "classad2.ClassAd") -> dict[str, Any]:
    """An ad of the bindings as plain values."""
    return {name.lower(): _read(value) for name, value in json.loads(ad.printJson()).items()}


def read_ads(ads: Iterable["classad2.ClassAd"]) -> list[dict[str, Any]]:
    """Several; those are left out that hold texts which are none (UTF-8 is what the bindings want)."""
    found = []
    for ad in ads:
        with contextlib.suppress(ValueError):
            found.append(read_ad(ad))
    return found


def render(text: str) -> str | None:
    """An expression as the bindings render it; None where it is none."""
    expression = _parse(text)
    return None if expression is None else str(expression).strip()


class Evaluation:
    """Expressions of one ad, evaluated against others.

    Args:
        own: the ad that MY means.
    """

    def __init__(self, own: Values) -> None:
        self._names = frozenset(own)
        self._ad = _make(own, self._names)

    def evaluate(self, text: str, target: Values) -> Any:
        """The value of an expression of the own ad; None where it has none, or an error."""
        if (expression := _parse(name_target(text, self._names))) is None:
            return None
        value = expression.eval(self._ad, _make(target, frozenset(target)))
        return None if isinstance(value, classad2.Value) else value

    def is_true(self, text: str, target: Values) -> bool:
        """Does an expression hold? Numbers other than 0 do, as for the matchmaking."""
        value = self.evaluate(text, target)
        return isinstance(value, (bool, int, float)) and bool(value)


def _read(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_BEGIN) and value.endswith(_END):
        return Expression(value[len(_BEGIN) : -len(_END)])
    return value


def _make(values: Values, names: frozenset[str]) -> "classad2.ClassAd":
    ad = classad2.ClassAd()
    for name, value in values.items():
        # What cannot be read again is undefined: a text that only looks like an expression, say.
        ad[name] = _parse(name_target(value.text, names)) if isinstance(value, Expression) else _write(value)
    return ad


def _parse(text: str) -> "classad2.ExprTree | None":
    try:
        return classad2.ExprTree(text)
    except classad2.ClassAdException:
        return None


def _write(value: Any) -> Any:
    """Lists and ads in ads; an expression inside them stays the text that it is, of which nothing here asks."""
    if isinstance(value, dict):
        return {name: _write(one) for name, one in value.items()}
    return [_write(one) for one in value] if isinstance(value, list) else value
