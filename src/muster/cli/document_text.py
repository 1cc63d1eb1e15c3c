"""How is YAML or JSON read that anybody may have written? Within limits, and what is wrong with it is told with its place.

YAML's aliases make a small file stand for more values than any machine has, so they are counted before any is followed.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from muster.domain.errors import Finding, InvalidError

TEXT_BYTES_MAX = 8 << 20
"""A file: as much as the service takes in one request."""
VALUES_MAX = 100_000
"""Values of a document, each counted wherever an alias repeats it; a long text counts as one for each KiB."""
DEPTH_MAX = 50
"""Lists and mappings inside each other."""
_TEXT_CHARS = 1024
_NAME_CHARS_SHOWN = 80
_INT_BITS_MAX = 64
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_TOO_DEEP = f"is nested too deeply: at most {DEPTH_MAX} lists and mappings may stand inside each other"


def parse_json(text: str, name: str) -> Any:
    """Read JSON. `name` is for messages. Raises InvalidError."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > DEPTH_MAX:
            raise InvalidError([Finding(_place(text, match.start(), name), _TOO_DEEP)])
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _make_object(pairs, name))
    except json.JSONDecodeError as error:
        raise InvalidError([Finding(_place(text, error.pos, name), f"is not JSON: {error.msg}")]) from error
    except ValueError as error:  # a number with thousands of digits
        raise InvalidError([Finding(name, "has a number that is too long")]) from error


def parse_yaml(text: str, name: str) -> tuple[Any, dict[str, int]]:
    """Read YAML: its content, and the line (from 1) of every value by its path, e.g. `tasks[0].n_workers`. `name` is for messages.

    Raises:
        InvalidError: syntax, a key that is given twice, or a document that is too large or too deep.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        place = _place(text, error.position, name)
        raise InvalidError([Finding(place, f"is not YAML: U+{error.character:04X} may not stand in it")]) from error
    try:
        node = loader.get_single_node()
        if node is None:
            raise InvalidError([Finding(name, "is empty")])
        lines: dict[str, int] = {}
        repeated = list(_walk(node, "", lines))
        if repeated:
            raise InvalidError([Finding(f"{name}:{line}: {path}", "is given twice") for path, line in repeated])
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise InvalidError([Finding(place, f"is not YAML: {error.problem or error.context}")]) from error
    except _LimitError as error:
        place = f"{name}:{error.mark.line + 1}:{error.mark.column + 1}"
        raise InvalidError([Finding(place, str(error))]) from error
    except yaml.YAMLError as error:
        raise InvalidError([Finding(name, f"is not YAML: {error}")]) from error
    except ValueError as error:  # of the scanner: an escape of a character that there is not
        raise InvalidError([Finding(f"{name}:{loader.line + 1}", f"is not YAML: {error}")]) from error
    finally:
        loader.dispose()


def _make_object(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidError([Finding(name, f"{repeated[:_NAME_CHARS_SHOWN]!r} is given twice")])
    return made


class _LimitError(Exception):
    """The document goes over a limit of ours, at the mark."""

    def __init__(self, reason: str, mark: yaml.Mark) -> None:
        super().__init__(reason)
        self.mark = mark


class _Loader(yaml.SafeLoader):
    """A loader that gives up where a limit is passed, and says where a value is none."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._count = 0
        # By identity: an alias gives the node that it repeats.
        self._sizes: dict[yaml.Node, int] = {}
        self._heights: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        if self._depth >= DEPTH_MAX and self.check_event(yaml.CollectionStartEvent):
            raise _LimitError(_TOO_DEEP, mark)
        self._count += 1
        if self._count > VALUES_MAX:
            raise _LimitError(f"has more than {VALUES_MAX} values", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if not is_alias:
            self._measure(node)
        elif node not in self._sizes:
            raise _LimitError("holds itself", mark)
        if self._depth + self._heights[node] > DEPTH_MAX:
            raise _LimitError(_TOO_DEEP, mark)
        if self._sizes[node] > VALUES_MAX:
            raise _LimitError(f"has more than {VALUES_MAX} values, counting what its aliases repeat", mark)
        return node

    def _measure(self, node: yaml.Node) -> None:
        match node:
            case yaml.MappingNode():
                inner = [one for pair in node.value for one in pair]
            case yaml.SequenceNode():
                inner = node.value
            case _:
                self._sizes[node], self._heights[node] = 1 + len(node.value) // _TEXT_CHARS, 0
                return
        self._sizes[node] = 1 + sum(self._sizes[one] for one in inner)
        self._heights[node] = 1 + max((self._heights[one] for one in inner), default=0)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - as the class above has it
        try:
            value = super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:  # as its resolvers fail
            kind = str(node.tag).rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                None, None, f"this cannot be read as {kind}; a text stands in quotes", node.start_mark
            ) from error
        if isinstance(value, int) and value.bit_length() > _INT_BITS_MAX:
            raise _LimitError(f"is a number of more than {_INT_BITS_MAX} bits", node.start_mark)
        return value


def _walk(node: yaml.Node, path: str, lines: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Note the line of every value; gives the keys that stand twice in a mapping, of which YAML would drop the first."""
    lines.setdefault(path, node.start_mark.line + 1)
    match node:
        case yaml.MappingNode():
            seen: set[str] = set()
            for key, value in node.value:
                name = key.value[:_NAME_CHARS_SHOWN] if isinstance(key, yaml.ScalarNode) else "?"
                inner = f"{path}.{name}" if path else name
                if isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        yield inner, key.start_mark.line + 1
                    seen.add(key.value)
                lines.setdefault(inner, key.start_mark.line + 1)
                yield from _walk(value, inner, lines)
        case yaml.SequenceNode():
            for index, value in enumerate(node.value):
                yield from _walk(value, f"{path}[{index}]", lines)
        case _:
            return


def _place(text: str, position: int, name: str) -> str:
    """Where a character stands: file, line, column, both from 1."""
    line = text.count("\n", 0, position) + 1
    return f"{name}:{line}:{position - text.rfind(chr(10), 0, position)}"
