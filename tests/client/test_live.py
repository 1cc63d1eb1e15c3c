"""Is each notice given once, in order, however often the stream breaks off? Played without a network, then over a real one."""

import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.scripted_service import DROP, Stream, run_scripted
from muster.client import live
from muster.client.asynchronous import AsyncClient
from muster.client.call import Call
from muster.client.calls import EVENTS, get_progress
from muster.client.conversations import Delivery, Hear, Leaving, Listen, Opened, Pause, SilentError, Turns
from muster.client.live import UNHEARD_MAX, Listening, LiveMessage, NoStreamError
from muster.client.shapes.account import CountsView
from muster.client.shapes.stream import EndView, GapView, NoticeView
from muster.client.shapes.workflows import Progress
from muster.client.synchronous import Client
from muster.domain.errors import NotFoundError, RejectedError, UnavailableError
from muster.server.doors.event_stream import RETRY, SIGN_OF_LIFE, render_event, render_id

WF = "WF-1-2"
NONE = CountsView(0, 0, 0, 0, 0, 0, 0)


def a_progress(number: int, state: str = "active") -> Progress:
    return Progress(WF, state, f"t{number}", float(number), 1, NONE, [], {}, 0, None)


def a_notice(number: int) -> NoticeView:
    return NoticeView(f"0.{number:x}", WF, "taskforce.phase", 0.5, {"n": number})


def write_progress(progress: Progress) -> bytes:
    return render_event("progress", msgspec.json.encode(progress))


def write_notice(notice: NoticeView) -> bytes:
    return render_event(notice.kind, msgspec.json.encode(notice), id_=notice.id)


END = render_event("end", msgspec.json.encode(EndView(WF, "finished")), id_="0.ff.end")
OPENING = RETRY + write_progress(a_progress(1))


@dataclass
class Service:
    """An honest service that keeps notices, and a network that cuts its streams.

    Args:
        cuts: how many bytes each stream brings before it breaks off; afterwards they are whole.
        sizes: of the pieces in which they come.
    """

    notices: Sequence[NoticeView]
    cuts: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=lambda: [1000])
    pauses: list[float] = field(default_factory=list)
    calls: list[Call[Any]] = field(default_factory=list)
    left: bytes = b""
    refusals: list[Exception] = field(default_factory=list)
    media_type: str = EVENTS
    is_silent: bool = False

    def answer(self, turn: Call[Any] | Listen | Hear | Pause) -> Any:
        match turn:
            case Pause(delay_s=delay_s):
                self.pauses.append(delay_s)
                return None
            case Hear():
                return self._give()
            case Listen(call=call):
                self.calls.append(call)
                return self._open(call)
            case Call():
                self.calls.append(turn)
                progress = a_progress(len(self.calls), "finished" if len(self.calls) > 4 else "active")
                return turn.read(msgspec.json.encode(progress))

    def _open(self, call: Call[Any]) -> Opened:
        if self.refusals:
            raise self.refusals.pop(0)
        last_id = call.headers.get("Last-Event-ID", "")
        if last_id.endswith(".end"):
            return Opened(204, "")
        begun = int(last_id.removeprefix("0."), 16) if last_id else 0
        if call.query.get("after") == "now" and not last_id:
            begun = len(self.notices)
            last_id = f"0.{begun:x}"
        whole = OPENING + (render_id(last_id) if last_id else b"")
        whole += b"".join(SIGN_OF_LIFE + write_notice(one) for one in self.notices[begun:])
        whole += write_progress(a_progress(2, "finished")) + END
        self.left = whole if not self.cuts else whole[: self.cuts.pop(0)]
        return Opened(200, self.media_type)

    def _give(self) -> bytes:
        if self.is_silent and not self.left:
            raise SilentError("nothing comes")
        size = self.sizes[0]
        self.sizes.append(self.sizes.pop(0))
        piece, self.left = self.left[:size], self.left[size:]
        return piece


def play(turns: Turns[LiveMessage], service: Service, *, leave_after: int | None = None) -> list[LiveMessage]:
    """Carry a conversation out as the clients do."""
    delivered: list[LiveMessage] = []
    reply: Any = None
    fault: Exception | None = None
    for _ in range(100_000):
        try:
            turn = turns.send(reply) if fault is None else turns.throw(fault)
        except StopIteration:
            return delivered
        reply, fault = None, None
        if isinstance(turn, Delivery):
            delivered.append(turn.event)
            if leave_after is not None and len(delivered) >= leave_after:
                fault = Leaving()
            continue
        try:
            reply = service.answer(turn)
        except UnavailableError as error:
            fault = error
        except (NotFoundError, RejectedError) as error:
            fault = error
    raise AssertionError("the conversation does not end")


