"""How does a plain, synchronous program speak to the service? A thin shell around the calls."""

import random
import time
from collections.abc import Generator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from muster.client.address import Token, http_options, parse_address, render_silence, request_options
from muster.client.calls import Call
from muster.client.conversations import Delivery, Leaving, Pause, Publication, Turns
from muster.client.patience import Patience, Tries
from muster.client.routes import Routes
from muster.domain.errors import MusterError, UnavailableError

T = TypeVar("T")
E = TypeVar("E")


class Client(Routes):
    """Our door's client; `with Client(url, token) as client: client.whoami()`. Arguments as of `AsyncClient`."""

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._address = parse_address(url)
        self._patience = patience or Patience()
        self._has_answered = False
        self._http = httpx.Client(transport=transport, **http_options(self._address, token))

    @property
    def url(self) -> str:
        return self._address.url

    def send(self, call: Call[T]) -> T:
        """Carry a call out, again where that may help."""
        limit_s = self._patience.later_s if self._has_answered else self._patience.first_s
        tries = Tries(self.url, call.subject, limit_s=limit_s, now=time.monotonic(), tell=self._patience.tell)
        request = self._http.build_request(**request_options(call))
        while True:  # `Tries` raises when its time is over
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                delay_s = tries.judge_silence(render_silence(error), now=time.monotonic(), jitter=random.random())
            except UnavailableError as error:  # from what signs in
                delay_s = tries.judge_sign_in(error, now=time.monotonic(), jitter=random.random())
            else:
                self._has_answered = True
                if response.is_success:
                    return call.read(response.content)
                delay_s = tries.judge_refusal(
                    response.status_code,
                    response.headers,
                    response.content,
                    now=time.monotonic(),
                    jitter=random.random(),
                )
            time.sleep(delay_s)

    def hold(self, turns: Turns[E]) -> Generator[E]:
        """Carry a conversation out; yields what it delivers. Leave with `close` (or `contextlib.closing`)."""
        reply: object = None
        fault: Exception | None = None
        while True:  # the conversation ends itself
            try:
                turn = turns.send(reply) if fault is None else turns.throw(fault)
            except StopIteration:
                return
            reply, fault = None, None
            match turn:
                case Delivery(event=event):
                    try:
                        yield event
                    except GeneratorExit:
                        fault = Leaving()
                case Pause(delay_s=delay_s):
                    time.sleep(delay_s)
                case Call():
                    try:
                        reply = self.send(turn)
                    except MusterError as error:
                        fault = error

    def conclude(self, publication: Publication) -> Publication:
        """Carry a publication out."""
        for _ in self.hold(publication.turns()):
            raise AssertionError("a publication delivers nothing")
        return publication

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
