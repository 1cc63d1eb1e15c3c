"""How does a plain, synchronous program speak to the service? A thin shell around the calls."""

import random
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

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
from muster.client.file_transfer import CHECKSUM_HEADER, TRIES, BrokenOffError, Landing, Pieces, measure
from muster.client.patience import Patience, Tries
from muster.client.routes import Routes
from muster.client.shapes.files import Content, FileView
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
        token_from: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._address = parse_address(url)
        self._patience = patience or Patience()
        self._token_from = token_from
        self._has_answered = False
        self._http = httpx.Client(transport=transport, **http_options(self._address, token))

    @property
    def url(self) -> str:
        return self._address.url

    def send(self, call: Call[T]) -> T:
        """Carry a call out, again where that may help."""
        return call.read(self._ask(call, self._http.build_request(**request_options(call))).content)

    def _ask(self, call: Call[T], request: httpx.Request, *, is_stream: bool = False) -> httpx.Response:
        """An answer that is a success; that of a stream is still to be read."""
        limit_s = self._patience.later_s if self._has_answered else self._patience.first_s
        tries = Tries(
            self.url,
            call.subject,
            limit_s=limit_s,
            now=time.monotonic(),
            tell=self._patience.tell,
            token_from=self._token_from,
        )
        while True:  # `Tries` raises when its time is over
            try:
                response = self._http.send(request, stream=is_stream)
                if not response.is_success:
                    response.read()
            except httpx.TransportError as error:
                if is_stream and isinstance(error, httpx.ReadTimeout):
                    raise SilentError(f"{self.url} is silent") from error
                delay_s = tries.judge_silence(
                    render_silence(error), is_there=is_untrusted(error), now=time.monotonic(), jitter=random.random()
                )
            except UnavailableError as error:  # from what signs in
                delay_s = tries.judge_sign_in(error, now=time.monotonic(), jitter=random.random())
            else:
                self._has_answered = True
                if response.is_success:
                    return response
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
        with closing(_Ear(self.url)) as ear:
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
                        reply = self._carry_out(turn, ear)
                except GeneratorExit:
                    fault = Leaving()
                except MusterError as error:
                    fault = error

    def _carry_out(self, turn: Call[Any] | Pause | Listen | Hear, ear: "_Ear") -> object:
        match turn:
            case Pause(delay_s=delay_s):
                time.sleep(delay_s)
            case Call():
                return self.send(turn)
            case Listen(call=call, silent_s=silent_s):
                ear.close()
                request = self._http.build_request(**request_options(call, answer_s=silent_s))
                return ear.take(self._ask(call, request, is_stream=True))
            case Hear():
                return ear.hear()
        return None

    def conclude(self, publication: Publication) -> Publication:
        """Carry a publication out."""
        for _ in self.hold(publication.turns()):
            raise AssertionError("a publication delivers nothing")
        return publication

    def upload_file(self, workflow_id: str, path: Path, *, content: Content = "bytes") -> FileView:
        """Bring a file to the service, for an event to refer to; one that is there already is not sent again. Raises OSError, too."""
        promise = measure(path, content)
        view = self.send(file_calls.promise_file(workflow_id, promise))
        if view.state == "stored":
            return view
        call = file_calls.send_file(workflow_id, view.file, size_bytes=promise.size_bytes)
        request = self._http.build_request(**request_options(call) | {"content": Pieces(path)})
        return call.read(self._ask(call, request).content)

    def download_file(self, workflow_id: str, file: str, path: Path) -> None:
        """Write a file's bytes to a disk: whole and checked, or nothing. Raises OSError, too."""
        call = file_calls.fetch_file(workflow_id, file)
        for left in reversed(range(TRIES)):
            response = self._ask(call, self._http.build_request(**request_options(call)), is_stream=True)
            try:
                with closing(response), Landing(path) as landing:
                    for piece in response.iter_bytes():
                        landing.write(piece)
                    return landing.finish(response.headers.get(CHECKSUM_HEADER, ""))
            except (httpx.RequestError, BrokenOffError) as error:
                if not left:
                    raise BrokenOffError(f"{call.subject} broke off: {str(error) or type(error).__name__}") from error
        return None

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Ear:
    """The stream that is open, if one is."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def take(self, response: httpx.Response) -> Opened:
        self._response, self._pieces = response, response.iter_bytes()
        return read_head(response)

    def hear(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except httpx.ReadTimeout as error:
            raise SilentError(f"{self._url} is silent") from error
        except httpx.RequestError:  # it broke off
            return b""

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