# -- the conversation -----------------------------------------------------------------------------------------------------


@given(
    count=st.integers(0, 12),
    cuts=st.lists(st.integers(1, 3000), max_size=30),
    sizes=st.lists(st.integers(1, 500), min_size=1, max_size=10),
)
def test_each_notice_is_given_once_and_in_order_wherever_streams_break_off(
    count: int, cuts: list[int], sizes: list[int]
) -> None:
    notices = [a_notice(number) for number in range(1, count + 1)]

    given_ = play(live.stream(WF), Service(notices, [*cuts], sizes))

    assert [one for one in given_ if isinstance(one, NoticeView)] == notices
    assert [one.token for one in given_ if isinstance(one, Progress)] == ["t1", "t2"] or cuts
    last = [one for one in given_ if isinstance(one, Progress)][-1]
    assert last.state == "finished"


def test_a_stream_that_breaks_off_is_opened_again_behind_the_last_notice_after_the_pause_that_it_wants() -> None:
    notices = [a_notice(number) for number in range(1, 4)]
    cut = len(OPENING + SIGN_OF_LIFE + write_notice(notices[0]))
    service = Service(notices, cuts=[cut])

    play(live.stream(WF), service)

    assert [(one.path, one.query, one.headers.get("Last-Event-ID")) for one in service.calls] == [
        (f"/muster/v1/workflows/{WF}/stream", {}, None),
        (f"/muster/v1/workflows/{WF}/stream", {}, "0.1"),
    ]
    assert service.calls[0].headers["Accept"] == "text/event-stream"
    assert service.pauses == [1.0]


def test_a_stream_that_breaks_off_is_opened_again_behind_an_id_that_came_alone() -> None:
    """It says where it has begun before anything happens; what happened while nobody listened is told."""
    notices = [a_notice(number) for number in range(1, 4)]
    service = Service(notices[:1], cuts=[len(OPENING + render_id("0.1"))])

    turns = live.stream(WF, after="now")
    given_ = play(_told_meanwhile(turns, service, notices), service)

    assert [one.headers.get("Last-Event-ID") for one in service.calls] == [None, "0.1"]
    assert [one for one in given_ if isinstance(one, NoticeView)] == notices[1:]


def _told_meanwhile(turns: Turns[LiveMessage], service: Service, notices: Sequence[NoticeView]) -> Turns[LiveMessage]:
    """The conversation, with all of these there from its first pause on."""
    turn = next(turns)
    while True:  # the conversation ends it
        if isinstance(turn, Pause):
            service.notices = notices
        try:
            turn = turns.send((yield turn))
        except StopIteration:
            return


@pytest.mark.parametrize("after", ["0.2", "now"])
def test_listening_begins_where_it_is_asked_to(after: str) -> None:
    notices = [a_notice(number) for number in range(1, 4)]
    service = Service(notices, cuts=[len(OPENING) + 8])

    given_ = play(live.stream(WF, after=after), service)

    assert [one.query["after"] for one in service.calls] == [after, after]
    if after == "now":
        assert [one for one in given_ if isinstance(one, NoticeView)] == []


def test_where_the_service_says_that_all_was_told_nothing_is_given() -> None:
    service = Service([])
    listening = Listening(WF)
    listening._last_id = "0.1.end"

    assert play(listening.turns(), service) == []


def test_a_gap_is_told_and_what_is_not_known_is_passed_over() -> None:
    gap = GapView(WF, "0.9")
    service = Service([])
    service.left = b""
    whole = [
        OPENING,
        render_event("gap", msgspec.json.encode(gap), id_="0.0"),
        render_event("weather", b"fine"),
        render_event("robot.moved", msgspec.json.encode(NoticeView("0.1", WF, "robot.moved", 1.0, {"x": 2}))),
        END,
    ]

    given_ = _hear_all(whole)

    assert given_ == [a_progress(1), gap, NoticeView("0.1", WF, "robot.moved", 1.0, {"x": 2})]


def test_what_is_no_message_of_musters_is_told() -> None:
    for event in (render_event("progress", b"{}"), render_event("a.b", b"<html>"), render_event("gap", b"[]")):
        with pytest.raises(UnavailableError, match="not one of Muster's"):
            _hear_all([event])


def _hear_all(pieces: Sequence[bytes]) -> list[LiveMessage]:
    service = Service([])
    left = list(pieces)
    service._give = lambda: left.pop(0) if left else b""  # type: ignore[method-assign]
    return play(live.stream(WF), service)


