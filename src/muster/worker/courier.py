"""How do bodies too large for a message reach a task, and leave it? As files, streamed between service and attempt's folder.

An event with such a body carries a reference: id, size, checksum, and what is in it. The file is brought before the task starts,
and compared; a result over 1 MiB is sent before its attempt is handed in. While the service is silent both are tried again, for as
long as any call is.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
import time
from dataclasses import dataclass
from typing import BinaryIO, Callable, Optional

from muster.worker import protocol
from muster.worker.child import Cancel
from muster.worker.crash_points import reach
from muster.worker.folders import DiskError
from muster.worker.link import Address, CutOffError, Link, LinkError, Reply
from muster.worker.log_lines import LogLines
from muster.worker.messages import parse_problem
from muster.worker.results import BODY_BYTES_MAX, ResultError
from muster.worker.service import ANSWER_S, DELAY_S_MAX, FIRST_S, RETRIED, Patience, Session
from muster.worker.task_files import NotRegularError, create, open_regular

PIECE_BYTES = 1 << 18
DAMAGED_TRIES = 3
"""A file that comes with other bytes than it should have is fetched so often."""
CUT_OFF_TRIES = 4
"""One that breaks off before its end, so often: the service breaks off where it finds its own bytes damaged."""


class BroughtNothingError(Exception):
    """The body of this event cannot be had; the text says why, to whoever looks at its attempt."""


class BrokenOffError(Exception):
    """The attempt is to be stopped, or the service is given up: nobody is to blame, the event goes back."""


@dataclass(frozen=True)
class Reference:
    """An event's body that is a file. `content`: json, text or bytes."""

    file: str
    size_bytes: int
    checksum: str
    content: str


