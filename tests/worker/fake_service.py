"""A service for workers' tests: the worker's protocol over real HTTP, before an honest queue in memory.

Held to the protocol: calls are numbered and a repeat gives the same answer again, a later call ends a parked one, results are judged by
fence, the first one counts, sessions end and come again. What the test wants to go wrong, it says.
"""

import base64
import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

TASK: dict[str, Any] = {
    "task_id": "TD-1",
    "image": "",
    "args": "true",
    "env": {},
    "init_image": "",
    "init_args": "",
    "init_env": {},
    "timeout_s": None,
    "warm": False,
    "max_events": 10_000,
    "infile_ext": "json",
    "outfile_ext": "json",
    "slots": 1,
    "n_cores": 1,
    "n_outputs": 1,
}
SECRET = "an enrolment secret"


@dataclass
class Event:
    """One event and all that became of it. `body`: its value, or its JSON text if it was published as such; `sent`: as it travels."""

    name: str
    kind: str
    body: Any
    sent: str
    queue: str = ""
    fence: int = 0
    attempts: int = 0
    state: str = "waiting"  # waiting, in work, done, dead
    holder: int | None = None
    call: int | None = None
    results: list[Any] = field(default_factory=list)
    result_texts: list[bytes] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    usages: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    leased_at: list[float] = field(default_factory=list)
    finished_at: list[float] = field(default_factory=list)


@dataclass
class Session:
    """One enrolment."""

    number: int
    token: str
    proc: int
    is_over: bool = False
    call: int = 0
    left: str | None = None
    isolation: str = ""


