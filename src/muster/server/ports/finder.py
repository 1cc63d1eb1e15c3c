"""How are objects found by a filter, when there are millions? In order of creation, or against it, one bounded look after another.

A filter speaks of the fields of documents, which a door makes of what is kept; `Sources` says where in what is kept each field comes
from. With it the store narrows down what may fit. It may give too much, never too little: whoever looks makes the documents
and lets the filter judge them (`domain.match_filter`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from muster.domain.filter import Filter
from muster.domain.workflow import PhaseLogEntry, TaskDirective, Taskforce, Workflow

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Attribute:
    """The field is the attribute of the object of that name, as JSON has it."""

    name: str


@dataclass(frozen=True)
class Words:
    """The field tells the attribute in other words: `words` has one, or none (null), for every value that it can have."""

    name: str
    words: Mapping[Any, Any]


@dataclass(frozen=True)
class Log:
    """The field is the list of a taskforce's log entries; `names` is name in the document → attribute of the entry, for all of them."""

    names: Mapping[str, str]


@dataclass(frozen=True)
class Constant:
    """The field is this JSON value in every document."""

    value: Any


@dataclass(frozen=True)
class Computed:
    """The field comes from more than one attribute; the store cannot tell what it is. `has_log`: a taskforce's log is among them."""

    has_log: bool = False


Source: TypeAlias = Attribute | Words | Log | Constant | Computed
Sources: TypeAlias = Mapping[str, Source]
"""By field of the document. A field that is not here is in no document."""


@dataclass(frozen=True)
class Look:
    """One look.

    Args:
        after: only objects with a greater number; with `newest_first`, a smaller one.
        limit: objects to give at most.
        scan: objects to pass over at most, of those that an index leads to.
        with_log: the logs of taskforces are wanted.
        newest_first: against the order of their numbers.
    """

    filter: Filter
    sources: Sources
    after: int
    limit: int
    scan: int
    with_log: bool = True
    newest_first: bool = False


@dataclass(frozen=True)
class Found(Generic[T_co]):
    """Objects that may fit, by number.

    Args:
        reached: everything up to this number, in the look's order, has been looked at; None: everything there is.
    """

    objects: Sequence[tuple[int, T_co]]
    reached: int | None


@dataclass(frozen=True)
class LoggedTaskforce:
    """A taskforce with its log, oldest entry first."""

    taskforce: Taskforce
    log: Sequence[PhaseLogEntry]


class Finder(Protocol):
    """Objects by filter. Their numbers grow in order of creation."""

    def find_workflows(self, look: Look) -> Found[Workflow]: ...

    def find_directives(self, look: Look) -> Found[TaskDirective]: ...

    def find_taskforces(self, look: Look) -> Found[LoggedTaskforce]:
        """Where the logs are not wanted they are empty."""
