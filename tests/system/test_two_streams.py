"""Is one who follows a workflow at one of two services told all that is done through either, once and in order, also when one is killed?"""

import contextlib
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from harness.stack import Part, Stack
from harness.waiting import wait_for
from muster.client.event_stream import EventParser, ServerEvent
from muster.client.patience import Patience
from muster.client.shapes.new_workflow import NewTask, NewWorkflow
from muster.client.shapes.stream import END, PROGRESS
from muster.client.synchronous import Client
from muster.domain.errors import UnavailableError

pytestmark = [pytest.mark.system, pytest.mark.server]

THIRD = 20
ALIASES = [f"in{number}" for number in range(3 * THIRD)]
TASK = NewTask(cluster_locations=["local"], task_image="", task_args="true", input_queue_aliases=ALIASES)
AT_ONCE = Patience(first_s=0, later_s=0)
NEW = NewWorkflow(tasks=[TASK], public_queue_aliases=ALIASES)


@pytest.fixture
def pair(stack: Stack, postgres_url: str) -> Stack:
    """Two services, `serve` and `other`."""
    stack.database_url = postgres_url
    stack.start_serve()
    stack.start_serve("other")
    return stack


def url_of(part: Part) -> str:
    return f"http://{part.environment['MUSTER_HOST']}:{part.environment['MUSTER_PORT']}"


@dataclass
class Follower:
    """One stream, as it was opened once: it is not opened again when it breaks off."""

    url: str
    token: str
    workflow: str
    after: str = ""
    heard: list[ServerEvent] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def notices(self) -> list[ServerEvent]:
        return [one for one in self.heard if "." in one.name]

    def told(self) -> str:
        return "".join(one.data for one in self.notices())

    def count(self, name: str) -> int:
        return sum(one.name == name for one in self.heard)

    @property
    def last_id(self) -> str:
        return self.heard[-1].id

    def listen(self) -> None:
        """Until its end, or until it breaks off."""
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Last-Event-ID": self.after} if self.after else {})
        parser = EventParser(self.after)
        path = f"{self.url}/muster/v1/workflows/{self.workflow}/stream"
        try:
            with httpx.stream("GET", path, headers=headers, timeout=60, trust_env=False) as stream:
                for piece in stream.iter_raw():
                    self.heard.extend(parser.feed(piece))
        except httpx.TransportError:
            pass  # the service was killed
        finally:
            self.is_over.set()


@contextmanager
def following(pair: Stack, name: str, workflow: str, *, after: str = "") -> Iterator[Follower]:
    follower = Follower(url_of(pair.parts[name]), pair.token, workflow, after)
    thread = threading.Thread(target=follower.listen, daemon=True)
    thread.start()
    wait_for(lambda: follower.heard, "the stream begins")
    yield follower


class Writers:
    """Four who close queues, two at each service. Who finds his service gone goes on at the one that is left."""

    def __init__(self, pair: Stack, workflow: str) -> None:
        self._pair, self._workflow = pair, workflow
        self._wanted: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.closed: list[str] = []
        self._threads = [
            threading.Thread(target=self._write, args=(names,), daemon=True)
            for names in (("serve", "other"), ("other", "serve")) * 2
        ]
        for thread in self._threads:
            thread.start()

    def close(self, aliases: list[str]) -> None:
        """Have these closed, soon."""
        for alias in aliases:
            self._wanted.put(alias)

    def wait(self) -> None:
        """Until all are."""
        for _ in self._threads:
            self._wanted.put(None)
        for thread in self._threads:
            thread.join(timeout=120)
        assert sorted(self.closed) == sorted(ALIASES)

    def _write(self, names: tuple[str, str]) -> None:
        with contextlib.ExitStack() as stack:
            clients = [
                stack.enter_context(Client(url_of(self._pair.parts[name]), self._pair.token, patience=AT_ONCE))
                for name in names
            ]
            while (alias := self._wanted.get()) is not None:
                for client in clients:
                    with contextlib.suppress(UnavailableError):
                        client.close_queue(self._workflow, alias)
                        self.closed.append(alias)
                        break


def submit(pair: Stack, name: str) -> str:
    with Client(url_of(pair.parts[name]), token=pair.token) as client:
        return client.submit_workflow(NEW).workflow_id


def read_all(pair: Stack, name: str, workflow: str) -> list[tuple[str, str, str]]:
    """Every notice of a workflow that is over."""
    with following(pair, name, workflow) as follower:
        assert follower.is_over.wait(60)
    return facts(follower.notices())


def facts(events: list[ServerEvent]) -> list[tuple[str, str, str]]:
    return [(one.id, one.name, one.data) for one in events]


@pytest.mark.parametrize("killed", ["serve", "other"])
def test_what_is_done_through_either_is_told_at_each_in_order_and_a_kill_loses_nothing(
    pair: Stack, killed: str
) -> None:
    """The one who follows is at `serve`; when that is killed he goes on at `other`, from the last id that he has."""
    left = {"serve": "other", "other": "serve"}[killed]
    workflow = submit(pair, "other")
    writers = Writers(pair, workflow)
    with following(pair, "serve", workflow) as first:
        wait_for(lambda: "pending-starter" in first.told(), "what the daemons of both did")
        writers.close(ALIASES[: 2 * THIRD])
        wait_for(lambda: first.count("queue.closed") >= THIRD, "half of them are told")
        pair.kill(killed)
        writers.close(ALIASES[2 * THIRD :])
        if killed == "serve":
            assert first.is_over.wait(30)
            with following(pair, "other", workflow, after=first.last_id) as second:
                finish(pair, left, workflow, writers, second)
            heard = [*first.heard, *second.heard]
        else:
            finish(pair, left, workflow, writers, first)
            heard = first.heard

    notices = facts([one for one in heard if "." in one.name])
    assert notices == read_all(pair, left, workflow)
    assert len({id_ for id_, _, _ in notices}) == len(notices)
    assert sum(name == "queue.closed" for _, name, _ in notices) == len(ALIASES)
    assert {one.name for one in heard} - {name for _, name, _ in notices} == {PROGRESS, END}
    assert heard[-1].name == END


def finish(pair: Stack, left: str, workflow: str, writers: Writers, follower: Follower) -> None:
    writers.wait()
    with Client(url_of(pair.parts[left]), token=pair.token) as client:
        client.finish_workflow(workflow)
    assert follower.is_over.wait(60), follower.heard[-3:]