class FakeService:
    """Use as a context manager; `url` is its address."""

    def __init__(self, *, attempts: int = 3, lease_s: float = 60.0, batch: int = 16, **task: Any) -> None:
        self.task = {**TASK, **task}
        self.attempts = attempts
        self.lease_s = lease_s
        self.batch = batch
        self.events: dict[str, Event] = {}
        self.waiting: deque[Event] = deque()
        self.at_work: dict[str, Event] = {}
        self.counts: Counter[str] = Counter()
        self.sessions: list[Session] = []
        self.stop: dict[str, Any] | None = None
        self.come_back_s: float | None = None
        self.is_ended = False
        self.secret = SECRET
        self.is_held = False
        self.takes_usage = self.takes_output = True
        self.is_of_before = False
        """It knows nothing of usage and outputs, and yet another one said at the enrolment that it does."""
        self.fail_with: Callable[[str], int | None] = lambda path: None
        """Asked for each request's path: answer it with this status, and do nothing. -1: close the connection."""
        self.drop_answer: Callable[[str], bool] = lambda path: False
        """Asked once a request was carried out: close the connection instead of answering?"""
        self.requests: Counter[str] = Counter()
        self.superseded = 0
        self.parked = 0
        self.verdicts: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.watched: set[str] = set()
        self.tails: dict[str, list[dict[str, Any]]] = {}
        self.seen_tokens: set[str] = set()
        self.renewed: list[list[Any]] = []
        self.changed = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.fake = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.stop = self.stop or _stop("abort")
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # -- what tests say and ask ------------------------------------------------------------------------------------------

    def publish(self, *bodies: Any) -> list[Event]:
        """Events; `bytes` as such, anything else as JSON."""
        return self._publish(
            [
                ("bytes", body, base64.b64encode(body).decode())
                if isinstance(body, bytes)
                else ("json", body, json.dumps(body, ensure_ascii=False))
                for body in bodies
            ]
        )

    def publish_as_it_comes(self, kind: str, body: str) -> Event:
        """An event whose body is what no worker can read."""
        [event] = self._publish([(kind, body, body)])
        return event

    def publish_text(self, *texts: str) -> list[Event]:
        """Events whose JSON was written by somebody else than Python."""
        return self._publish([("json", text, text) for text in texts])

    def _publish(self, bodies: list[tuple[str, Any, str]]) -> list[Event]:
        made = []
        with self.changed:
            for kind, body, sent in bodies:
                event = Event(f"EV-{len(self.events) + 1:016x}", kind, body, sent)
                self.events[event.name] = event
                self.counts["waiting"] += 1
                self.waiting.append(event)
                made.append(event)
            self.changed.notify_all()
        return made

    def tell_to(self, word: str, *, grace_s: float = 20.0) -> None:
        """Tell workers to `finish` (their tasks have `grace_s` seconds) or `abort`."""
        with self.changed:
            self.stop = _stop(word, grace_s=grace_s)
            self.changed.notify_all()

    def end_session(self) -> None:
        """The newest session expires: what it holds goes back, counted."""
        with self.changed:
            self._end(self.sessions[-1], is_counted=True)
            self.changed.notify_all()

    def states(self) -> Counter[str]:
        """How many events are in each state."""
        with self.changed:
            return Counter({state: number for state, number in self.counts.items() if number})

    def wait(self, look: Callable[[], Any], what: str, *, deadline_s: float = 20.0) -> None:
        """Wait for something to be true of this service."""
        end = time.monotonic() + deadline_s
        with self.changed:
            while not look():
                left_s = end - time.monotonic()
                assert left_s > 0, f"not within {deadline_s} s: {what}; {self.counts}"
                self.changed.wait(min(left_s, 0.05))

    def wait_for(self, *, deadline_s: float = 20.0, **states: int) -> None:
        """Wait until so many events are in these states."""
        self.wait(
            lambda: all(self.counts[state.replace("_", " ")] >= number for state, number in states.items()),
            str(states),
            deadline_s=deadline_s,
        )

    def results(self) -> list[Any]:
        """All results, in order of publishing; bytes decoded."""
        return [_decode(result) for event in self.events.values() for result in event.results]

    def result_texts(self) -> list[bytes]:
        """The bodies of all results as they travelled, in order of publishing."""
        return [text for event in self.events.values() for text in event.result_texts]

    # -- the protocol ----------------------------------------------------------------------------------------------------

    def enrol(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert set(asked) == {
            *("protocol", "taskforce", "secret", "cluster", "proc", "start", "host", "site", "worker_version"),
        }
        if asked["secret"] != self.secret:
            return 403, {"code": "forbidden", "error": "the enrolment secret is not that of the taskforce"}
        if self.is_ended:
            return 403, {"code": "taskforce-ended", "error": "the taskforce takes no workers"}
        for former in self.sessions:
            if former.proc == asked["proc"]:
                self._end(former, is_counted=False)
        session = Session(len(self.sessions) + 1, f"token-{len(self.sessions) + 1}", asked["proc"])
        self.sessions.append(session)
        return 200, {
            "protocol": 1,
            "session": str(session.number),
            "token": session.token,
            "token_ttl_s": 3600,
            "lease_s": self.lease_s,
            "batch": self.batch,
            "task": self.task,
            **({"takes_usage": True} if self.takes_usage else {}),
            **({"takes_output": True} if self.takes_output else {}),
            **({"takes_isolation": True} if not self.is_of_before else {}),
        }

    def step(self, session: Session, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert set(asked) - {"isolation"} == {"call", "finished", "want", "wait_s"}
        assert ("isolation" in asked) == (asked["call"] == 1 and not self.is_of_before)
        session.isolation = asked.get("isolation", session.isolation)
        if self.is_of_before and any({"usage", "output"} & one.keys() for one in asked["finished"]):
            return 422, {"code": "invalid", "error": "the request has faults", "findings": []}
        call, want = asked["call"], asked["want"]
        is_newest = call > session.call
        session.call = max(session.call, call)
        self.changed.notify_all()  # a call that is parked ends now
        verdicts = [self._judge(session, one) for one in asked["finished"]]
        again = [event for event in self.at_work.values() if (event.holder, event.call) == (session.number, call)]
        end = time.monotonic() + asked["wait_s"]
        leases = again if not is_newest else []
        come_back_s = None
        if is_newest and not self.stop:
            leases = self._lease(session, call, want)
            if not leases and want and asked["wait_s"]:
                if self.come_back_s is not None:
                    come_back_s = self.come_back_s
                else:
                    leases = self._park(session, call, want, end)
        if session.is_over:
            return 410, {"code": "session-ended", "error": "the session is over"}
        return 200, {
            "call": call,
            "verdicts": verdicts,
            "events": [_render(event, self.attempts) for event in leases],
            "come_back_s": come_back_s,
            "stop": self.stop,
            "held": self.is_held,
        }

    def hold(self, *, is_held: bool) -> None:
        """Give no events from now on; or give them again."""
        with self.changed:
            self.is_held = is_held
            self.changed.notify_all()

    def _park(self, session: Session, call: int, want: int, end: float) -> list[Event]:
        self.parked += 1
        try:
            while time.monotonic() < end and not self.stop and not session.is_over:
                self.changed.wait(max(0.0, min(1.0, end - time.monotonic())))
                if session.call > call:
                    self.superseded += 1
                    return []
                if leases := self._lease(session, call, want):
                    return leases
            return []
        finally:
            self.parked -= 1

    def renew(self, session: Session, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert asked.keys() - {"tails"} == {"held"}
        if self.is_of_before and "tails" in asked:
            return 422, {"code": "invalid", "error": "the request has faults", "findings": []}
        self.renewed.append(asked["held"])
        assert {one["event"] for one in asked.get("tails", ())} <= self.watched
        for one in asked.get("tails", ()):
            self.tails.setdefault(one["event"], []).append(one)
        lost = [
            name
            for name, fence in asked["held"]
            if name in self.lost
            or (
                (self.events[name].holder, self.events[name].fence) != (session.number, fence)
                and self.events[name].state != "done"
            )
        ]
        self.changed.notify_all()
        watched = sorted({name for name, _ in asked["held"]} & self.watched)
        told = {"stop": self.stop, "token": None, "held": self.is_held, "watched": watched}
        return 200, {"lease_s": self.lease_s, "lost": lost, **told}

    def leave(self, session: Session, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert set(asked) == {"reason"}
        session.left = asked["reason"]
        self._end(session, is_counted=False)
        return 200, {}

    def _lease(self, session: Session, call: int, want: int) -> list[Event]:
        taken: list[Event] = []
        while self.waiting and not self.is_held and len(taken) < want:
            event = self.waiting.popleft()
            self._move(event, "in work")
            event.holder, event.call = session.number, call
            event.fence += 1
            event.leased_at.append(time.monotonic())
            taken.append(event)
        self.changed.notify_all()
        return taken

    def _judge(self, session: Session, one: dict[str, Any]) -> str:
        fields = {"event", "fence", "outcome", "results", "error", "wall_s", "result_texts"}
        known = (
            fields
            | {"final"}
            | ({"usage"} if self.takes_usage else set())
            | ({"output"} if self.takes_output else set())
        )
        assert fields <= set(one) <= known, one
        assert one["outcome"] == "failed" or "output" not in one
        assert (one["error"] is not None) == (one["outcome"] == "failed")
        assert one["outcome"] == "done" or not one["results"]
        event = self.events[one["event"]]
        event.usages.append(one.get("usage"))
        event.outputs.append(one.get("output"))
        verdict = self._verdict(session, event, one)
        event.history.append(verdict)
        self.verdicts[verdict] += 1
        self.changed.notify_all()
        return verdict

    def _verdict(self, session: Session, event: Event, one: dict[str, Any]) -> str:
        is_current = event.state == "in work" and event.fence == one["fence"] and event.holder == session.number
        if event.state == "done":
            return "done" if event.fence == one["fence"] else "duplicate"
        if one["outcome"] == "done":
            event.finished_at.append(time.monotonic())
            if event.state == "waiting":
                self.waiting.remove(event)
            self._move(event, "done")
            event.holder, event.results = None, one["results"]
            event.result_texts = one["result_texts"]
            event.fence = one["fence"]
            return "done" if is_current else "late"
        if not is_current:
            return "stale"
        if one["outcome"] == "released":
            self._requeue(event)
            return "requeued"
        event.errors.append(one["error"])
        event.attempts += 1
        event.finished_at.append(time.monotonic())
        if event.attempts >= self.attempts or one.get("final"):
            self._move(event, "dead")
            event.holder = None
            return "dead"
        self._requeue(event)
        return "requeued"

    def _move(self, event: Event, state: str) -> None:
        self.counts[event.state] -= 1
        self.counts[state] += 1
        event.state = state
        self.at_work.pop(event.name, None)
        if state == "in work":
            self.at_work[event.name] = event

    def _requeue(self, event: Event) -> None:
        self._move(event, "waiting")
        event.holder, event.call = None, None
        self.waiting.appendleft(event)

    def _end(self, session: Session, *, is_counted: bool) -> None:
        session.is_over = True
        for event in list(self.at_work.values()):
            if event.holder == session.number:
                event.attempts += is_counted
                self._requeue(event)


def _stop(word: str, *, grace_s: float = 0.0) -> dict[str, Any]:
    return {"how": word, "grace_s": grace_s if word == "finish" else 0.0}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    fake: FakeService

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A worker that is killed leaves broken connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        fake = self.server.fake
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.path.rpartition("/")[2]
        with fake.changed:
            fake.requests[name] += 1
            status = fake.fail_with(name)
        if status == -1:
            self.close_connection = True
            return
        answer: dict[str, Any] = {"code": "unavailable", "error": "as the test wants it"}
        if status is None:
            status, answer = self._answer(fake, name, _parse(raw))
        with fake.changed:
            if fake.drop_answer(name):
                self.close_connection = True
                return
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, fake: FakeService, name: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert self.path == f"/muster/v1/worker/{name}"
        with fake.changed:
            if name == "enrol":
                return fake.enrol(asked)
            token = self.headers["Authorization"].removeprefix("Bearer ")
            fake.seen_tokens.add(token)
            session = next((one for one in fake.sessions if one.token == token), None)
            if session is None:
                return 401, {"code": "unauthenticated", "error": "no such token"}
            if session.is_over:
                return 410, {"code": "session-ended", "error": "the session is over"}
            return getattr(fake, name)(session, asked)  # type: ignore[no-any-return]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


class _Result(msgspec.Struct):
    body: msgspec.Raw


class _Attempt(msgspec.Struct):
    results: list[_Result]


class _Request(msgspec.Struct):
    finished: list[_Attempt] = []


def _parse(raw: bytes) -> dict[str, Any]:
    """A request, with each result's text beside its value."""
    asked: dict[str, Any] = json.loads(raw)
    for attempt, one in zip(asked.get("finished", ()), msgspec.json.decode(raw, type=_Request).finished, strict=True):
        attempt["result_texts"] = [bytes(result.body) for result in one.results]
    return asked


def _render(event: Event, limit: int) -> dict[str, Any]:
    return {
        "event": event.name,
        "fence": event.fence,
        "attempt": event.attempts + 1,
        "limit": limit,
        "key": None,
        "alone": False,
        "kind": event.kind,
        "body": event.sent,
        **({"queue": event.queue} if event.queue else {}),
    }


def _decode(result: dict[str, Any]) -> Any:
    assert set(result) == {"kind", "body"}
    return base64.b64decode(result["body"]) if result["kind"] == "bytes" else result["body"]
