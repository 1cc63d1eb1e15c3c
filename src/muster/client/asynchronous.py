"""How does an asynchronous program speak to the service? A thin shell around the calls."""

import random
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self, TypeVar

import anyio
import httpx

from muster.client.address import Token, http_options, parse_address, render_silence, request_options
from muster.client.calls import Call
from muster.client.conversations import Delivery, Leaving, Pause, Publication, Turns
from muster.client.patience import Patience, Tries
from muster.client.routes import Routes
from muster.domain.errors import MusterError, UnavailableError

T = TypeVar("T")
E = TypeVar("E")


class AsyncClient(Routes):
    """Our door's client for asyncio and Trio; `async with AsyncClient(url, token) as client: await client.whoami()`.

    Args:
        url: base address, e.g. `http://127.0.0.1:8765`.
        token: what signs the caller in: a token, or `ClientCredentials`; None for the public calls only.
        patience: how long a service that does not answer is tried again.
        transport: of httpx; None for the network.
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        patience: Patience | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = parse_address(url)
        self._patience = patience or Patience()
        self._has_answered = False
        self._http = httpx.AsyncClient(transport=transport, **http_options(self._address, token))

    @property
    def url(self) -> str:
        return self._address.url

    async def send(self, call: Call[T]) -> T:
        """Carry a call out, again where that may help."""
        limit_s = self._patience.later_s if self._has_answered else self._patience.first_s
        tries = Tries(self.url, call.subject, limit_s=limit_s, now=anyio.current_time(), tell=self._patience.tell)
        request = self._http.build_request(**request_options(call))
        while True:  # `Tries` raises when its time is over
            try:
                response = await self._http.send(request)
            except httpx.TransportError as error:
                delay_s = tries.judge_silence(render_silence(error), now=anyio.current_time(), jitter=random.random())
            except UnavailableError as error:  # from what signs in
                delay_s = tries.judge_sign_in(error, now=anyio.current_time(), jitter=random.random())
            else:
                self._has_answered = True
                if response.is_success:
                    return call.read(response.content)
                delay_s = tries.judge_refusal(
                    response.status_code,
                    response.headers,
                    response.content,
                    now=anyio.current_time(),
                    jitter=random.random(),
                )
            await anyio.sleep(delay_s)

    async def hold(self, turns: Turns[E]) -> AsyncGenerator[E]:
        """Carry a conversation out; yields what it delivers. Leave with `aclose` (or `contextlib.aclosing`)."""
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
                    await anyio.sleep(delay_s)
                case Call():
                    try:
                        reply = await self.send(turn)
                    except MusterError as error:
                        fault = error

    async def conclude(self, publication: Publication) -> Publication:
        """Carry a publication out."""
        async for _ in self.hold(publication.turns()):
            raise AssertionError("a publication delivers nothing")
        return publication

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
