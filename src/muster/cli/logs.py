"""Where do the logs of our own processes go? JSON lines, to stderr or to a file. A line that cannot be written is dropped."""

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import structlog
import structlog.tracebacks

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

KEPT_BYTES = 20 << 20
"""A file longer than this is put aside at the next start, in place of the one put aside before."""
_TRACES = structlog.processors.ExceptionRenderer(
    # Without the values of local variables: tokens and secrets are among them.
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def log_to(stream: TextIO, level: str) -> None:
    """Send structlog's and the standard library's records there, one JSON object a line."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            stamp,
            _TRACES,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _TRACES,
                structlog.processors.JSONRenderer(default=str),
            ],
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, stamp],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries are told of only where something is wrong.
    root.setLevel(max(LEVELS[level], logging.WARNING))


def log_to_stderr(level: str) -> None:
    """For services, whose supervisor keeps what they write."""
    log_to(_stream(_Lossy(sys.stderr.fileno(), "w", closefd=False)), level)


@contextmanager
def logging_to_file(path: Path, level: str) -> Iterator[None]:
    """Log into a file, only readable by its owner, while the block runs."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > KEPT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    path.touch(mode=0o600)
    with _stream(_Lossy(path, "a")) as stream:
        log_to(stream, level)
        try:
            yield
        finally:
            log_to(sys.stderr, level)


class _Lossy(io.FileIO):
    """A file that drops what it cannot write: a disk without room must not end a service for want of its log."""

    _is_torn = False

    def write(self, data: "ReadableBuffer", /) -> int:
        """Takes everything, without a buffer: what a full disk refuses is not tried again. Each line begins on its own."""
        line = bytes(data)
        if self._is_torn:
            line = b"\n" + line
        try:
            written = super().write(line) or 0
        except OSError:
            written = 0
        if written:
            self._is_torn = written < len(line)
        return len(memoryview(data))


def _stream(file: _Lossy) -> TextIO:
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)
