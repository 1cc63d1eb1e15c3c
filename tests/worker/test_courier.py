"""Do large bodies come through trouble: a service that is away, answers that break off, sessions that end, tasks that are stopped?"""

import errno
import hashlib
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from muster.worker.child import Cancel
from muster.worker.courier import BrokenOffError, BroughtNothingError, Courier, find_content, find_large
from muster.worker.folders import DiskError, Folders
from muster.worker.infile import place_input
from muster.worker.link import parse_address
from muster.worker.log_lines import LogLines
from muster.worker.messages import Lease
from muster.worker.results import BODY_BYTES_MAX, ResultError
from muster.worker.service import Patience, Session
from muster.worker.watched import WatchList
from muster.worker.workshop import Workshop

DATA = bytes(range(256)) * (8 << 10)
FILE = "0123456789abcdef" * 2
CUT = -1
"""In place of a status: the answer breaks off in the middle (of a GET), or the connection is closed."""


@dataclass
class Script:
    """A service that answers as it is told: `statuses` first, one a request, then well."""

    statuses: list[int] = field(default_factory=list)
    content: bytes = DATA
    state: str = "promised"
    received: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    on_request: Callable[[], None] = lambda: None
    is_hasty: bool = False
    """It refuses a file without reading it, and closes the connection."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def _answer(self) -> None:
        script = self.script
        is_refused = script.is_hasty and self.command == "PUT" and script.statuses[:1] not in ([], [200])
        body = b"" if is_refused else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.close_connection = self.close_connection or is_refused
        script.asked.append((self.command, self.headers["Authorization"]))
        script.on_request()
        status = script.statuses.pop(0) if script.statuses else 200
        if status == CUT and self.command != "GET":
            self.close_connection = True
            return
        if self.command == "PUT" and status == 200:
            script.received.append(body)
        content = script.content if self.command == "GET" and status in (200, CUT) else self._tell(status)
        self.send_response(200 if status == CUT else status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if status == CUT else content)
        self.close_connection = self.close_connection or status == CUT

    def _tell(self, status: int) -> bytes:
        good = {"file": FILE, "state": self.script.state}
        return json.dumps(good if status == 200 else {"code": "a-code", "error": "as the test wants it"}).encode()

    do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def url(script: Script) -> Iterator[str]:
    handler = type("_Scripted", (_Handler,), {"script": script})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def sessions() -> list[Session]:
    """Those that there are one after another: each time the session is asked for, the next one, the last of them for good."""
    return [Session(1, "token-1", 60.0)]


@pytest.fixture
def courier(url: str, sessions: list[Session]) -> Courier:
    return Courier(
        parse_address(url),
        session=lambda: sessions.pop(0) if len(sessions) > 1 else sessions[0],
        patience=Patience(offline_s=60.0),
        bytes_max=100 << 20,
        log=LogLines(io.StringIO()),
    )


def reference(data: bytes = DATA, **changes: object) -> bytes:
    checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
    told = {"file": FILE, "size_bytes": len(data), "checksum": checksum, "content": "bytes"}
    return json.dumps(told | changes).encode()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("statuses", [[], [503, 500, 429], [CUT], [CUT, 503, CUT], [410], [401, 403]])
def test_a_body_comes_whole_whatever_happened_before(
    courier: Courier, script: Script, place: Path, statuses: list[int]
) -> None:
    script.statuses[:] = statuses

    assert courier.bring(reference(), str(place), Cancel()) == "bytes"

    assert place.read_bytes() == DATA
    assert len(script.asked) == len(statuses) + 1


def test_a_session_that_is_over_is_waited_for_to_be_another(
    courier: Courier, script: Script, sessions: list[Session], place: Path
) -> None:
    sessions.append(Session(2, "token-2", 60.0))
    script.statuses[:] = [410]

    courier.bring(reference(), str(place), Cancel())

    assert [token for _, token in script.asked] == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize(
    ("body", "statuses", "reason"),
    [
        (reference(), [404], "its body is not there: as the test wants it"),
        (reference(), [422], "its body is not given out: status 422"),
        (reference(DATA[::-1]), [], "its body is damaged: its checksum is"),
        (reference(DATA + b"1"), [], "its body is damaged: 2097152 bytes came, and it has 2097153"),
        (reference(), [CUT] * 4, "its body does not come whole, 4 times"),
        (reference(checksum="md5:0"), [], "a checksum that this worker cannot take: md5:0"),
        (b"{}", [], "a reference that cannot be read"),
        (b"[", [], "a reference that cannot be read"),
    ],
)
def test_a_body_that_cannot_be_had_is_told(
    courier: Courier, script: Script, place: Path, body: bytes, statuses: list[int], reason: str
) -> None:
    script.statuses[:] = statuses

    with pytest.raises(BroughtNothingError, match=reason):
        courier.bring(body, str(place), Cancel())


def test_who_is_stopped_waits_for_nothing(courier: Courier, script: Script, place: Path) -> None:
    cancel = Cancel()
    script.on_request = lambda: cancel.set("lost")
    script.statuses[:] = [503] * 100
    place.write_bytes(DATA)

    with pytest.raises(BrokenOffError):
        courier.bring(reference(), str(place), cancel)
    with pytest.raises(BrokenOffError):
        courier.send(str(place), "bytes", cancel)

    assert len(script.asked) == 2


def test_a_service_that_stays_away_is_given_up(url: str, script: Script, place: Path) -> None:
    patience = Patience(offline_s=60.0)
    courier = Courier(
        parse_address(url),
        session=lambda: Session(1, "token-1", 60.0),
        patience=patience,
        bytes_max=100 << 20,
        log=LogLines(io.StringIO()),
    )
    script.statuses[:] = [503] * 100
    script.on_request = lambda: patience.limit(0.0)

    with pytest.raises(BrokenOffError, match="503"):
        courier.bring(reference(), str(place), Cancel())


def test_a_refusal_that_comes_while_a_result_is_still_sent_is_heard(
    courier: Courier, script: Script, place: Path
) -> None:
    place.touch()
    os.truncate(place, 64 << 20)  # more than a connection holds on its way
    script.is_hasty = True
    script.statuses[:] = [200, 413]

    with pytest.raises(ResultError, match="the result was not taken: as the test wants it"):
        courier.send(str(place), "bytes", Cancel())


@pytest.mark.parametrize("statuses", [[], [CUT], [503, 200, CUT], [200, 500], [200, 404], [410, 200, 410]])
def test_a_result_is_sent_whole_whatever_happened_before(
    courier: Courier, script: Script, place: Path, statuses: list[int]
) -> None:
    place.write_bytes(DATA)
    script.statuses[:] = statuses

    assert courier.send(str(place), "bytes", Cancel()) == b'{"kind":"file","body":"%s"}' % FILE.encode()

    assert script.received == [DATA]


def test_a_result_that_is_there_is_not_sent(courier: Courier, script: Script, place: Path) -> None:
    place.write_bytes(DATA)
    script.state = "stored"

    courier.send(str(place), "bytes", Cancel())

    assert script.received == []


@pytest.mark.parametrize("statuses", [[413], [409], [422], [200, 422]])
def test_a_result_that_is_refused_is_its_attempts_error(
    courier: Courier, script: Script, place: Path, statuses: list[int]
) -> None:
    place.write_bytes(DATA)
    script.statuses[:] = statuses

    with pytest.raises(ResultError, match="the result was not taken: as the test wants it"):
        courier.send(str(place), "bytes", Cancel())


def test_a_result_over_the_services_limit_is_not_even_promised(courier: Courier, script: Script, place: Path) -> None:
    place.write_bytes(DATA)
    courier.bytes_max = len(DATA) - 1

    with pytest.raises(ResultError, match="2097152 bytes; the service takes 2097151"):
        courier.send(str(place), "bytes", Cancel())

    assert script.asked == []


@pytest.mark.parametrize(
    ("data", "extension", "word", "content"),
    [
        (b"[1]", "json", None, "json"),
        (b"[1]", "JSON", None, "json"),
        (b"[1]", "dat", None, "text"),
        (b"[1]", "dat", "json", "json"),
        (b"[1]", "json", "bytes", "bytes"),
        ("ä".encode() * 300_000, "txt", None, "text"),
        ("ä".encode() * 300_000 + b"\xc3", "txt", None, "bytes"),
        (b"\xff", "txt", None, "bytes"),
    ],
)
def test_what_a_task_left_is_known_by_its_word_its_extension_or_its_bytes(
    place: Path, data: bytes, extension: str, word: str | None, content: str
) -> None:
    place.write_bytes(data)
    if word is not None:
        place.with_name("file.kind").write_text(word)

    assert find_content(str(place), extension) == content


def test_large_is_what_no_message_takes(place: Path) -> None:
    assert not find_large(str(place))
    place.write_bytes(b"x" * BODY_BYTES_MAX)
    assert not find_large(str(place))
    place.write_bytes(b"x" * (BODY_BYTES_MAX + 1))
    assert find_large(str(place))


def test_a_body_for_which_there_is_no_room_is_its_events_error_and_no_workers_end(tmp_path: Path) -> None:
    """It may be as large as a disk, and would take down one worker after another."""
    folders = Folders(tmp_path, input_dir=None, failures_kept=0)
    tries: list[int] = []

    class FullDisk:
        def bring(self, *_: object) -> str:
            tries.append(1)
            (tmp_path / "infile").write_bytes(b"half of it")
            raise DiskError(errno.ENOSPC, "No space left on device")

    shop = Workshop(None, None, folders, None, 1.0, None, WatchList(), courier=FullDisk())  # type: ignore[arg-type]
    lease = Lease("EV-1", 1, 1, "file", json.dumps({"file": "0" * 32, "size_bytes": 1 << 40}).encode())

    with pytest.raises(
        BroughtNothingError, match=r"its body of 1099511627776 bytes cannot be kept here: No space left"
    ):
        place_input(lease, str(tmp_path / "infile"), Cancel(), extension="json", shop=shop)

    assert not (tmp_path / "infile").exists()
    assert len(tries) == 1
