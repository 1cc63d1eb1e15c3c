"""How does a client of EWMS call? With `requests` over one kept connection; and every answer is held to the common rules.

Source: wms.md sections 2, 2.1 and 2.5, tms.md section 3. Their REST library sends `Content-Type: application/json` with
every call and `{}` with a POST that has no arguments. An error's text stands in the body and in the reason phrase of the
status line alike, there in ASCII and cut at 1,000 bytes. A 5xx is never an answer here: it costs such a client minutes.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests

from compat.exact import Exact, check

JSON_TYPE = "application/json; charset=UTF-8"
REASON_BYTES_MAX = 1000
TIMEOUT_S = 60.0


class Service(Protocol):
    """A running service; the fixture of that name."""

    @property
    def url(self) -> str:
        """Base address, without a slash at its end."""

    @property
    def version(self) -> str:
        """`v1` or `v0`: whose routes this test is about."""

    def token(self, role: str) -> str:
        """A bearer token of `user`, `stranger` (another user), `system-tms`, `system-wms` or `operator`."""


class ErrorBody(Exact):
    code: int
    error: str


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        body: the parsed JSON; None where there is no body (HEAD, 304).
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes

    @property
    def error(self) -> str:
        return check(self.body, ErrorBody).error


@dataclass(frozen=True)
class Caller:
    """One party's way to the service.

    Args:
        prefix: stands before each path: `/v1`, `/v0` or nothing.
        authorization: the whole header; None sends none.
    """

    url: str
    session: requests.Session
    prefix: str
    authorization: str | None

    def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        status: int | Collection[int] = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return self.call("GET", path, status=status, query=query, headers=headers)

    def post(self, path: str, body: Any = None, *, status: int | Collection[int] = 200) -> Answer:
        """POST a JSON body; None is what their library makes of it, `{}`."""
        return self.call("POST", path, status=status, data=json.dumps({} if body is None else body).encode())

    def call(
        self,
        method: str,
        path: str,
        *,
        status: int | Collection[int] | None,
        data: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call, check what holds for every answer, and check the status, unless it is None.

        Args:
            headers: added to, or in place of, what the clients' library sends.
        """
        sent = {"Content-Type": "application/json"}
        if self.authorization is not None:
            sent["Authorization"] = self.authorization
        response = self.session.request(
            method,
            f"{self.url}{self.prefix}{path}",
            params=query or None,
            data=data,
            headers={**sent, **(headers or {})},
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        answer = read_answer(method, response)
        wanted = {status} if isinstance(status, int) else status
        if wanted is not None and answer.status not in wanted:
            raise AssertionError(
                f"{method} {self.prefix}{path}: {answer.status} {answer.reason}, not {status}: {answer.raw[:2000]!r}"
            )
        return answer


def read_answer(method: str, response: requests.Response) -> Answer:
    """The answer, held to what every answer has to keep."""
    headers = response.headers
    reason = response.reason or ""
    if method == "HEAD" or response.status_code == 304:
        assert response.content == b"", "a HEAD and a 304 have no body"
        return Answer(response.status_code, reason, headers, None, b"")
    said = f"{method} {response.url}: {response.status_code} {reason}: {response.content[:2000]!r}"
    assert response.status_code in {200, 207} or 400 <= response.status_code < 500, said
    assert headers["Content-Type"] == JSON_TYPE, said
    body = parse(response.content)
    assert isinstance(body, dict), said
    if response.status_code >= 400:
        error = check(body, ErrorBody, said)
        assert error.code == response.status_code, said
        check_reason(error.error, reason, said)
    return Answer(response.status_code, reason, headers, body, response.content)


def check_reason(error: str, reason: str, said: str) -> None:
    """Hold the reason phrase to the error's text: the same, or as much of it as ASCII and 1,000 bytes allow."""
    assert error.strip(), said
    assert re.fullmatch(rf"[ -~]{{1,{REASON_BYTES_MAX}}}", reason), said
    if re.fullmatch("[ -~]*", error):
        assert reason.strip() == error[:REASON_BYTES_MAX].strip(), said
        return
    place = 0
    for piece in re.findall("[ -~]+", error):
        found = reason.find(piece, place)
        if found < 0:  # only the cut may have taken it
            assert len(reason.encode()) == REASON_BYTES_MAX, said
            return
        place = found + len(piece)


def parse(raw: bytes) -> Any:
    """Parse strict JSON: UTF-8, no NaN and no infinity, no key twice."""
    return json.loads(raw.decode("utf-8", "strict"), parse_constant=_refuse, object_pairs_hook=_pairs)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs), f"a key stands twice: {pairs!r}"
    return dict(pairs)
