"""How does a worker speak with a service that may be gone for a while? The protocol's calls, made until there is an answer."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Tuple, TypeVar

from muster.worker import protocol
from muster.worker.link import Address, Link, LinkError, Reply
from muster.worker.log_lines import LogLines
from muster.worker.messages import MalformedError, parse_problem

T = TypeVar("T")

FIRST_S, DELAY_S_MAX = 0.05, 10.0
ANSWER_S = 30.0
"""Seconds to wait for an answer, over the time for which the service was asked to park the call."""
RETRIED = frozenset({408, 425, 429, *range(500, 600)})
"""The service answers no 5xx for what is wrong with a call (conventions.md): so these are worth another try."""


class GaveUpError(Exception):
    """The service did not answer for as long as we were told to wait."""


class SessionEndedError(Exception):
    """The session is over, or its token is: enrol again."""


class RefusedError(Exception):
    """The service will not have this call, whoever repeats it. `code`: the problem's word."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(f"the service answered {status}: {text or code}")
        self.status = status
        self.code = code
        self.text = text


@dataclass
class Session:
    """One enrolment.

    Args:
        epoch: counts them.
        token: is replaced by renewals.
        stepped_at: when the last step was sent that was answered (monotonic): from then on the session had a whole lease.
        takes_usage, takes_output, takes_isolation: see `messages.Enrolled`.
        watched: events whose output somebody looks at, as the last renewal said.
    """

    epoch: int
    token: str
    lease_s: float
    stepped_at: float = 0.0
    takes_usage: bool = False
    takes_output: bool = False
    takes_isolation: bool = False
    watched: Sequence[str] = ()


class Patience:
    """How long may calls be repeated? Shared by all calls of a worker; any thread."""

    def __init__(self, *, offline_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._offline_s = offline_s
        self.troubled_at: Optional[float] = None
        """Since when there was no answer that says anything; None: the last one did."""
        self._give_up_at: Optional[float] = None
        self._hurry = threading.Event()

    def note_answer(self) -> None:
        """The service is there."""
        self.troubled_at = None

    def note_trouble(self) -> None:
        """A call got no answer that says anything."""
        if self.troubled_at is None:
            self.troubled_at = self._clock()

    def limit(self, seconds: float) -> None:
        """Whatever is unanswered that long from now is given up; waits are cut short."""
        self._give_up_at = self._clock() + seconds
        self._hurry.set()

    def limit_once(self, seconds: float) -> None:
        """The same, unless there is a limit already."""
        if self._give_up_at is None:
            self.limit(seconds)

    def has_left(self) -> bool:
        """May a call be repeated?"""
        now = self._clock()
        is_offline = self.troubled_at is not None and now - self.troubled_at >= self._offline_s
        return not is_offline and (self._give_up_at is None or now < self._give_up_at)

    def wait(self, seconds: float) -> None:
        """Wait before a repeat, or shorter in a hurry."""
        if self._hurry.is_set():
            time.sleep(min(seconds, 0.2))
        else:
            self._hurry.wait(seconds)


class Caller:
    """Makes calls over a link of its own. For one thread. `on_repeat` is called when a troubled call is made once more."""

    def __init__(
        self, address: Address, patience: Patience, log: LogLines, *, on_repeat: Callable[[], None] = lambda: None
    ) -> None:
        self.link = Link(address)
        self._patience = patience
        self._log = log
        self._on_repeat = on_repeat
        self.is_troubled = False
        """The last try got no answer, and the next one was not made yet. Read by others."""
        self.sent_at = 0.0
        """When the last try was made (monotonic). Read by others."""

    def note_start(self) -> None:
        """A call is about to be made."""
        self.is_troubled = False
        self.sent_at = time.monotonic()

    def call(
        self,
        path: str,
        body: bytes,
        parse: Callable[[bytes], T],
        *,
        session: Optional[Session] = None,
        park_s: float = 0.0,
        on_sent: Optional[Callable[[], None]] = None,
    ) -> T:
        """Make one call, the same again until it is answered.

        Raises GaveUpError, SessionEndedError (only with a session), RefusedError.
        """
        tries = 0
        while True:
            reply, reason = self._try(path, body, session, park_s, on_sent)
            if reply is not None and 200 <= reply.status < 300:
                answer, reason = _parse(parse, reply.body)
                if answer is not None:
                    self._patience.note_answer()
                    return answer
            elif reply is not None and reply.status not in RETRIED:
                self._patience.note_answer()
                raise _judge(reply, has_session=session is not None)
            self._patience.note_trouble()
            if not self._patience.has_left():
                raise GaveUpError(f"no answer to {path.rpartition('/')[2]}: {reason}")
            if reason == _STALE and tries == 0:
                tries += 1
                continue  # the service had closed a connection that was idle: nothing to wait for
            self._wait(tries, reply, path, reason)
            tries += 1

    def _try(
        self,
        path: str,
        body: bytes,
        session: Optional[Session],
        park_s: float,
        on_sent: Optional[Callable[[], None]],
    ) -> "Tuple[Optional[Reply], str]":
        token = session.token if session is not None else ""
        was_troubled = self.is_troubled
        self.note_start()
        if was_troubled:
            self._on_repeat()
        try:
            reply = self.link.post(path, body, token=token, timeout_s=ANSWER_S + park_s, on_sent=on_sent)
        except LinkError as error:
            return None, _STALE if error.is_stale else str(error)
        return reply, f"status {reply.status}"

    def _wait(self, tries: int, reply: Optional[Reply], path: str, reason: str) -> None:
        self.is_troubled = True
        longest_s = min(DELAY_S_MAX, FIRST_S * 2.0 ** min(tries, 16))
        delay_s = longest_s * (0.5 + random.random())
        if reply is not None and reply.retry_after_s is not None:
            delay_s = max(delay_s, reply.retry_after_s * (1 + 0.3 * random.random()))
        self._log.tell("the service does not answer", call=path, reason=reason, tries=tries + 1)
        self._patience.wait(delay_s)


_STALE = "the connection was closed"


def _parse(parse: Callable[[bytes], T], body: bytes) -> "Tuple[Optional[T], str]":
    try:
        return parse(body), ""
    except MalformedError as error:
        return None, f"an answer that is none: {error}"


def _judge(reply: Reply, *, has_session: bool) -> Exception:
    code, text = parse_problem(reply.body)
    if has_session and reply.status in (protocol.SESSION_ENDED, 401, 403):
        return SessionEndedError(text)
    return RefusedError(reply.status, code, text)
