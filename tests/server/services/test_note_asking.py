"""Is an agent that asks for work written down once in a while, and never in the way of its own answer?"""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio.testing

from muster.domain.asking import Ask
from muster.domain.errors import UnavailableError
from muster.domain.location import Agent
from muster.server.ports.store import Transaction
from muster.server.services.note_asking import NOTE_S, Noted, note_asking

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


class Book:
    """A store that keeps asks, and that can be full. It is its own transaction."""

    def __init__(self) -> None:
        self.asks: list[tuple[str, str]] = []
        self.is_full = False

    async def write(self, work: Callable[[Transaction], Any]) -> Any:
        await anyio.lowlevel.checkpoint()
        if self.is_full:
            raise UnavailableError("the disk is full")
        return work(self)  # type: ignore[arg-type]

    @property
    def askings(self) -> "Book":
        return self

    def note(self, asks: list[Ask]) -> None:
        self.asks += [(one.agent, one.place) for one in asks]

    def now(self) -> float:
        return 5.0


async def _ask(book: Book, noted: Noted, *places: str, agent: str = "a") -> None:
    await note_asking(book, noted, Agent.MUSTER, places, agent)  # type: ignore[arg-type]


async def test_one_that_asks_again_and_again_is_written_once_in_a_while() -> None:
    book, noted = Book(), Noted()
    for _ in range(10):
        await _ask(book, noted, "far")
        await anyio.sleep(NOTE_S / 10)
    assert book.asks == [("a", "far")]

    await _ask(book, noted, "far")
    assert book.asks == [("a", "far")] * 2


async def test_each_agent_and_each_place_is_written() -> None:
    book, noted = Book(), Noted()
    await _ask(book, noted, "far")
    await _ask(book, noted, "far", "near")
    await _ask(book, noted, "far", agent="b")
    assert book.asks == [("a", "far"), ("a", "near"), ("b", "far")]


async def test_what_could_not_be_written_is_written_with_the_next_call() -> None:
    book, noted = Book(), Noted()
    book.is_full = True
    await _ask(book, noted, "far")
    book.is_full = False
    await _ask(book, noted, "far")
    assert book.asks == [("a", "far")]


async def test_agents_with_ever_new_names_fill_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("muster.server.services.note_asking.REMEMBERED_MAX", 5)
    book, noted = Book(), Noted()
    for number in range(20):
        await _ask(book, noted, "far", agent=f"a{number}")
        assert len(noted.at) <= 5
