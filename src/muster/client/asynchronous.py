"""How does an asynchronous program speak to the service? A thin shell around the calls."""

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from muster.client import file_calls
from muster.client.address import (
    Token,
    http_options,
    is_untrusted,
    parse_address,
    read_head,
    render_silence,
    request_options,
)
from muster.client.call import Call
from muster.client.conversations import Delivery, Hear, Leaving, Listen, Opened, Pause, Publication, SilentError, Turns
from muster.client.file_transfer import CHECKSUM_HEADER, TRIES, AsyncPieces, BrokenOffError, Landing, measure
from muster.client.patience import Patience, Tries
from muster.client.routes import Routes
from muster.client.shapes.files import Content, FileView
from muster.domain.errors import MusterError, UnavailableError

T = TypeVar("T")
E = TypeVar("E")


class AsyncClient(Routes):
    """Our door's client for asyncio and Trio; `async with AsyncClient(url, token) as client: await client.whoami()`.

    Args:
        url: base address, e.g. `http://127.0.0.1:8765`.
        token: what signs the caller in: a token, or `ClientCredentials`; None for the public calls only.
        patience: how long a service that does not answer is tried again.
        token_from: where the token is from, for the messages of those that are refused; empty: that is not told.
        transport: of httpx; None for the network.
    """

    def __init__(
        self,
        url: str,
        token: Token = None,
        *,
        patience: Patience | None = None,
        token_from: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._address = parse_address(url)
        self._patience = patience or Patience()
        self._token_from = token_from
        self._has_answered = False
        self._http = httpx.AsyncClient(transport=transport, **http_options(self._address, token))

    @property
    def url(self) -> str:
        return self._address.url

    async def send(self, call: Call[T]) -> T:
        """Carry a call out, again where that may help."""
        return call.read((await self._ask(call, self._http.build_request(**request_options(call)))).content)

    async def _ask(self, call: Call[T], request: httpx.Request, *, is_stream: bool = False) -> httpx.Response:
        """An answer that is a success; that of a stream is still to be read."""
        limit_s = self._patience.later_s if self._has_answered else self._patience.first_s
        tries = Tries(
            self.url,
            call.subject,
            limit_s=limit_s,
            now=anyio.current_time(),
            tell=self._patience.tell,
            token_from=self._token_from,
        )
        while True:  # `Tries` raises when its time is over
            try:
                response = await self._http.send(request, stream=is_stream)
                if not response.is_success:
                    await response.aread()
            except httpx.TransportError as error:
                if is_stream and isinstance(error, httpx.ReadTimeout):
                    raise SilentError(f"{self.url} is silent") from error
                delay_s = tries.judge_silence(
                    render_silence(error),
                    is_there=is_untrusted(error),
                    now=anyio.current_time(),
                    jitter=random.random(),
                )
            except UnavailableError as error:  # from what signs in
                delay_s = tries.judge_sign_in(error, now=anyio.current_time(), jitter=random.random())
            else:
                self._has_answered = True
                if response.is_success:
                    return response
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
        async with aclosing(_Ear(self.url)) as ear:
            while True:  # the conversation ends itself
                try:
                    turn = turns.send(reply) if fault is None else turns.throw(fault)
                except StopIteration:
                    return
                reply, fault = None, None
                try:
                    if isinstance(turn, Delivery):
                        yield turn.event
                    else:
                        reply = await self._carry_out(turn, ear)
                except GeneratorExit:
                    fault = Leaving()
                except MusterError as error:
                    fault = error

    async def _carry_out(self, turn: Call[Any] | Pause | Listen | Hear, ear: "_Ear") -> object:
        match turn:
            case Pause(delay_s=delay_s):
                await anyio.sleep(delay_s)
            case Call():
                return await self.send(turn)
            case Listen(call=call, silent_s=silent_s):
                await ear.aclose()
                request = self._http.build_request(**request_options(call, answer_s=silent_s))
                return ear.take(await self._ask(call, request, is_stream=True))
            case Hear():
                return await ear.hear()
        return None

    async def conclude(self, publication: Publication) -> Publication:
        """Carry a publication out."""
        async for _ in self.hold(publication.turns()):
            raise AssertionError("a publication delivers nothing")
        return publication

    async def upload_file(self, workflow_id: str, path: Path, *, content: Content = "bytes") -> FileView:
        """Bring a file to the service, for an event to refer to; one that is there already is not sent again. Raises OSError, too."""
        promise = await anyio.to_thread.run_sync(measure, path, content)
        view = await self.send(file_calls.promise_file(workflow_id, promise))
        if view.state == "stored":
            return view
        call = file_calls.send_file(workflow_id, view.file, size_bytes=promise.size_bytes)
        request = self._http.build_request(**request_options(call) | {"content": AsyncPieces(path)})
        return call.read((await self._ask(call, request)).content)

    async def download_file(self, workflow_id: str, file: str, path: Path) -> None:
        """Write a file's bytes to a disk: whole and checked, or nothing. Raises OSError, too."""
        call = file_calls.fetch_file(workflow_id, file)
        for left in reversed(range(TRIES)):
            response = await self._ask(call, self._http.build_request(**request_options(call)), is_stream=True)
            try:
                async with aclosing(response):
                    with Landing(path) as landing:
                        async for piece in response.aiter_bytes():
                            await anyio.to_thread.run_sync(landing.write, piece)
                        return landing.finish(response.headers.get(CHECKSUM_HEADER, ""))
            except (httpx.RequestError, BrokenOffError) as error:
                if not left:
                    raise BrokenOffError(f"{call.subject} broke off: {str(error) or type(error).__name__}") from error
        return None

    async def aclose(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Ear:
    """The stream that is open, if one is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    def take(self, response: httpx.Response) -> Opened:
        self._response, self._pieces = response, response.aiter_bytes()
        return read_head(response)

    async def hear(self) -> bytes:
        if self._pieces is None:
            return b""
        try:
            return await anext(self._pieces, b"")
        except httpx.ReadTimeout as error:
            raise SilentError(f"{self._url} is silent") from error
        except httpx.RequestError:  # it broke off
            return b""

    async def aclose(self) -> None:
        if self._response is None or self._pieces is None:
            return
        await self._response.aclose()
        # httpx reads through generators within generators: the innermost must fail, or Trio finds some of them left behind.
        with suppress(httpx.RequestError, httpx.StreamError):
            while await anext(self._pieces, b""):
                continue
        self._response = self._pieces = None