@pytest.mark.parametrize(
    ("service", "tries"),
    [
        (Service([], cuts=[0] * 99), UNHEARD_MAX),
        (Service([a_notice(1)], cuts=[len(OPENING)] + [0] * 99), 1 + UNHEARD_MAX),
        (Service([], cuts=[0] * 99, is_silent=True), 1),
        (Service([a_notice(1)], cuts=[len(OPENING)] + [0] * 99, is_silent=True), 1 + UNHEARD_MAX),
    ],
    ids=["breaks off", "breaks off later", "is silent", "is silent later"],
)
def test_a_stream_that_brings_nothing_is_given_up(service: Service, tries: int) -> None:
    with pytest.raises(NoStreamError, match=f"the stream of workflow {WF} brings nothing: does a proxy hold it back"):
        play(live.stream(WF), service)

    assert len(service.calls) == tries


@given(st.integers(0, UNHEARD_MAX - 1))
def test_a_service_that_ends_before_its_first_word_is_heard_when_it_is_back(ends: int) -> None:
    notices = [a_notice(1), a_notice(2)]

    given_ = play(live.follow(WF, notices=True), Service(notices, cuts=[0] * ends + [10_000]))

    assert [one for one in given_ if isinstance(one, NoticeView)] == notices


def test_a_stream_that_is_silent_is_opened_again_if_it_was_heard() -> None:
    notices = [a_notice(number) for number in range(1, 4)]
    service = Service(notices, cuts=[len(OPENING + SIGN_OF_LIFE + write_notice(notices[0]))], is_silent=True)

    given_ = play(live.stream(WF), service)

    assert [one for one in given_ if isinstance(one, NoticeView)] == notices


# -- following, also without a stream ----------------------------------------------------------------------------------------


def test_one_who_follows_is_given_the_progress_alone_and_ends_with_the_workflow() -> None:
    service = Service([a_notice(1)])

    given_ = play(live.follow(WF), service)

    assert given_ == [a_progress(1), a_progress(2, "finished")]
    assert [one.path.rpartition("/")[2] for one in service.calls] == ["progress", "stream"]
    assert service.calls[1].query == {"after": "now"}


def test_one_who_follows_with_notices_is_given_all_to_the_end_of_the_stream() -> None:
    notices = [a_notice(number) for number in range(1, 4)]
    service = Service(notices, cuts=[300, 400])

    given_ = play(live.follow(WF, notices=True), service)

    assert [one for one in given_ if isinstance(one, NoticeView)] == notices
    assert [one.token for one in given_ if isinstance(one, Progress)] == ["t1", "t2"]


def test_a_workflow_that_is_over_needs_no_stream() -> None:
    service = Service([])
    service.calls = [get_progress(WF)] * 4

    given_ = play(live.follow(WF), service)

    assert given_ == [a_progress(5, "finished")]


@pytest.mark.parametrize(
    "service",
    [
        Service([], refusals=[NotFoundError("no such route")]),
        Service([], refusals=[RejectedError("405")]),
        Service([], refusals=[SilentError("not even a head")]),
        Service([], cuts=[0], is_silent=True),
        Service([], media_type="text/html"),
    ],
    ids=["an older service", "a proxy that refuses", "a proxy that holds the head back", "a proxy that holds all back", "a page"],
)  # fmt: skip
def test_where_no_stream_comes_through_calls_are_parked(service: Service) -> None:
    reasons: list[str] = []

    given_ = play(live.follow(WF, on_poll=reasons.append), service)

    assert [(one.token, one.state) for one in given_ if isinstance(one, Progress)] == [
        ("t1", "active"),
        ("t3", "active"),
        ("t4", "active"),
        ("t5", "finished"),
    ]
    assert [one.query for one in service.calls[2:]] == [
        {"seen": "t1", "wait_s": "10.0"},
        {"seen": "t3", "wait_s": "10.0"},
        {"seen": "t4", "wait_s": "10.0"},
    ]
    assert len(reasons) == 1


def test_a_workflow_that_is_not_there_is_told_as_such() -> None:
    service = Service([], refusals=[NotFoundError("no such route")])

    def answer(_: object) -> None:
        raise NotFoundError("no such workflow")

    service.answer = answer  # type: ignore[method-assign,assignment]

    with pytest.raises(NotFoundError, match="no such workflow"):
        play(live.follow(WF), service)


@given(st.integers(1, 5))
def test_one_who_leaves_is_asked_for_nothing_more(count: int) -> None:
    service = Service([a_notice(number) for number in range(1, 9)])

    assert len(play(live.stream(WF), service, leave_after=count)) == count
    assert len(service.calls) == 1


