"""How does one description of a call become a method of both clients?

`Route` is a descriptor: on the asynchronous client it gives a function that must be awaited, on the synchronous one a plain
function, with the parameters and the answer of the description. So the two clients cannot drift apart.
"""

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from muster.client import calls, conversations, file_calls, live, site_calls
from muster.client.call import Call
from muster.client.conversations import Publication, Turns

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E")


class AsyncSender(Protocol):
    """A shell whose `send` is awaited."""

    async def send(self, call: Call[T], /) -> T: ...
    def hold(self, turns: Turns[E], /) -> AsyncGenerator[E]: ...
    async def conclude(self, publication: Publication, /) -> Publication: ...


class Sender(Protocol):
    """A shell whose `send` blocks."""

    def send(self, call: Call[T], /) -> T: ...
    def hold(self, turns: Turns[E], /) -> Generator[E]: ...
    def conclude(self, publication: Publication, /) -> Publication: ...


class Route(Generic[P, T]):
    """A call as a method. Raises what `muster.domain.errors` names, UnavailableError when the service does not answer."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    def __get__(self, client: AsyncSender | Sender | None, owner: object) -> object:
        return self if client is None else _bind(self._build, client.send)


class Publishing(Generic[P]):
    """A publication as a method, that ends with it."""

    def __init__(self, build: Callable[P, Publication]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, Coroutine[Any, Any, Publication]]: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, Publication]: ...
    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    def __get__(self, client: AsyncSender | Sender | None, owner: object) -> object:
        return self if client is None else _bind(self._build, client.conclude)


class Consuming(Generic[P, E]):
    """A conversation that delivers events as a method, that gives an iterator."""

    def __init__(self, build: Callable[P, Turns[E]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: AsyncSender, owner: object) -> Callable[P, AsyncGenerator[E]]: ...
    @overload
    def __get__(self, client: Sender, owner: object) -> Callable[P, Generator[E]]: ...
    @overload
    def __get__(self, client: None, owner: object) -> Self: ...
    def __get__(self, client: AsyncSender | Sender | None, owner: object) -> object:
        return self if client is None else _bind(self._build, client.hold)


def _bind(build: Callable[P, Any], carry: Callable[[Any], object]) -> Callable[P, object]:
    @functools.wraps(build)
    def carry_out(*args: P.args, **kwargs: P.kwargs) -> object:
        return carry(build(*args, **kwargs))

    return carry_out


class Routes:
    """Every call of our door, except those of workers."""

    publish = Publishing(conversations.publish)
    consume = Consuming(conversations.consume)
    export_events = Consuming(conversations.export_events)
    query_pages = Consuming(conversations.query_pages)
    stream = Consuming(live.stream)
    follow = Consuming(live.follow)

    submit_workflow = Route(calls.submit_workflow)
    list_workflows = Route(calls.list_workflows)
    get_workflow = Route(calls.get_workflow)
    get_progress = Route(calls.get_progress)
    finish_workflow = Route(calls.finish_workflow)
    abort_workflow = Route(calls.abort_workflow)
    pause_workflow = Route(calls.pause_workflow)
    drain_workflow = Route(calls.drain_workflow)
    resume_workflow = Route(calls.resume_workflow)
    get_account = Route(calls.get_account)
    get_usage = Route(calls.get_usage)
    get_errors = Route(calls.get_errors)
    list_hosts = Route(calls.list_hosts)
    trust_host = Route(calls.trust_host)
    list_workers = Route(calls.list_workers)
    explain_workflow = Route(calls.explain_workflow)
    list_events = Route(calls.list_events)
    list_event_bodies = Route(calls.list_event_bodies)
    list_dead_letters = Route(calls.list_dead_letters)
    replay_dead_letters = Route(calls.replay_dead_letters)
    publish_events = Route(calls.publish_events)
    promise_file = Route(file_calls.promise_file)
    close_queue = Route(calls.close_queue)
    get_queue_access = Route(calls.get_queue_access)
    open_consumer = Route(calls.open_consumer)
    step_consumer = Route(calls.step_consumer)
    close_consumer = Route(calls.close_consumer)
    get_event_tail = Route(calls.get_event_tail)
    get_event_logs = Route(calls.get_event_logs)
    get_event = Route(calls.get_event)
    get_task = Route(calls.get_task)
    add_workers = Route(calls.add_workers)
    revise_task = Route(calls.revise_task)
    get_taskforce = Route(calls.get_taskforce)
    release_taskforce = Route(calls.release_taskforce)
    order_workers = Route(calls.order_workers)
    get_worker_order = Route(calls.get_worker_order)
    purge = Route(calls.purge)
    reset = Route(calls.reset)
    query = Route(calls.query)
    whoami = Route(calls.whoami)
    get_limits = Route(calls.get_limits)
    list_locations = Route(calls.list_locations)
    get_health = Route(calls.get_health)
    get_readiness = Route(calls.get_readiness)
    claim = Route(site_calls.claim)
    submitted = Route(site_calls.submitted)
    submit_failed = Route(site_calls.submit_failed)
    removed = Route(site_calls.removed)
    remove_failed = Route(site_calls.remove_failed)
    completed = Route(site_calls.completed)
    report = Route(site_calls.report)
    take_orders = Route(site_calls.take_orders)
    order_done = Route(site_calls.order_done)
