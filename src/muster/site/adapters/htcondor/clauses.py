"""What does a ClassAd expression consist of? Its clauses, joined by &&, and the attributes that each of them names.

A text is taken as the bindings render it: no comments, and `is` for `=?=`. An expression is true exactly where each of its clauses is.
"""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*")
    | (?P<quoted>'(?:\\.|[^'\\])*')
    | (?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign>=\?=|=!=|&&|\|\||\?:|[<>=!]=|>>>|<<|>>|\S)
    | (?P<space>\s+)""",
    re.VERBOSE | re.DOTALL,
)
_OPENING, _CLOSING = "([{", ")]}"
_AND = "&&"
_LOOSER = frozenset({"||", "?:", "?"})
"""What binds its sides less than && does: beside it there are no clauses."""
_WORDS = frozenset({"true", "false", "undefined", "error", "is", "isnt"})
_OWN, _OTHER = frozenset({"my", "self"}), frozenset({"target"})
_SCOPES = _OWN | _OTHER | {"parent", "root"}


@dataclass(frozen=True)
class Reference:
    """An attribute that an expression names. `scope`: `my`, `target`, or empty: the expression's own ad, then the other. In lower case."""

    scope: str
    name: str


def split_clauses(text: str) -> list[str]:
    """The clauses, through parentheses, in their order; one where it has no more."""
    text = text.strip()
    while (inner := _unwrap(text)) is not None:
        text = inner
    cuts, depth = [], 0
    for kind, sign, start in _scan(text):
        if kind != "sign":
            continue
        depth += (sign in _OPENING) - (sign in _CLOSING)
        if depth == 0 and sign in _LOOSER:
            return [text]
        if depth == 0 and sign == _AND:
            cuts.append(start)
    if not cuts:
        return [text]
    edges = [-len(_AND), *cuts, len(text)]
    parts = (text[before + len(_AND) : after] for before, after in pairwise(edges))
    return [clause for part in parts for clause in split_clauses(part)]


def find_first_group(text: str) -> str:
    """What stands in parentheses at the beginning; empty where nothing does."""
    text = text.strip()
    end = _find_closing(text)
    return text[: end + 1] if end > 0 else ""


def find_references(text: str) -> frozenset[Reference]:
    """The attributes that are named, whether or not it depends on them."""
    return frozenset(Reference(scope, name.lower()) for scope, name, _ in _find_names(text))


def name_target(text: str, own: Container[str]) -> str:
    """Say `TARGET.` where HTCondor's matchmaking means it: an attribute without a scope that the expression's own ad does not have.

    Args:
        own: names of the ad's attributes, in lower case.
    """
    parts, done = [], 0
    for scope, name, start in _find_names(text):
        if not scope and name.lower() not in own:
            parts += [text[done:start], "TARGET."]
            done = start
    return "".join([*parts, text[done:]])


def _find_names(text: str) -> Iterator[tuple[str, str, int]]:
    """Scope, name and place of each attribute; not those of ads inside of ads."""
    tokens = [one for one in _scan(text) if one[0] != "space"]
    brackets: list[str] = []
    for index, (kind, token, start) in enumerate(tokens):
        before, after = _token(tokens, index - 1), _token(tokens, index + 1)
        if kind == "sign" and token in _OPENING:
            brackets.append(token)
        elif kind == "sign" and token in _CLOSING and brackets:
            brackets.pop()
        is_name = kind == "quoted" or (kind == "word" and token.lower() not in _WORDS and after != "(")
        is_scope = after == "." and token.lower() in _SCOPES
        is_defined_here = after == "=" and brackets[-1:] == ["["]
        if not is_name or is_scope or is_defined_here:
            continue
        scope = _token(tokens, index - 2).lower() if before == "." else ""
        if before == "." and (scope not in _SCOPES or _token(tokens, index - 3) == "."):
            continue
        yield "my" if scope in _OWN else scope, token[1:-1] if kind == "quoted" else token, start


def _token(tokens: Sequence[tuple[str, str, int]], index: int) -> str:
    return tokens[index][1] if 0 <= index < len(tokens) else ""


def _unwrap(text: str) -> str | None:
    """What is in the parentheses, where they hold the whole text."""
    return text[1:-1].strip() if len(text) > 1 and _find_closing(text) == len(text) - 1 else None


def _find_closing(text: str) -> int:
    """Where the parenthesis ends with which a text begins; -1 where it begins with none."""
    depth = 0
    for kind, sign, start in _scan(text):
        depth += (kind == "sign" and sign in _OPENING) - (kind == "sign" and sign in _CLOSING)
        if start == 0 and sign != "(":
            return -1
        if depth == 0:
            return start
    return -1


def _scan(text: str) -> Iterator[tuple[str, str, int]]:
    for found in _TOKEN.finditer(text):
        yield found.lastgroup or "", found.group(), found.start()