def parse_reference(body: bytes) -> Reference:
    """Raises BroughtNothingError for what this worker does not know, of a newer service perhaps."""
    try:
        told = json.loads(body)
        reference = Reference(str(told["file"]), int(told["size_bytes"]), str(told["checksum"]), str(told["content"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BroughtNothingError(f"the body is a reference that cannot be read: {error}") from None
    if not reference.checksum.startswith("sha256:"):
        raise BroughtNothingError(f"the body has a checksum that this worker cannot take: {reference.checksum[:20]}")
    return reference


class Courier:
    """Brings and sends files for all slots of a worker; each transfer has a connection of its own. For any thread."""

    def __init__(
        self,
        address: Address,
        *,
        session: Callable[[], Optional[Session]],
        patience: Patience,
        bytes_max: int,
        log: LogLines,
    ) -> None:
        """`bytes_max`: how large a file may be that the service takes; 0: it takes none."""
        self._address = address
        self._session = session
        self._patience = patience
        self._log = log
        self.bytes_max = bytes_max

    def bring(self, body: bytes, path: str, cancel: Cancel) -> str:
        """Write the file to which a body refers, whole and checked, and say what is in it.

        Raises BroughtNothingError; BrokenOffError; DiskError.
        """
        reference = parse_reference(body)
        damage = ""
        for _ in range(DAMAGED_TRIES):
            sink = _Sink(path, cancel)
            with sink:
                reply = self._persist("GET", f"{protocol.FILES}/{reference.file}", cancel, sink=sink)
            if reply.status == 404:
                raise BroughtNothingError(f"its body is not there: {parse_problem(reply.body)[1]}")
            if reply.status != 200:
                raise BroughtNothingError(
                    f"its body is not given out: status {reply.status}: {parse_problem(reply.body)[1]}"
                )
            if (damage := sink.find_damage(reference)) == "":
                return reference.content
            self._log.tell("a body came damaged", file=reference.file, why=damage)
        raise BroughtNothingError(f"its body is damaged: {damage}")

    def send(self, path: str, content: str, cancel: Cancel) -> bytes:
        """Bring a result to the service; gives what is handed in for it. Raises ResultError, BrokenOffError."""
        size_bytes, checksum = _measure(path)
        if size_bytes > self.bytes_max:
            raise ResultError(f"the result is {size_bytes} bytes; the service takes {self.bytes_max}")
        tries = 0
        promise = json.dumps({"size_bytes": size_bytes, "checksum": checksum, "content": content}).encode()
        while True:
            promised = _judge(self._persist("POST", protocol.FILES, cancel, body=promise))
            file = str(promised["file"])
            if promised["state"] != "stored":
                with _Source(path, cancel) as source:
                    place = f"{protocol.FILES}/{file}"
                    reply = self._persist("PUT", place, cancel, source=source, size_bytes=size_bytes)
                if reply.status == 404:  # it was sent for so long that it was given up: it is promised anew
                    self._wait(tries, cancel, place, "it was given up meanwhile")
                    tries += 1
                    continue
                _judge(reply)
            reach("worker.file.sent")
            return b'{"kind":"file","body":"' + file.encode() + b'"}'

    def _persist(
        self,
        method: str,
        path: str,
        cancel: Cancel,
        *,
        body: bytes = b"",
        source: "Optional[_Source]" = None,
        size_bytes: int = 0,
        sink: "Optional[_Sink]" = None,
    ) -> Reply:
        """An answer that says something, whatever it says: the same call again until there is one.

        Raises BrokenOffError; BroughtNothingError.
        """
        tries = n_cut_off = 0
        while True:
            session = self._session()
            reason = "there is no session"
            if session is not None:
                for end in (source, sink):
                    if end is not None:
                        end.rewind()
                link = Link(self._address)
                try:
                    reply = link.carry(
                        method,
                        path,
                        token=session.token,
                        timeout_s=ANSWER_S,
                        body=body if source is None else source,
                        size_bytes=len(body) if source is None else size_bytes,
                        sink=None if sink is None else sink.write,
                    )
                except CutOffError as error:
                    n_cut_off += 1
                    reason = f"it broke off: {error}"
                    if n_cut_off >= CUT_OFF_TRIES:
                        raise BroughtNothingError(f"its body does not come whole, {n_cut_off} times: {error}") from None
                except LinkError as error:
                    reason = str(error)
                else:
                    if reply.status not in RETRIED and reply.status not in (protocol.SESSION_ENDED, 401, 403):
                        return reply
                    reason = f"status {reply.status}"  # with a session that is over: there will be another
                finally:
                    link.close()
            self._wait(tries, cancel, path, reason)
            tries += 1

    def _wait(self, tries: int, cancel: Cancel, path: str, reason: str) -> None:
        if cancel.reason is not None or not self._patience.has_left():
            raise BrokenOffError(reason)
        self._log.tell("a file does not go through", call=path.rpartition("/")[0], reason=reason, tries=tries + 1)
        again_at = time.monotonic() + min(DELAY_S_MAX, FIRST_S * 2.0 ** min(tries, 16))
        while (left_s := again_at - time.monotonic()) > 0 and not _is_stopped(cancel):
            time.sleep(min(left_s, 0.1))


def _is_stopped(cancel: Cancel) -> bool:
    """By another thread, at any moment."""
    return cancel.reason is not None


class _Sink:
    """A file that is being written."""

    def __init__(self, path: str, cancel: Cancel) -> None:
        self._path = path
        self._cancel = cancel
        self._checksum = hashlib.sha256()
        self._size_bytes = 0
        self._file: Optional[BinaryIO] = None

    def __enter__(self) -> None:
        try:
            self._file = os.fdopen(create(self._path), "wb")
        except OSError as error:
            raise DiskError(error.errno, error.strerror) from None

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def rewind(self) -> None:
        self._checksum = hashlib.sha256()
        self._size_bytes = 0
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()

    def write(self, piece: bytes) -> None:
        if self._cancel.reason is not None:
            raise BrokenOffError(self._cancel.reason)
        self._checksum.update(piece)
        self._size_bytes += len(piece)
        if self._file is not None:
            try:
                self._file.write(piece)
                self._file.flush()
            except OSError as error:
                raise DiskError(error.errno, error.strerror) from None

    def find_damage(self, reference: Reference) -> str:
        """What is wrong with it; empty where nothing is."""
        if self._size_bytes != reference.size_bytes:
            return f"{self._size_bytes} bytes came, and it has {reference.size_bytes}"
        taken = f"sha256:{self._checksum.hexdigest()}"
        return "" if taken == reference.checksum else f"its checksum is {taken}, and should be {reference.checksum}"


class _Source:
    """A file that is being sent, as `http.client` reads it."""

    def __init__(self, path: str, cancel: Cancel) -> None:
        self._path = path
        self._cancel = cancel
        self._file: Optional[BinaryIO] = None

    def __enter__(self) -> "_Source":  # noqa: PYI034 - `Self` is newer than 3.9
        self._file = _open_regular(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def rewind(self) -> None:
        if self._file is not None:
            self._file.seek(0)

    def read(self, size_bytes: int = PIECE_BYTES) -> bytes:
        if self._cancel.reason is not None:
            raise BrokenOffError(self._cancel.reason)
        return b"" if self._file is None else self._file.read(max(size_bytes, PIECE_BYTES))


def find_large(path: str) -> bool:
    """Is it a regular file that is too large for a message?"""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > BODY_BYTES_MAX


def find_content(path: str, extension: str) -> str:
    """What a task left: by the word that `muster.task` leaves beside it, else by the extension, else by its bytes. Raises ResultError.

    JSON is taken at its word: reading it would need many times its size.
    """
    try:
        with os.fdopen(open_regular(f"{path}.kind"), "rb") as file:
            word = file.read(16)
    except (NotRegularError, OSError):
        word = b""
    if word == b"json" or (not word and extension.lower() == "json"):
        return "json"
    if word == b"bytes":
        return "bytes"
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _open_regular(path) as file:
        try:
            while piece := file.read(PIECE_BYTES):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "bytes"
    return "text"


def _measure(path: str) -> "tuple[int, str]":
    checksum = hashlib.sha256()
    size_bytes = 0
    with _open_regular(path) as file:
        while piece := file.read(PIECE_BYTES):
            checksum.update(piece)
            size_bytes += len(piece)
    return size_bytes, f"sha256:{checksum.hexdigest()}"


def _open_regular(path: str) -> BinaryIO:
    """Raises ResultError."""
    try:
        return os.fdopen(open_regular(path), "rb")
    except NotRegularError:
        raise ResultError("the result is no regular file") from None
    except OSError as error:
        raise ResultError(f"the result cannot be read: {error.strerror}") from None


def _judge(reply: Reply) -> "dict[str, object]":
    """The file that an answer tells of. Raises ResultError for a refusal."""
    if not 200 <= reply.status < 300:
        code, text = parse_problem(reply.body)
        raise ResultError(f"the result was not taken: {text or code or reply.status}")
    try:
        told = json.loads(reply.body)
        return {"file": told["file"], "state": told["state"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"the service's answer about the result's file cannot be read: {error}") from None