# -- over a network -----------------------------------------------------------------------------------------------------------

Hold = Callable[..., list[LiveMessage]]


def _hold_plainly(url: str, begin: Callable[[Any], Any], *, count: int | None = None) -> list[LiveMessage]:
    taken: list[LiveMessage] = []
    with Client(url, "t0ken") as client, contextlib.closing(begin(client)) as messages:
        for message in messages:
            taken.append(message)
            if len(taken) == count:
                break
    return taken


def _hold_asynchronously(
    url: str, begin: Callable[[Any], Any], *, count: int | None = None, backend: str = "asyncio"
) -> list[LiveMessage]:
    taken: list[LiveMessage] = []

    async def run() -> None:
        async with AsyncClient(url, "t0ken") as client, contextlib.aclosing(begin(client)) as messages:
            async for message in messages:
                taken.append(message)
                if len(taken) == count:
                    break

    anyio.run(run, backend=backend)
    return taken


def _hold_on_trio(url: str, begin: Callable[[Any], Any], *, count: int | None = None) -> list[LiveMessage]:
    return _hold_asynchronously(url, begin, count=count, backend="trio")


@pytest.fixture(params=[_hold_plainly, _hold_asynchronously, _hold_on_trio])
def hold(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hold]:
    monkeypatch.setattr(live, "SILENT_S", 0.5)
    yield cast("Hold", request.param)
    gc.collect()  # what was left open complains now


def test_a_stream_that_is_cut_is_heard_whole(hold: Hold) -> None:
    notices = [a_notice(number) for number in range(1, 4)]
    first, second = write_notice(notices[0]), write_notice(notices[1])
    answers = [
        Stream([b"retry: 0\n\n" + OPENING[13:], first[:-1], first[-1:] + second[:20]], end="broken"),
        DROP,
        Stream([b"retry: 0\n\n", second], end="whole"),
        Stream([b"retry: 0\n\n", write_notice(notices[2])], end="silent"),
        (204, b""),
    ]
    with run_scripted(*answers) as service:
        taken = hold(service.url, lambda client: client.stream(WF))

    assert taken == [a_progress(1), *notices]
    assert [one.headers.get("last-event-id") for one in service.asked] == [None, "0.1", "0.1", "0.2", "0.3"]
    assert {one.headers["accept"] for one in service.asked} == {"text/event-stream"}
    assert {one.headers["authorization"] for one in service.asked} == {"Bearer t0ken"}


def test_one_who_leaves_closes_the_stream(hold: Hold) -> None:
    with run_scripted(Stream([OPENING], end="silent")) as service:
        assert hold(service.url, lambda client: client.stream(WF), count=1) == [a_progress(1)]

    assert len(service.asked) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_listener_that_is_cancelled_closes_the_stream(backend: str) -> None:
    async def run(url: str) -> None:
        async with AsyncClient(url) as client, anyio.create_task_group() as group:

            async def listen() -> None:
                async for message in client.stream(WF):
                    assert message == a_progress(1)
                    is_heard.set()

            is_heard = anyio.Event()
            group.start_soon(listen)
            await is_heard.wait()
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    with run_scripted(Stream([OPENING], end="silent")) as service:
        anyio.run(run, service.url, backend=backend)
    gc.collect()

    assert len(service.asked) == 1


def test_a_refusal_is_read_and_raised(hold: Hold) -> None:
    with (
        run_scripted((404, {"code": "not-found", "error": "no workflow is named so"})) as service,
        pytest.raises(NotFoundError, match="no workflow is named so"),
    ):
        hold(service.url, lambda client: client.stream(WF))


def test_a_proxy_that_holds_a_stream_back_is_got_round(hold: Hold) -> None:
    answers = [(200, a_progress(1)), Stream([], end="silent"), (200, a_progress(2, "finished"))]
    with run_scripted(*answers) as service:
        taken = hold(service.url, lambda client: client.follow(WF))

    assert taken == [a_progress(1), a_progress(2, "finished")]
    assert [one.target.rpartition("/")[2] for one in service.asked] == [
        "progress",
        "stream?after=now",
        "progress?seen=t1&wait_s=10.0",
    ]


def test_a_page_in_place_of_a_stream_is_told(hold: Hold) -> None:
    with (
        run_scripted(Stream([b"<html>"], media_type="text/html; charset=utf-8")) as service,
        pytest.raises(NoStreamError, match="not a stream of Muster's: it is text/html"),
    ):
        hold(service.url, lambda client: client.stream(WF))
